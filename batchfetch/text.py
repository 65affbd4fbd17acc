"""
Sanitizing of untrusted text before it is displayed, logged or opened in a spreadsheet.
"""

import re

MAX_LENGTH = 1000
"""The most characters kept of one text from the service."""

UNCUT_LENGTH = 4 * MAX_LENGTH
"""The most characters of it from which secrets are removed before it is cut."""

_REPLACEMENT = "\ufffd"

# Characters that can control a terminal, forge a log line, reverse text or fail to encode: C0 and
# C1 controls, bidirectional controls, line and paragraph separators, lone surrogates.
_HARMFUL = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
    *range(0xD800, 0xE000),
)
_ESCAPED = {code: f"\\u{code:04x}" for code in _HARMFUL if code >= 0x7F}
_HARMLESS = dict.fromkeys(_HARMFUL, _REPLACEMENT) | dict.fromkeys(map(ord, "\t\n\r"), " ")


# What a spreadsheet takes for a formula, behind any number of apostrophes; and numbers with a sign.
# In some languages also the wide forms of these characters begin one.
_FORMULA = re.compile("'*[-=+@\t\r\n\uff0b\uff0d\uff1d\uff20]")
_MARKED = re.compile(f"'{_FORMULA.pattern}")
_SIGNED = re.compile(r"[+-]\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?")


def mark_formula(text: str) -> str:
    """
    Return *text* as a cell that no spreadsheet takes for a formula: with an apostrophe before it if
    it begins like one and is no number.

    Text that only looks marked gets one, too, so that `unmark_formula` always gives *text* back.
    """
    return f"'{text}" if _FORMULA.match(text) and not _SIGNED.fullmatch(text) else text


def unmark_formula(cell: str) -> str:
    """
    Return the text of a *cell* that `mark_formula` made.
    """
    return cell[1:] if _MARKED.match(cell) else cell


def sanitize(text: str, limit: int = MAX_LENGTH) -> str:
    """
    Return *text* on one line, without control characters, in at most *limit* characters.

    Tabs and line ends become blanks, every other control character U+FFFD.  A longer text is cut
    and ends with an ellipsis.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_HARMLESS)


def needs_extra(what: str, extra: str) -> str:
    """
    Return a sentence that says how to get the *extra* that *what* takes.
    """
    return f"{what} needs the extra {extra}; install it with pip install 'batchfetch[{extra}]'"


def escape_json(document: str) -> str:
    """
    Return the JSON *document* with the characters that `sanitize` replaces as escapes (`\\u202e`).
    """
    is_plain = document.isascii() and "\x7f" not in document
    return document if is_plain else document.translate(_ESCAPED)
