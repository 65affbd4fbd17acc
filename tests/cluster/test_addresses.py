"""
Addresses of clusters.
"""

import json

import pytest

from batchfetch.cluster import on_cluster
from batchfetch.cluster.addresses import Address, is_safe, require_address
from batchfetch.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("local:1", Address(1)),
        ("local:16", Address(16)),
        ("tcp://127.0.0.1:8786", Address(None, "tcp://127.0.0.1:8786")),
        ("tcp://localhost:8786", Address(None, "tcp://localhost:8786")),
        ("tcp://[::1]:8786", Address(None, "tcp://[::1]:8786")),
        ("tls://scheduler:8786", Address(None, "tls://scheduler:8786")),
    ],
)
def test_good_ones(text, address):
    """
    Processes of this machine, a scheduler of this machine, and one reached with TLS.
    """
    assert require_address(text, insecure=False) == address


def test_a_number_of_processes_that_is_none():
    """
    The message says what is missing, and takes the text for no file.
    """
    with pytest.raises(SettingsError, match="local:two has no number of processes"):
        require_address("local:two", insecure=False)


def test_a_network_is_named_to_be_allowed():
    """
    Without TLS a token would be shown to it.
    """
    with pytest.raises(SettingsError, match=r"use tls://10.0.0.7:8786, or add --insecure-cluster"):
        require_address("tcp://10.0.0.7:8786", insecure=False)
    assert require_address("tcp://10.0.0.7:8786", insecure=True).url == "tcp://10.0.0.7:8786"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://[::1]:1", True),
        ("tls://10.0.0.7:1", True),
        ("tcp://10.0.0.7:1", False),
        ("ws://10.0.0.7:1", False),
        ("tcp://host:1", False),
    ],
)
def test_what_is_safe(url, safe):
    """
    Encryption is, and what does not leave this machine.
    """
    assert is_safe(url) is safe


def test_a_scheduler_file_is_no_way_around_that(tmp_path):
    """
    The address in it is held to the same rule.
    """
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tls://host:1"}))
    assert require_address(str(file), insecure=False) == Address(None, "tls://host:1")
    file.write_text(json.dumps({"address": "tcp://host:1"}))
    with pytest.raises(SettingsError, match="would show the token"):
        require_address(str(file), insecure=False)


@pytest.mark.parametrize(
    "text", ["local:0", "local:x", "http://host:1", "tcp://host", "tcp://", "tcp://host:99999999"]
)
def test_bad_ones(text):
    """
    The message says what an address looks like.
    """
    with pytest.raises(SettingsError, match="local:N, tcp://HOST:PORT"):
        on_cluster(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\N{SNOWMAN}"])
def test_files_that_are_none(tmp_path, text):
    """
    A file without the address of a scheduler is none.
    """
    file = tmp_path / "scheduler.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match="is no scheduler file"):
        on_cluster(str(file))
