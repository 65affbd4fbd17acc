"""
One row of a manifest, whatever its format, made into a Job or into the reason why not.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from batchfetch.endpoints import endpoint_path
from batchfetch.manifest.names import default_filename, image_filename
from batchfetch.models import NO_EXTRA, BadRow, Job

MAX_ID = 512
"""Characters of a task id."""

_ORDINARY_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")

# Blanks, controls, what nobody sees, and what cannot be encoded: signs of a broken row.
_NOT_IN_ID = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff\ud800-\udfff]")


class RowReader:
    """
    Make jobs of the rows of one *manifest* (its name, as the report shall show it).
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
        Return the row that begins at *line* as a job, or as a bad row that says why not.

        *extra* is what the manifest says besides.  Text is trimmed, and what is then empty counts
        as absent.
        """
        known_id = None
        try:
            known_id = _task_id(task_id)
            instant = None if submitted_at is None else _instant(submitted_at)
            place = None if endpoint is None else _endpoint(endpoint)
            words = None if name is None else _text(name, "name")
        except ValueError as exc:
            return self.bad(line, str(exc), task_id=known_id, extra=extra)
        try:
            filename = image_filename(words) if words else default_filename(known_id)
        except ValueError as exc:
            return self.bad(line, str(exc), reason="bad_name", task_id=known_id, extra=extra)
        return Job(known_id, filename, words, instant, place, self._manifest, line, extra)

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
        Return the row that begins at *line* as one that cannot be used.
        """
        return BadRow(reason, detail, task_id, self._manifest, line, extra)


def _task_id(value: JsonValue) -> str:
    text = _text(value, "task_id")
    if text is None:
        raise ValueError("the row has no task_id")
    if _ORDINARY_ID.fullmatch(text):
        return text
    if len(text) > MAX_ID:
        raise ValueError(f"the task_id has {len(text)} characters; {MAX_ID} is the most")
    if _NOT_IN_ID.search(text):
        raise ValueError(f"the task_id {_shown(text)} holds blanks or control characters")
    return text


def _text(value: JsonValue, column: str) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if value is None:
        return None
    # Tools that write JSON turn ids of digits into numbers.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{column} is not text")


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
            f"submitted_at {_shown(text)} is no date; write 2026-01-31T12:00:00Z"
        ) from None


def _endpoint(value: JsonValue) -> str | None:
    text = _text(value, "endpoint")
    if text is not None:
        endpoint_path(text)
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
