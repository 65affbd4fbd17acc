"""
The answer to a submission: the id of the new task, as JSON or as text.
"""

from pydantic_core import from_json

from batchfetch.errors import MalformedBodyError
from batchfetch.manifest.values import text_of, unwrapped_id
from batchfetch.text import sanitize

_LONGEST = 200
"""Characters of an id; those of the service have 36."""

_MARK = b"\xef\xbb\xbf"

_NO_TEXT = frozenset({b"null", b"true", b"false"})
"""Values of JSON that are no text, and would pass for bare words."""


def task_id_in(answer: bytes) -> str:
    """
    Return the id that *answer* gives: a JSON string, or bare text.

    Raises `MalformedBodyError` if it is no opaque word without blanks, or if a manifest would read
    another one, or none, in its place.
    """
    text = answer.removeprefix(_MARK).strip()
    try:
        found = from_json(text) if text[:1] == b'"' else text.decode()
    except ValueError:
        raise MalformedBodyError("the answer is no id of a task") from None
    if text in _NO_TEXT or not _is_id(found):
        raise MalformedBodyError(f"the answer is no id of a task: {sanitize(found, 80)!r}")
    return str(found)


def _is_id(text: str) -> bool:
    is_word = 0 < len(text) <= _LONGEST and text.isascii() and text.isprintable()
    if not is_word or " " in text or text[0] in '<{["':
        return False
    return text_of(text, "task_id") == text and unwrapped_id(text) == text
