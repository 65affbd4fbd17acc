"""
What Python's own parsers make of a whole response: the reference for the incremental decoders.
"""

import base64
import json
import re
from typing import Any

from bodies import TASK_ID

from batchfetch.decoding.envelope import MAX_TEXTS
from batchfetch.models import Answer, TaskStatus
from batchfetch.text import sanitize

# The standard library's decoder is not strict enough as a reference: it accepts "QUJD=".
GRAMMAR = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

_STATUSES = {status.value.lower(): status for status in TaskStatus} | {
    str(number): status for number, status in enumerate(TaskStatus, start=1)
}
_CODES = ("Ok", "PartiallyNotFound", "NoAnyResultData", "ResultDataLost", "TaskNotFound")
_CODES += ("NotReady", "Error")
_CODE_NAMES = {code.lower(): code for code in _CODES} | {
    str(number): code for number, code in enumerate(_CODES, start=1)
}


class RefusedError(Exception):
    """
    The response is not what the service documents.
    """


def reading_of(text: bytes) -> tuple[bytes, Answer]:
    """
    Return the image and the answer in *text*, a response about `TASK_ID`.

    Raises `RefusedError`.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RefusedError from exc
    _require(isinstance(document, dict))
    answer_id = document.get("id")
    _require(answer_id is None or isinstance(answer_id, str | int | float))
    _require(not isinstance(answer_id, bool))
    _require(not answer_id or str(answer_id).lower() == TASK_ID.lower())
    status = _STATUSES.get(str(document.get("taskStatus")).lower())
    _require(status is not None)
    assert status is not None
    code = document.get("responseStatusCode")
    if code is not None:
        code = _CODE_NAMES.get(str(code).lower()) or sanitize(str(code))
    error = document.get("error")
    if not isinstance(error, dict):
        error = {"messages": error}
    answer = Answer(status, code, _texts(error, "messages"), _texts(error, "warnings"))
    image = _image(document)
    _require(bool(image) or status is not TaskStatus.COMPLETED or code == "ResultDataLost")
    return image, answer


def _require(condition: bool) -> None:  # noqa: FBT001 - an assertion
    if not condition:
        raise RefusedError


def _texts(error: dict[str, Any], key: str) -> tuple[str, ...]:
    found = error.get(key)
    texts = [
        text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        for text in (found if isinstance(found, list) else [found])[:MAX_TEXTS]
        if text is not None
    ]
    return tuple(sanitize(text) for text in texts if text)


def _image(document: dict[str, Any]) -> bytes:
    try:
        data = document["results"][0]["data"]
    except (KeyError, IndexError, TypeError):
        return b""
    if not isinstance(data, str):
        return b""
    _require(GRAMMAR.fullmatch(data.encode("utf-8", "replace")) is not None)
    return base64.b64decode(data)
