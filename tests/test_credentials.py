"""
Credentials: found where a careful user keeps them, and refused without being repeated.
"""

import re

import pytest

from batchfetch.errors import SettingsError
from batchfetch.service import find_credentials


def found(environment):
    """
    Return the credentials in this environment, in plain text.
    """
    secrets = dict(find_credentials(environment))
    return {name: text.get_secret_value() for name, text in secrets.items() if text is not None}


def test_credentials_from_variables():
    """
    A variable holds the credential itself.
    """
    environment = {"BATCHFETCH_CLIENT_ID": "me", "BATCHFETCH_CLIENT_SECRET": "hush"}
    assert found(environment) == {"client_id": "me", "client_secret": "hush"}


def test_credentials_from_files(tmp_path):
    """
    A variable ending in _FILE names a file; its last line end is no part of the credential.
    """
    (tmp_path / "token").write_text("t0ken\r\n")
    environment = {"BATCHFETCH_ACCESS_TOKEN_FILE": str(tmp_path / "token")}
    assert found(environment) == {"access_token": "t0ken"}


@pytest.mark.parametrize("file", ["access_token", "BATCHFETCH_ACCESS_TOKEN"])
def test_credentials_from_systemd(tmp_path, file):
    """
    A file in the folder that systemd names holds the credential, under either name.
    """
    (tmp_path / file).write_text("t0ken\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert found(environment) == {"access_token": "t0ken"}


def test_a_variable_beats_a_file_and_a_file_beats_systemd(tmp_path):
    """
    The first place that has a credential counts.
    """
    (tmp_path / "access_token").write_text("systemd")
    (tmp_path / "file").write_text("file")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    environment["BATCHFETCH_ACCESS_TOKEN_FILE"] = str(tmp_path / "file")
    assert found(environment)["access_token"] == "file"
    environment["BATCHFETCH_ACCESS_TOKEN"] = "variable"
    assert found(environment)["access_token"] == "variable"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "no credentials: set BATCHFETCH_CLIENT_ID and BATCHFETCH_CLIENT_SECRET, or"),
        ({"BATCHFETCH_ACCESS_TOKEN": ""}, "no credentials"),
        (
            {"BATCHFETCH_CLIENT_ID": "s3cret"},
            "BATCHFETCH_CLIENT_ID was given without BATCHFETCH_CLIENT_SECRET: they go together",
        ),
        (
            {"BATCHFETCH_CLIENT_SECRET": "s3cret", "BATCHFETCH_ACCESS_TOKEN": "s3cret"},
            "BATCHFETCH_CLIENT_SECRET was given without BATCHFETCH_CLIENT_ID: they go together",
        ),
        (
            {"BATCHFETCH_ACCESS_TOKEN_FILE": "/nowhere/at/all"},
            "BATCHFETCH_ACCESS_TOKEN_FILE: /nowhere/at/all cannot be read: No such file",
        ),
        ({"BATCHFETCH_ACCESS_TOKEN_FILE": "/dev/null"}, "BATCHFETCH_ACCESS_TOKEN_FILE: holds"),
        ({"BATCHFETCH_ACCESS_TOKEN": "s3cret\r\nHost: x"}, "BATCHFETCH_ACCESS_TOKEN: holds"),
        ({"BATCHFETCH_ACCESS_TOKEN": "s3cret s3cret"}, "BATCHFETCH_ACCESS_TOKEN: holds"),
        ({"BATCHFETCH_ACCESS_TOKEN": "s3crét"}, "BATCHFETCH_ACCESS_TOKEN: holds"),
    ],
)
def test_unusable_credentials_are_one_sentence_without_them(environment, sentence):
    """
    The sentence says what to set or which variable is wrong, and never what is in it.
    """
    with pytest.raises(SettingsError, match=re.escape(sentence)) as caught:
        find_credentials(environment)
    assert "s3cr" not in str(caught.value)


def test_a_binary_file_is_no_credential(tmp_path):
    """
    A file that is not text is refused in one sentence.
    """
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not text"):
        find_credentials({"BATCHFETCH_ACCESS_TOKEN_FILE": str(tmp_path / "x")})
