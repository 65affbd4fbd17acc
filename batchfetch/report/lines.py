"""
Encode outcomes as lines of the report, and decode what a later run needs of them.
"""

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from batchfetch.models import OutcomeStatus
from batchfetch.text import escape_json

MAX_LINE = 2**23
"""Bytes of a line, its end included.  Ours stay below: a manifest's row has 2²⁰ characters, of
which JSON makes six bytes each at most, and the service's words are cut."""

# What `encode` makes begins so.
_BEGINNING = b'{"task_id":'

# Blanks; a byte order mark that an editor left; the zeros that a file system leaves where it had
# made room for a line when the power went.
AROUND = b" \t\r\n\0\xef\xbb\xbf"


class ReportLine(BaseModel):
    """
    What a later run needs of a line.
    """

    model_config = ConfigDict(frozen=True)

    task_id: str | None
    status: OutcomeStatus = Field(alias="outcome")
    calls: NonNegativeInt
    path: str | None = None
    manifest: object = None
    line: object = None
    bytes: NonNegativeInt | None = None
    finished_at: object = None
    source: None = None
    """A line about the source of an image is one of a submission's report."""


L = TypeVar("L", bound=BaseModel)


def encode(outcome: BaseModel) -> bytes:
    """
    Return *outcome*, an `Outcome` mostly, as one line: UTF-8, with its line end and none that other
    programs take for one, and without characters that a terminal obeys.
    """
    try:
        text = outcome.model_dump_json(by_alias=True)
    except PydanticSerializationError:
        # A lone surrogate, which cannot be written as UTF-8; some question marks lose nothing else.
        values = outcome.model_dump(mode="json", by_alias=True)
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        text = text.encode(errors="replace").decode()
    return escape_json(text).encode() + b"\n"


def decode(line: bytes) -> ReportLine | None:
    """
    Return what *line* says; None if it is blank.

    Raises `ValueError` with a few words if it is no outcome.
    """
    return decode_as(ReportLine, line)


def decode_as(kind: type[L], line: bytes) -> L | None:
    """
    Do the same with as much of *line* as *kind* has.
    """
    text = line.strip(AROUND)
    if not text:
        return None
    try:
        return kind.model_validate_json(text)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        place = "".join(f"{part}: " for part in error["loc"])
        raise ValueError(f"{place}{error['msg']}") from None


def is_torn(line: bytes) -> bool:
    """
    Whether *line* can only be the beginning of a report's: it begins like one, has no end and is no
    whole object.
    """
    beginning = line.lstrip(b"\0")
    least = min(len(beginning), len(_BEGINNING))
    if beginning[-1:] == b"\n" or beginning[:least] != _BEGINNING[:least]:
        return False
    try:
        from_json(beginning)
    except ValueError:
        return True
    return False
