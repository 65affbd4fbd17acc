"""
Credentials: found where they may be, refused where they cannot be right, shown nowhere.
"""

import codecs

import pytest

from batchfetch.errors import SettingsError
from batchfetch.service import Credentials, find_credentials

ID, SECRET, TOKEN = (
    "BATCHFETCH_CLIENT_ID",
    "BATCHFETCH_CLIENT_SECRET",
    "BATCHFETCH_ACCESS_TOKEN",
)


def revealed(credentials):
    """
    Return what *credentials* hold, in the clear.
    """
    fields = (credentials.client_id, credentials.client_secret, credentials.access_token)
    return tuple(field and field.get_secret_value() for field in fields)


def test_pair_in_the_environment():
    """
    A client id and its secret are taken from the environment, and can be renewed with.
    """
    found = find_credentials({ID: "an-id", SECRET: "a-secret"})
    assert revealed(found) == ("an-id", "a-secret", None)
    assert found.is_renewable


def test_token_in_the_environment():
    """
    A ready access token does alone, and cannot be renewed.
    """
    found = find_credentials({TOKEN: "a-token"})
    assert revealed(found) == (None, None, "a-token")
    assert not found.is_renewable


def test_files_named_in_the_environment(tmp_path):
    """
    Each credential may be in a file of its own, whose line end does not count.
    """
    for name, text in (("id", "an-id\n"), ("secret", "a-secret\r\n"), ("token", "a-token")):
        (tmp_path / name).write_bytes(text.encode())
    found = find_credentials(
        {
            f"{ID}_FILE": str(tmp_path / "id"),
            f"{SECRET}_FILE": str(tmp_path / "secret"),
            f"{TOKEN}_FILE": str(tmp_path / "token"),
        }
    )
    assert revealed(found) == ("an-id", "a-secret", "a-token")


