"""
A body in pieces → the image's text in pieces, and the answer around it.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from batchfetch.decoding.scanner import JsonScanner
from batchfetch.errors import MalformedBodyError, NoDataError, WrongTaskError
from batchfetch.models import Answer, TaskStatus
from batchfetch.text import plain_text

MAX_TEXTS = 100
"""Messages, and warnings, kept of one answer."""

RESULT_DATA_LOST = "ResultDataLost"
"""The `responseStatusCode` of a completed task whose image the service no longer has."""

_RESPONSE_STATUS_CODES = (
    "Ok",
    "PartiallyNotFound",
    "NoAnyResultData",
    RESULT_DATA_LOST,
    "TaskNotFound",
    "NotReady",
    "Error",
)

# The service's examples show names; its SDK also numbers them, from one, in this order.
_STATUS_BY_NAME = {
    spelling.lower(): status
    for number, status in enumerate(TaskStatus, start=1)
    for spelling in (status.value, str(number))
}
_CODE_BY_NAME = {
    spelling.lower(): code
    for number, code in enumerate(_RESPONSE_STATUS_CODES, start=1)
    for spelling in (code, str(number))
}


def _known_status(value: object) -> TaskStatus:
    try:
        return _STATUS_BY_NAME[str(value).lower()]
    except KeyError:
        message = "{status} is no status of a task"
        shown = {"status": plain_text(repr(value), 100)}
        raise PydanticCustomError("unknown_status", message, shown) from None


def _usual_code(value: object) -> str | None:
    if value is None:
        return None
    return _CODE_BY_NAME.get(str(value).lower()) or plain_text(str(value))


class _Error(BaseModel):
    messages: list[str | None] | None = None
    warnings: list[str | None] | None = None


class _Envelope(BaseModel):
    """
    The service's answer without the image.  Only the status is required of it.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True, hide_input_in_errors=True)

    id: str | None = None
    status: Annotated[TaskStatus, BeforeValidator(_known_status)] = Field(alias="taskStatus")
    response_status_code: Annotated[str | None, BeforeValidator(_usual_code)] = Field(
        default=None, alias="responseStatusCode"
    )
    error: _Error | None = None


class ResultDecoder:
    """
    Read the JSON that answers a question about *task_id*, fed in pieces of any size.
    """

    encoded = True
    """Whether the pieces handed out are base64."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._scanner = JsonScanner()

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return what *chunk* holds of the image's base64; most often nothing or one piece.

        Nothing is known yet of the answer around it: keep the image only if `close` says the task
        is completed.

        Raises `MalformedBodyError`, `MalformedBase64Error` or `TooLargeError`.
        """
        return self._scanner.feed(chunk)

    def close(self) -> Answer:
        """
        Declare the end of the body and return the answer around the image.

        A task that is completed has an image, or the answer's `response_status_code` is
        `RESULT_DATA_LOST`: then whether a piece was handed out tells.

        Raises `TruncatedBodyError`, `MalformedBodyError`, `WrongTaskError` or `NoDataError`.
        """
        envelope = _parse(self._scanner.close())
        if envelope.id and envelope.id.lower() != self._task_id.lower():
            raise WrongTaskError(f"the answer is about task {plain_text(envelope.id, 100)!r}")
        completed = envelope.status is TaskStatus.COMPLETED
        lost = envelope.response_status_code == RESULT_DATA_LOST
        if completed and not lost and not self._scanner.has_data:
            raise NoDataError("the task is completed and the answer holds no image")
        error = envelope.error or _Error()
        return Answer(
            envelope.status,
            envelope.response_status_code,
            messages=_plain_texts(error.messages),
            warnings=_plain_texts(error.warnings),
        )


class FileDecoder:
    """
    Read the answer of an endpoint that sends the image itself, with nothing around it.
    """

    encoded = False
    """Whether the pieces handed out are base64."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._has_data = False

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return what *chunk* holds of the image: all of it.
        """
        if not chunk:
            return []
        self._has_data = True
        return [chunk]

    def close(self) -> Answer:
        """
        Declare the end of the body: the task is completed.

        Raises `MalformedBodyError` if the body was empty.
        """
        if not self._has_data:
            raise MalformedBodyError(f"the body is empty, for task {self._task_id}")
        return Answer(TaskStatus.COMPLETED)


def _parse(envelope: bytes) -> _Envelope:
    try:
        return _Envelope.model_validate_json(envelope)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in error["loc"])
        detail = f"{where}: {error['msg']}" if where else error["msg"]
        raise MalformedBodyError(plain_text(f"not the JSON promised: {detail}")) from exc


def _plain_texts(texts: list[str | None] | None) -> tuple[str, ...]:
    return tuple(plain_text(text) for text in (texts or ())[:MAX_TEXTS] if text)
