"""
The answer to a submission: the id of the new task, as JSON or as text.
"""

from pydantic_core import from_json

from batchfetch.errors import MalformedBodyError
from batchfetch.text import sanitize

_LONGEST = 200
"""Characters of an id; those of the service have 36."""

_MARK = b"\xef\xbb\xbf"


def task_id_in(answer: bytes) -> str:
    """
    Return the id that *answer* gives: a JSON string, or bare text.

    Raises `MalformedBodyError` if it is no opaque word without blanks.
    """
    text = answer.removeprefix(_MARK).strip()
    try:
        found = from_json(text) if text[:1] == b'"' else text.decode()
    except ValueError:
        raise MalformedBodyError("the answer is no id of a task") from None
    is_word = 0 < len(found) <= _LONGEST and found.isascii() and found.isprintable()
    if not is_word or " " in found or found[0] in '<{["':
        raise MalformedBodyError(f"the answer is no id of a task: {sanitize(found, 80)!r}")
    return str(found)
