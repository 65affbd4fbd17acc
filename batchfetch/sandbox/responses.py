"""
Responses of the stand-in as values, with bodies in the form that the service documents.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import pybase64

from batchfetch.models import TaskStatus
from batchfetch.sandbox.queue import Task

# A multiple of three, so that pieces of base64 join without padding between them.
_PIECE = 192 * 1024

_RESPONSE_CODES = {
    TaskStatus.PENDING: "NotReady",
    TaskStatus.PROCESSING: "NotReady",
    TaskStatus.COMPLETED: "Ok",
    TaskStatus.ERROR: "Error",
    TaskStatus.NOT_EXIST: "TaskNotFound",
}


@dataclass(frozen=True, slots=True)
class Response:
    """
    An HTTP response.  Its body is *head*, then the image if there is one, then *tail*.
    """

    status: int
    content_type: str | None = None
    head: bytes = b""
    image: bytes | None = None
    tail: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    base64: bool = False
    """Whether the image is encoded in base64."""

    accepts: bool = False
    """Whether it says that an image was accepted."""

    note: str = ""
    """What it says, in a few words for the log."""

    @property
    def length(self) -> int:
        """
        The body's length in bytes.
        """
        image = len(self.image or b"")
        return len(self.head) + ((image + 2) // 3 * 4 if self.base64 else image) + len(self.tail)

    def pieces(self) -> Iterator[bytes]:
        """
        Yield the body in pieces of at most 256 KiB, so that it is never in memory as a whole.
        """
        yield self.head
        view = memoryview(self.image or b"")
        for start in range(0, len(view), _PIECE):
            piece = view[start : start + _PIECE]
            yield pybase64.b64encode(piece) if self.base64 else bytes(piece)
        yield self.tail


def task_response(
    task_id: str, status: TaskStatus, task: Task | None, image: bytes | None
) -> Response:
    """
    Return the response of GetResultTask and its replacements.
    """
    script = task.script if task and status.is_terminal else None
    has_texts = script is not None and (script.messages or script.warnings)
    lost = status is TaskStatus.COMPLETED and script is not None and script.lost
    document = {
        "id": task.task_id if task else task_id,
        "responseStatusCode": "ResultDataLost" if lost else _RESPONSE_CODES[status],
        "taskStatus": status.value,
        "results": None if image is None else [{"type": "ImagePNG", "data": ""}],
        "error": {"messages": script.messages, "warnings": script.warnings}
        if script and has_texts and status is not TaskStatus.NOT_EXIST
        else None,
    }
    # Quotes inside JSON strings are escaped, so only the member itself can match.
    head, mark, tail = _json(document).partition(b'"data":"')
    return Response(
        200, "application/json", head + mark, image, tail, base64=True, note=status.value
    )


def file_response(image: bytes | None) -> Response:
    """
    Return the response of GetResultFile: the PNG itself, or 204 if there is none.
    """
    return Response(204) if image is None else Response(200, "image/png", image=image)


def acceptance(task_id: str, accept: str) -> Response:
    """
    Return the response to an image that is now task *task_id*: the id as text, and as JSON if the
    *accept* header contains JSON.
    """
    if "json" in accept:
        return replace(json_response(task_id), accepts=True)
    return Response(200, "text/plain", task_id.encode(), accepts=True)


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """
    Return a response with *value* as JSON.
    """
    return Response(status, "application/json", _json(value), headers=headers or {})


def problem_response(
    status: int, detail: str, instance: str, headers: Mapping[str, str] | None = None
) -> Response:
    """
    Return a response with a problem document (RFC 7807).
    """
    document = {
        "type": f"https://httpstatuses.io/{status}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    return Response(
        status, "application/problem+json", _json(document), headers=headers or {}, note=detail
    )


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
