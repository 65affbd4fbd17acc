"""
The log's formats: secrets removed from what others say and from tracebacks, on single lines.
"""

import json
import logging
import sys

import pytest

from batchfetch.cli.logs import JsonFormatter, TextFormatter
from batchfetch.redaction import Redactor

SECRET = "production-key-4711"  # Its beginning could be the name of a folder.


def record_of(message, name="aiohttp.client", exc_info=None):
    """
    Return a record of the log of *name*.
    """
    return logging.LogRecord(name, logging.WARNING, __file__, 1, "%s", (message,), exc_info)


@pytest.fixture(params=[TextFormatter, JsonFormatter], ids=["text", "json"])
def formatted(request):
    """
    Format records as one of the formats does that knows the secret of a run.
    """
    formatter = request.param()
    formatter.secrets = Redactor(SECRET)
    return formatter.format


@pytest.mark.parametrize("said", [SECRET, SECRET[:12], SECRET.upper(), "production%2Dkey%2D4711"])
def test_library_that_repeats_a_secret(formatted, said):
    """
    What another library logs has no part of a secret.
    """
    line = formatted(record_of(f"cannot load cookie {said}"))
    assert "cannot load cookie ***" in line
    assert said not in line


@pytest.mark.parametrize(
    "said",
    [
        "Bearer abc.def",
        "'Authorization': 'Basic YWJj'",
        "Proxy-Authorization: Digest YWJj",
        "client_secret=abc&grant_type=x",
        '{"access_token": "abc"}',
    ],
)
def test_secret_that_is_not_known(formatted, said):
    """
    Where a secret is to be expected there is none, whatever it is.
    """
    line = formatted(record_of(said))
    assert "***" in line
    assert not any(text in line for text in ("abc", "YWJj"))


def test_traceback_without_a_secret(formatted):
    """
    A traceback, its causes included, has no part of a secret either.
    """
    try:
        try:
            int(f"{SECRET[3:15]}\u202e")
        except ValueError as exc:
            raise RuntimeError(f"of {SECRET}") from exc
    except RuntimeError:
        line = formatted(record_of("defect", "batchfetch.run", sys.exc_info()))
    assert "RuntimeError: of ***" in line
    assert "invalid literal for int() with base 10: '***" in line
    assert "\u202e" not in line


def test_own_sentence_names_a_path(formatted):
    """
    Our own sentences name files as they are called, and still no whole secret.
    """
    line = formatted(record_of(f"/data/production-key/a.csv: {SECRET}", "batchfetch.run"))
    assert "/data/production-key/a.csv: ***" in line


def test_controls_in_fields():
    """
    In JSON the members keep their values, with controls as escapes.
    """
    record = record_of("said \u202e")
    record.fields = {"name": "a\u202e\x9b\x7f\u2028b", "lone": "\ud800"}
    line = JsonFormatter().format(record)
    assert line.isascii() or all(character.isprintable() for character in line)
    assert json.loads(line)["name"] == "a\u202e\x9b\x7f\u2028b"
    assert "\\u202e" in line
