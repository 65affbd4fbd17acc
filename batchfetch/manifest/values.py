"""
What programs write around values, or in place of one: taken off, and read as no value.
"""

import re
from collections.abc import Mapping
from typing import overload

from pydantic import JsonValue

NULL_WORDS = frozenset({"", "NULL", r"\N", "NaT", "None", "nan", "NaN"})
"""What databases and programs write for no value."""

_PAIRS: Mapping[str, str] = {'"': '"', "'": "'", "{": "}", "\u201c": "\u201d"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_DIGITS = 1000
_MAX_SHOWN = 80


def shown(value: object) -> str:
    """
    Return *value* as a message may contain it: printable, and cut to 80 characters.
    """
    if isinstance(value, str):
        return repr(value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…")
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def text_of(value: JsonValue, column: str) -> str | None:
    r"""
    Return the text of *value*: stripped, without byte order marks and without `="…"` around it.

    It is None for an empty text and for a word like NULL or \N.  Integers become digits.  Raises
    `ValueError`, with a message that names the *column*, for a value of another type.
    """
    if isinstance(value, str):
        text = value.strip()
        if text in NULL_WORDS:
            return None
        # Most text has nothing else around it, and a million rows have several millions of values.
        return text if text.isascii() and text[0] != "=" else _unwrapped(text)
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
        return None
    # Some tools write ids of digits as JSON numbers.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_MAX_DIGITS:
        return str(value)
    raise ValueError(f"{column} {shown(value)} is not text; use a string")


def _unwrapped(text: str) -> str | None:
    text = text.strip("\ufeff").strip()
    if text[:2] == '="' and text[-1] == '"' and len(text) > 2:
        text = text[2:-1].strip()
    return None if text in NULL_WORDS else text


def unwrapped_id(text: str) -> str:
    """
    Return the task id *text* without the quotes and braces around it.
    """
    while len(text) > 1 and _PAIRS.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


@overload
def without_surrogates(value: str) -> str: ...
@overload
def without_surrogates(value: JsonValue) -> JsonValue: ...
def without_surrogates(value: JsonValue) -> JsonValue:
    """
    Return *value* with U+FFFD in place of lone surrogates.
    """
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [without_surrogates(item) for item in value]
        case dict():
            return {
                without_surrogates(key): without_surrogates(item) for key, item in value.items()
            }
        case _:
            return value


def without_nan(value: JsonValue) -> JsonValue:
    """
    Return *value* with None in place of NaN and infinite numbers, which JSON does not have.
    """
    match value:
        case float():
            return value if abs(value) < float("inf") else None
        case list():
            return [without_nan(item) for item in value]
        case dict():
            return {key: without_nan(item) for key, item in value.items()}
        case _:
            return value
