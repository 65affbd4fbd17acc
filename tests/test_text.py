"""
`text`: text from outside, made fit to be shown.
"""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.text import sanitize


@pytest.mark.parametrize(
    "text", ["", "the image is blank", "größer als 5 MB \U0001f600", "a\u00a0b"]
)
def test_leaves_words_alone(text):
    """
    Ordinary text of any language is itself.
    """
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\ntwo\tthree", "one  two three"),
        ("\x1b[2J\x07", "\ufffd[2J\ufffd"),
        ("\x9b31m\x7f", "\ufffd31m\ufffd"),
        ("\u202egnp.exe\u2066", "\ufffdgnp.exe\ufffd"),
        ("a\u2028b\u2029c\x85d", "a\ufffdb\ufffdc\ufffdd"),
        ("\ud800", "\ufffd"),
    ],
)
def test_replaces_what_could_move_a_terminal(text, shown):
    """
    Controls, bidirectional controls, line separators and lone surrogates are made harmless.
    """
    assert sanitize(text) == shown


@given(st.text(st.characters()))
def test_is_one_line_without_controls(text):
    """
    Whatever comes in, one line without control characters goes out, and it can be encoded.
    """
    shown = sanitize(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in shown)
    assert not any(
        unicodedata.bidirectional(character)
        in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for character in shown
    )
    shown.encode()


@pytest.mark.parametrize(("length", "expected"), [(9, 9), (10, 10), (11, 10), (10**6, 10)])
def test_is_cut_to_the_limit(length, expected):
    """
    A text is cut to the limit, and shows it.
    """
    shown = sanitize("x" * length, 10)
    assert len(shown) == expected
    assert shown.endswith("…") is (length > expected)
