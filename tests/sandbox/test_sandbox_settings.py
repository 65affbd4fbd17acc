"""
What may be set of the stand-in.
"""

import pytest
from pydantic import ValidationError

from batchfetch.sandbox import InjectedFault, SandboxSettings


def test_settings_take_the_command_lines_words():
    """
    Durations and faults may be written as on the command line.
    """
    settings = SandboxSettings(
        processing_time="250ms", expire_after="2h", faults="429=0.1,reset=5%"
    )
    assert (settings.processing_time, settings.expire_after) == (0.25, 7200)
    assert settings.faults == {InjectedFault.TOO_MANY_REQUESTS: 0.1, InjectedFault.RESET: 0.05}


def test_no_faults_may_be_written_as_nothing():
    """
    An empty text is no faults at all.
    """
    assert SandboxSettings(faults="").faults == {}


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("418=1", "'418' is no fault; use 429, 500, reset, truncate, corrupt, slow"),
        ("reset", "'reset' has no share; write reset=0.1 or reset=10%"),
        ("reset=often", "'reset=often' has no share"),
        ("reset=0.1,reset=0.2", "reset is given twice"),
        ("reset=1.5", "less than or equal to 1"),
        ("reset=-1%", "greater than or equal to 0"),
        ("reset=nan", "finite"),
        ("reset=60%,429=60%", "are more than all calls"),
    ],
)
def test_unusable_faults_are_explained(faults, words):
    """
    A fault or a share that makes no sense is refused with a sentence.
    """
    with pytest.raises(ValidationError, match=words):
        SandboxSettings(faults=faults)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host):
    """
    Any address that can only mean this machine will do.
    """
    assert SandboxSettings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com", ""])
def test_other_addresses_are_refused(host):
    """
    The stand-in is never offered to a network.
    """
    with pytest.raises(ValidationError, match="must be a loopback address"):
        SandboxSettings(host=host)


def test_a_misspelt_setting_is_an_error():
    """
    No setting is silently ignored.
    """
    with pytest.raises(ValidationError):
        SandboxSettings(worker=2)


def test_every_setting_says_what_it_is():
    """
    Each field brings the words the command line shows.
    """
    assert all(field.description for field in SandboxSettings.model_fields.values())
