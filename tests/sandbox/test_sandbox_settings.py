"""
Settings of the stand-in.
"""

import pytest
from pydantic import ValidationError

from batchfetch.sandbox import InjectedFault, SandboxSettings


def test_settings_accept_the_text_of_the_command_line():
    """
    Durations and faults may be written as on the command line.
    """
    settings = SandboxSettings(
        processing_time="250ms", expire_after="2h", faults="429=0.1,reset=5%"
    )
    assert (settings.processing_time, settings.expire_after) == (0.25, 7200)
    assert settings.faults == {InjectedFault.TOO_MANY_REQUESTS: 0.1, InjectedFault.RESET: 0.05}


def test_an_empty_text_is_no_faults():
    """
    An empty text means that no faults are injected.
    """
    assert SandboxSettings(faults="").faults == {}


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ("418=1", "'418' is not a valid fault; use 429, 500, reset, truncate, corrupt, slow"),
        ("reset", "'reset' has no valid share; use reset=0.1 or reset=10%"),
        ("reset=often", "'reset=often' has no valid share"),
        ("reset=0.1,reset=0.2", "reset is given twice"),
        ("reset=1.5", "less than or equal to 1"),
        ("reset=-1%", "greater than or equal to 0"),
        ("reset=nan", "finite"),
        (
            "reset=60%,429=60%",
            "the shares are 120 % in total, and a response has one fault at most; give 100 %",
        ),
    ],
)
def test_invalid_faults_are_refused(faults, message):
    """
    An unknown fault or an invalid share is refused with the remedy.
    """
    with pytest.raises(ValidationError, match=message):
        SandboxSettings(faults=faults)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host):
    """
    Any loopback address is accepted.
    """
    assert SandboxSettings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com", ""])
def test_other_addresses_are_refused(host):
    """
    The stand-in never listens on a network.
    """
    with pytest.raises(ValidationError, match=r"is no loopback address, and .*; use 127\.0\.0\.1"):
        SandboxSettings(host=host)


def test_an_unknown_setting_is_an_error():
    """
    An unknown setting is not ignored.
    """
    with pytest.raises(ValidationError):
        SandboxSettings(worker=2)


def test_every_setting_has_a_description():
    """
    Each field has the description that the command line shows.
    """
    assert all(field.description for field in SandboxSettings.model_fields.values())
