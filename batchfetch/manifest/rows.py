"""
Validation of manifest rows, independent of the format: a row becomes a job or a bad row.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from batchfetch.endpoints import endpoint_path
from batchfetch.manifest.names import default_filename, image_filename
from batchfetch.models import NO_EXTRA, BadRow, Job

MAX_ID = 512
"""The most characters of a task id."""

_ORDINARY_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")

# Blanks, control and invisible characters, and lone surrogates: signs of a damaged row.
_NOT_IN_ID = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff\ud800-\udfff]")


class RowReader:
    """
    Converts the rows of one manifest; *manifest* is its name in the report, None if there is none.
    """

    def __init__(self, manifest: str | None) -> None:
        self._manifest = manifest

    def job(
        self,
        line: int | None,
        task_id: JsonValue = None,
        name: JsonValue = None,
        submitted_at: JsonValue | datetime = None,
        endpoint: JsonValue = None,
        extra: Mapping[str, JsonValue] = NO_EXTRA,
    ) -> Job | BadRow:
        """
        Return the row that begins at *line* as a job, or as a bad row with the reason.

        *extra* holds the other columns.  Text is stripped, and text that is then empty counts as
        absent.  An id or name may be an integer; a time without an offset is UTC.
        """
        known_id = None
        try:
            known_id = _task_id(task_id)
            instant = None if submitted_at is None else _instant(submitted_at)
            endpoint_name = None if endpoint is None else _endpoint(endpoint)
            image_name = None if name is None else _text(name, "name")
        except ValueError as exc:
            return self.bad(line, str(exc), task_id=known_id, extra=extra)
        try:
            filename = image_filename(image_name) if image_name else default_filename(known_id)
        except ValueError as exc:
            return self.bad(line, str(exc), reason="bad_name", task_id=known_id, extra=extra)
        return Job(
            known_id, filename, image_name, instant, endpoint_name, self._manifest, line, extra
        )

    def bad(
        self,
        line: int | None,
        detail: str,
        *,
        reason: str = "bad_row",
        task_id: str | None = None,
        extra: Mapping[str, JsonValue] = NO_EXTRA,
    ) -> BadRow:
        """
        Return a bad row for the row that begins at *line*; *detail* is the message for the user.
        """
        return BadRow(reason, detail, task_id, self._manifest, line, extra)


def _task_id(value: JsonValue) -> str:
    text = _text(value, "task_id")
    if text is None:
        raise ValueError("the row has no task_id")
    if _ORDINARY_ID.fullmatch(text):
        return text
    if len(text) > MAX_ID:
        raise ValueError(f"the task_id has {len(text)} characters; at most {MAX_ID} are allowed")
    if _NOT_IN_ID.search(text):
        raise ValueError(f"the task_id {_shown(text)} contains blanks or control characters")
    return text


def _text(value: JsonValue, column: str) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if value is None:
        return None
    # Some tools write ids of digits as JSON numbers.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{column} {_shown(value)} is not text; use a string")


def _instant(value: JsonValue | datetime) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    text = _text(value, "submitted_at")
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"submitted_at {_shown(text)} is not a valid date; use the form 2026-01-31T12:00:00Z"
        ) from None


def _endpoint(value: JsonValue) -> str | None:
    text = _text(value, "endpoint")
    if text is not None:
        endpoint_path(text)
    return text


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else f"{value[:80]}…")
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
