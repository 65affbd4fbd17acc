"""
Replacement of halves of surrogate pairs in JSON text.

JSON can spell them as escape sequences, and programs that cut texts after so many UTF-16 units do.
Python's `json` reads them; pydantic's parser, which is stricter, refuses the whole document.
"""

import re

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

# Group 1 is text without halves of pairs.  Escape sequences are matched one by one, so that no
# backslash is taken for the beginning of another one.
_WHOLE_OR_HALF = re.compile(
    rb"((?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(?!u[dD][89a-fA-F]).)++)"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)


def replace_lone_surrogates(text: bytes) -> bytes:
    """
    Return *text*, JSON or the inside of a string of it, with U+FFFD for every half of a pair.
    """
    if not _SURROGATE.search(text):
        return text
    return _WHOLE_OR_HALF.sub(lambda match: match[1] or rb"\ufffd", text)
