"""
Parser for the JSON of a response without its image: validate it and make an `Answer`.
"""

import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from batchfetch.decoding.surrogates import replace_lone_surrogates
from batchfetch.errors import MalformedBodyError
from batchfetch.models import Answer, TaskStatus
from batchfetch.text import UNCUT_LENGTH, sanitize

MAX_TEXTS = 100
"""The most messages, and the most warnings, kept of one answer."""

RESULT_DATA_LOST = "ResultDataLost"
"""The `responseStatusCode` of a completed task whose image the service no longer has."""

RESPONSE_STATUS_CODES = (
    "Ok",
    "PartiallyNotFound",
    "NoAnyResultData",
    RESULT_DATA_LOST,
    "TaskNotFound",
    "NotReady",
    "Error",
)
"""The codes that are documented."""

# The API reference uses names; the vendor's SDK also numbers them, from 1, in this order.
_STATUS_BY_SPELLING = {
    spelling.lower(): status
    for number, status in enumerate(TaskStatus, start=1)
    for spelling in (status.value, str(number))
}
_CODE_BY_SPELLING = {
    spelling.lower(): code
    for number, code in enumerate(RESPONSE_STATUS_CODES, start=1)
    for spelling in (code, str(number))
}


def _known_status(value: object) -> TaskStatus:
    try:
        return _STATUS_BY_SPELLING[str(value).lower()]
    except KeyError:
        message = "{status} is not a known task status"
        raise PydanticCustomError("unknown_status", message, {"status": repr(value)}) from None


def _normalized_code(value: object) -> str | None:
    if value is None:
        return None
    return _CODE_BY_SPELLING.get(str(value).lower()) or sanitize(str(value), UNCUT_LENGTH)


def _texts(value: object) -> list[str]:
    """
    Return the first texts in *value*, documented as a list of them that may be null.

    One that is something else costs no image: a single value is a list of one, and what is not text
    is shown as JSON.
    """
    values = value if isinstance(value, list) else [value]
    return [
        text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        for text in values[:MAX_TEXTS]
        if text is not None
    ]


def _with_texts(value: object) -> object:
    return value if value is None or isinstance(value, dict) else {"messages": value}


_Texts = Annotated[list[str], BeforeValidator(_texts)]


class _Error(BaseModel):
    messages: _Texts = []
    warnings: _Texts = []


class Envelope(BaseModel):
    """
    The fields of a response that are used, except the image.  Only the status is required.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True, hide_input_in_errors=True)

    id: str | None = None
    status: Annotated[TaskStatus, BeforeValidator(_known_status)] = Field(alias="taskStatus")
    response_status_code: Annotated[str | None, BeforeValidator(_normalized_code)] = Field(
        default=None, alias="responseStatusCode"
    )
    error: Annotated[_Error | None, BeforeValidator(_with_texts)] = None

    def is_about(self, task_id: str) -> bool:
        """
        Whether the response is for *task_id*; a response without an id counts as being for it.
        """
        return not self.id or self.id.lower() == task_id.lower()

    @property
    def promises_image(self) -> bool:
        """
        Whether the response must have an image: the task is completed and its result is not lost.
        """
        lost = self.response_status_code == RESULT_DATA_LOST
        return self.status is TaskStatus.COMPLETED and not lost

    def to_answer(self) -> Answer:
        """
        Return the answer, with its texts sanitized and limited in number.

        They are longer than what is shown of them, because secrets are removed before the cut.
        """
        if self.error is None:
            return Answer(self.status, self.response_status_code)
        return Answer(
            self.status,
            self.response_status_code,
            messages=_sanitized(self.error.messages),
            warnings=_sanitized(self.error.warnings),
        )


def parse_envelope(text: bytes) -> Envelope:
    """
    Parse *text*, a complete JSON document; half a surrogate pair in it becomes U+FFFD.

    Raises `MalformedBodyError` if it is not valid JSON or not of the documented form.
    """
    try:
        return Envelope.model_validate_json(replace_lone_surrogates(text))
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(step) for step in error["loc"])
        detail = f"{field}: {error['msg']}" if field else error["msg"]
        raise MalformedBodyError(
            sanitize(f"the body is not the documented JSON: {detail}")
        ) from None


def _sanitized(texts: list[str]) -> tuple[str, ...]:
    return tuple(sanitize(text, UNCUT_LENGTH) for text in texts if text)
