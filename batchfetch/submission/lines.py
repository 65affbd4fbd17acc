"""
Lines of a submission's report and of its manifest.

Each POST has an intent, written before it is sent, and an end: the result of its image, or an
`Ending` if the image is tried again.  An intent without an end was in flight when a run died.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from batchfetch.models import NO_EXTRA
from batchfetch.report import require_report
from batchfetch.report.lines import decode_as
from batchfetch.submit_settings import SubmitStatus
from batchfetch.text import escape_json

_CONFIG = ConfigDict(frozen=True, populate_by_name=True, extra="ignore", defer_build=True)


class Intent(BaseModel):
    """
    An image is about to be sent.
    """

    model_config = _CONFIG

    # First: the torn beginning of a report's line is known by it.
    task_id: None = None
    intent: str
    name: str | None = None
    endpoint: str | None = None
    source: str | None = None
    source_bytes: int | None = None
    source_sha256: str | None = None
    started_at: AwareDatetime | None = None
    resubmits: str | None = None
    manifest: str | None = None
    line: int | None = None
    extra: Mapping[str, JsonValue] = NO_EXTRA


class SubmitResult(BaseModel):
    """
    What became of an image in a run.
    """

    model_config = _CONFIG

    task_id: str | None = None
    status: SubmitStatus = Field(alias="outcome")
    reason: str | None = None
    detail: str | None = None
    name: str | None = None
    endpoint: str | None = None
    source: str | None = None
    source_bytes: int | None = None
    source_sha256: str | None = None
    calls: int = 0
    started_at: AwareDatetime | None = None
    submitted_at: AwareDatetime | None = None
    """When it was accepted."""

    finished_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    resubmits: str | None = None
    intent: str | None = None
    manifest: str | None = None
    line: int | None = None
    extra: Mapping[str, JsonValue] = NO_EXTRA


class Ending(BaseModel):
    """
    A POST has ended, and the image is still to be submitted: nothing was accepted.
    """

    model_config = _CONFIG

    task_id: None = None
    intent: str
    ended: str
    """The reason, as in a result."""

    finished_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


class Checkpoint(BaseModel):
    """
    All that was accepted up to here is in the manifest.
    """

    model_config = _CONFIG

    task_id: None = None
    checkpoint: str
    """The manifest's absolute path, or `-`."""


class Line(BaseModel):
    """
    What a later run needs of a line, whichever of these it is.
    """

    model_config = _CONFIG

    task_id: str | None
    intent: str | None = None
    status: SubmitStatus | None = Field(default=None, alias="outcome")
    ended: str | None = None
    checkpoint: str | None = None
    endpoint: str | None = None
    source_sha256: str | None = None
    resubmits: str | None = None
    submitted_at: AwareDatetime | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _is_ours(self) -> "Line":
        if self.status is None and self.intent is None and self.checkpoint is None:
            raise ValueError("it has no outcome")
        if self.status is not None and "source" not in self.model_fields_set:
            raise ValueError("it is about a task, and no image")  # Of a report of `fetch`.
        return self


def decode(line: bytes) -> Line | None:
    """
    Return what *line* says; None if it is blank.

    Raises `ValueError` with a few words if it is no line of a submission's report.
    """
    return decode_as(Line, line)


def require_submit_report(path: Path) -> None:
    """
    Raise `SettingsError` if there are lines at *path* and none is of a submission's report.

    Raises `ReportError` if the file is there and cannot be read.
    """
    require_report(path, decode)


def manifest_line(result: SubmitResult) -> bytes:
    """
    Return the line of the manifest for an image that was accepted.
    """
    own: dict[str, JsonValue] = {
        "task_id": result.task_id,
        "name": result.name,
        "submitted_at": _instant(result.submitted_at),
        "endpoint": result.endpoint,
        "source": result.source,
        "source_bytes": result.source_bytes,
        "source_sha256": result.source_sha256,
    }
    columns = {key: value for key, value in result.extra.items() if key not in own}
    text = json.dumps(own | columns, ensure_ascii=False, separators=(",", ":"))
    return escape_json(text.encode(errors="replace").decode()).encode() + b"\n"


def _instant(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")