@pytest.mark.parametrize("spelling", ["client_id client_secret", f"{ID} {SECRET}"])
def test_folder_of_systemd(tmp_path, spelling):
    """
    `$CREDENTIALS_DIRECTORY` holds them under either spelling of their names.
    """
    for name in spelling.split():
        (tmp_path / name).write_text(f"of-{name}\n")
    found = find_credentials({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert revealed(found) == (*(f"of-{name}" for name in spelling.split()), None)


def test_nearest_source_counts(tmp_path):
    """
    The environment comes before a named file, and that before the folder.
    """
    for name in ("access_token", "client_id", "client_secret"):
        (tmp_path / name).write_text("from-folder")
    (tmp_path / "named").write_text("from-file")
    found = find_credentials(
        {
            ID: "from-environment",
            f"{ID}_FILE": str(tmp_path / "named"),
            f"{SECRET}_FILE": str(tmp_path / "named"),
            "CREDENTIALS_DIRECTORY": str(tmp_path),
        }
    )
    assert revealed(found) == ("from-environment", "from-file", "from-folder")


def test_empty_variable_is_none_at_all(tmp_path):
    """
    A variable set to nothing counts as not set.
    """
    with pytest.raises(SettingsError, match="no credentials"):
        find_credentials({TOKEN: "", f"{ID}_FILE": "", "CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_nothing_at_all():
    """
    Without any the error says what to set.
    """
    with pytest.raises(SettingsError) as caught:
        find_credentials({})
    assert all(name in str(caught.value) for name in (ID, SECRET, TOKEN, "_FILE", "--sandbox"))


@pytest.mark.parametrize(("given", "missing"), [(ID, SECRET), (SECRET, ID)])
def test_half_a_pair(given, missing):
    """
    One of a pair is refused, also beside a token, and the error names both.
    """
    with pytest.raises(SettingsError, match=f"{given} is set without {missing}; set both"):
        find_credentials({given: "half", TOKEN: "a-token"})


@pytest.mark.parametrize(
    "text", ["two words", "töken", "“quoted”", "a\x00b", "a\nb", "a\r\nb", "a\tb", "a\ufeffb"]
)
def test_text_that_no_credential_has(tmp_path, text):
    """
    What cannot be sent is refused with the name of its source, and not repeated.
    """
    (tmp_path / "file").write_text(text)
    for environment in ({TOKEN: text}, {f"{TOKEN}_FILE": str(tmp_path / "file")}):
        with pytest.raises(SettingsError) as caught:
            find_credentials(environment)
        assert str(caught.value).startswith(next(iter(environment)))
        assert text not in str(caught.value)


def test_file_that_holds_nothing(tmp_path):
    """
    An empty file is a mistake, not an absent credential.
    """
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SettingsError, match=f"{TOKEN}_FILE: .*empty holds nothing"):
        find_credentials({f"{TOKEN}_FILE": str(tmp_path / "empty")})


WRITTEN = {
    "line end": b"a-token\n",
    "line ends": b"\r\na-token\r\n\r\n",
    "blanks": b"  a-token \t",
    "no-break space": "\u00a0a-token\u00a0".encode(),
    "mark": b"\xef\xbb\xbfa-token",
    "marks": b"\xef\xbb\xbf\xef\xbb\xbf a-token\r\n",
    "UTF-16 of Windows": "a-token\r\n".encode("utf-16"),
    "UTF-16, big-endian": codecs.BOM_UTF16_BE + "a-token\n".encode("utf-16-be"),
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_file_as_other_programs_write_it(tmp_path, content, caplog):
    """
    Byte order marks, blanks and line ends around a credential are no part of it.
    """
    (tmp_path / "access_token").write_bytes(content)
    for environment in (
        {f"{TOKEN}_FILE": str(tmp_path / "access_token")},
        {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    ):
        assert revealed(find_credentials(environment)) == (None, None, "a-token")
    assert caplog.text == ""


@pytest.mark.parametrize("text", [" a-token", "a-token\r", "\ta-token\n"])
def test_blanks_around_a_variable(text):
    """
    Blanks and line ends around a variable's value are no part of it either.
    """
    assert revealed(find_credentials({TOKEN: text})) == (None, None, "a-token")


@pytest.mark.parametrize("text", ['"a-token"', "'a-token'"])
def test_quotes_are_warned_of(tmp_path, text, caplog):
    """
    Quotes around a value are sent, as they may be part of it, and are warned of in one sentence
    that names the variable and not the value.
    """
    (tmp_path / "file").write_text(f"{text}\n")
    for name, value in ((TOKEN, text), (f"{TOKEN}_FILE", str(tmp_path / "file"))):
        caplog.clear()
        assert revealed(find_credentials({name: value})) == (None, None, text)
        (record,) = caplog.records
        assert record.getMessage().startswith(name)
        assert "docker's --env-file keeps quotes" in record.getMessage()
        assert "a-token" not in record.getMessage()


@pytest.mark.parametrize("text", ['"', '"a-token', "a-token'", "\"a-token'", 'a"to"ken'])
def test_other_quotes_are_not_warned_of(text, caplog):
    """
    A quote on one side, or inside, is a character like any other.
    """
    assert revealed(find_credentials({TOKEN: text})) == (None, None, text)
    assert caplog.text == ""


UNUSABLE = {
    "empty": (b"", "holds nothing"),
    "only a mark": (b"\xef\xbb\xbf", "holds nothing"),
    "only blanks": (b" \r\n\t", "holds nothing"),
    "NUL": (b"a\0token", "holds NUL characters"),
    "UTF-16 without a mark": ("a-token".encode("utf-16-le"), "holds NUL characters"),
    "UTF-16 that ends within a character": (b"\xff\xfea", "is not text"),
    "two lines": (b"an-id\na-token\n", "more than one line"),
    "too long": (b"x" * 70_000, "too long"),
    "endless": (None, "too long"),
    "folder": (..., "cannot be read: Is a directory"),
}


@pytest.mark.parametrize(("content", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_file_that_is_no_credential(tmp_path, content, words):
    """
    What a file cannot be read as is said with its name, and nothing of what is in it.
    """
    path = tmp_path / "access_token"
    match content:
        case None:
            path.symlink_to("/dev/zero")
        case bytes():
            path.write_bytes(content)
        case _:
            path.mkdir()
    for name, value in ((f"{TOKEN}_FILE", path), ("CREDENTIALS_DIRECTORY", tmp_path)):
        with pytest.raises(SettingsError, match=words) as caught:
            find_credentials({name: str(value)})
        assert str(caught.value).startswith(f"{name}: {path} ")
        assert not any(part in str(caught.value) for part in ("a-token", "an-id", "xxxx"))


def test_file_below_the_home_folder(tmp_path, monkeypatch):
    """
    `~` is the home folder.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("a-token")
    assert revealed(find_credentials({f"{TOKEN}_FILE": "~/token"})) == (None, None, "a-token")


def test_file_that_cannot_be_read(tmp_path):
    """
    A file that the system does not read is an error with the system's words.
    """
    (tmp_path / "file").symlink_to("/proc/self/mem")
    with pytest.raises(SettingsError, match="file cannot be read: Input/output error"):
        find_credentials({f"{TOKEN}_FILE": str(tmp_path / "file")})


def test_file_that_is_not_there(tmp_path):
    """
    A named file that cannot be read is an error that names it and says why.
    """
    with pytest.raises(SettingsError, match="gone is not there"):
        find_credentials({f"{TOKEN}_FILE": str(tmp_path / "gone")})


def test_file_that_is_not_text(tmp_path):
    """
    A file of other bytes is refused, and they are not shown.
    """
    (tmp_path / "binary").write_bytes(b"secret\xff")
    with pytest.raises(SettingsError, match="binary is not text") as caught:
        find_credentials({f"{TOKEN}_FILE": str(tmp_path / "binary")})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"client_id": "an-id"},
        {"client_secret": "a-secret", "access_token": "a-token"},
        {"access_token": ""},
        {"access_token": "two words"},
        {"access_token": 4711},
    ],
)
def test_credentials_that_cannot_be_right(fields):
    """
    A caller's credentials are checked like those of the environment, and not repeated.
    """
    with pytest.raises(SettingsError) as caught:
        Credentials(**fields)
    assert all(str(text) not in str(caught.value) for text in fields.values() if text)


def test_credentials_do_not_show_themselves():
    """
    Neither `repr` nor `str` of credentials holds one of them.
    """
    credentials = Credentials(client_id="an-id", client_secret="a-secret", access_token="a-token")
    shown = f"{credentials!r} {credentials}"
    assert not any(secret in shown for secret in ("an-id", "a-secret", "a-token"))
