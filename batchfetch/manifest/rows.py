"""
Validation of manifest rows, independent of the format: a row becomes a job or a bad row.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import count, repeat

from pydantic import JsonValue

from batchfetch.endpoints import endpoint_path
from batchfetch.manifest.bulk import ordinary_jobs
from batchfetch.manifest.names import default_filename, image_filename
from batchfetch.manifest.notices import Notices
from batchfetch.manifest.times import parse_time
from batchfetch.manifest.values import NULL_WORDS, shown, text_of, unwrapped_id, without_surrogates
from batchfetch.models import NO_EXTRA, BadRow, Job

log = logging.getLogger("batchfetch.manifest")

MAX_ID = 512
"""The most characters of a task id."""

_ORDINARY_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")

# What stands for bytes that could not be decoded, here or by the program that wrote the manifest.
_UNDECODED = re.compile(r"[\ud800-\udfff\ufffd]")

# Blanks, control and invisible characters: signs of a damaged row.
_NOT_IN_ID = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]")

_TIMES = (datetime, float)

_BAD_TIME = "submitted_at cannot be read"
_LOST_BYTES = "bytes that are not valid text were replaced by U+FFFD"


class RowReader:
    """
    Converts the rows of one manifest; *manifest* is its name in the report, None if there is none.
    """

    def __init__(self, manifest: str | None) -> None:
        self._manifest = manifest
        self._notices: Notices | None = None

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

        *extra* holds the other columns.  Text is stripped, and text that is then empty or a word
        like NULL counts as absent.  An id or name may be an integer.  A time that cannot be read is
        absent too, with a warning, because the task can be fetched without it.
        """
        instant = None if submitted_at is None else self._instant(line, submitted_at)
        known_id, reason = None, "bad_row"
        try:
            known_id = _task_id(task_id)
            endpoint_name = None if endpoint is None else _endpoint(endpoint)
            image_name = None if name is None else _name(name)
            reason = "bad_name"
            filename = image_filename(image_name) if image_name else default_filename(known_id)
        except ValueError as exc:
            return BadRow(
                *(reason, str(exc), known_id, self._manifest, line, extra),
                name=_as_given(name),
                submitted_at=instant,
                endpoint=_as_given(endpoint),
            )
        return Job(
            known_id, filename, image_name, instant, endpoint_name, self._manifest, line, extra
        )

    def note_misspelt(self, label: str, field: str) -> None:
        """
        Say that the column *label*, which is nearly called like *field*, is one of the user's own.
        """
        # No warning: it may well be one.
        log.info(
            "%s: the column %s is kept in the report's extra; if it is %s, rename it",
            *(self._manifest, shown(label), field),
        )

    def reported_job(self, line: int, row: Mapping[str, JsonValue]) -> Job | BadRow:
        """
        Return the job of *row*, which is a line of an earlier run's report.
        """
        task_id, extra = row.get("task_id"), row.get("extra")
        name = row.get("name") or row.get("path")
        # An id without a valid file name fails again in `job`, which reports it.
        with suppress(ValueError):
            if isinstance(task_id, str) and name == default_filename(task_id):
                name = None
        return self.job(
            line,
            task_id,
            name,
            row.get("submitted_at"),
            row.get("endpoint"),
            extra if isinstance(extra, dict) else {},
        )

    def jobs(
        self,
        first_line: int,
        task_id: Sequence[JsonValue],
        name: Sequence[JsonValue] | None = None,
        submitted_at: Sequence[JsonValue | datetime] | None = None,
        endpoint: Sequence[JsonValue] | None = None,
        extra: Iterable[Mapping[str, JsonValue]] | None = None,
    ) -> Iterator[Job | BadRow]:
        """
        Return the rows from *first_line* on, which are given column by column.
        """
        columns = (task_id, name, submitted_at, endpoint, extra)
        found = ordinary_jobs(self._manifest, first_line, *columns)
        return self._one_by_one(first_line, *columns) if found is None else found

    def _one_by_one(
        self,
        first_line: int,
        task_id: Sequence[JsonValue],
        name: Sequence[JsonValue] | None,
        submitted_at: Sequence[JsonValue | datetime] | None,
        endpoint: Sequence[JsonValue] | None,
        extra: Iterable[Mapping[str, JsonValue]] | None,
    ) -> Iterator[Job | BadRow]:
        return map(
            self.job,
            count(first_line),
            task_id,
            name or repeat(None),
            submitted_at or repeat(None),
            endpoint or repeat(None),
            extra or repeat(NO_EXTRA),
        )

    def bad(self, line: int | None, detail: str) -> BadRow:
        """
        Return a bad row for what begins at *line* and could not be divided into values; *detail* is
        the message for the user.
        """
        return BadRow("bad_row", detail, None, self._manifest, line)

    def note_lost_bytes(self, line: int, column: str) -> None:
        """
        Warn that the *column* of the row at *line* has bytes that could not be decoded.
        """
        self._note(_LOST_BYTES, line, f"{_LOST_BYTES} in the column {shown(column)}")

    def conclude(self) -> None:
        """
        Log how often there was a reason for each warning; all rows have been read.
        """
        if self._notices is not None:
            self._notices.conclude()

    def _instant(self, line: int | None, value: JsonValue | datetime) -> datetime | None:
        try:
            if isinstance(value, _TIMES):
                return None if value != value else parse_time(value)  # noqa: PLR0124 - NaN
            text = text_of(value, "submitted_at")
            return None if text is None else parse_time(text)
        except ValueError:
            self._note(
                _BAD_TIME,
                line,
                f"submitted_at {shown(value)} is not a valid date and is ignored; use the form"
                " 2026-01-31T12:00:00Z or Unix time",
            )
            return None

    def _note(self, kind: str, line: int | None, detail: str) -> None:
        if self._notices is None:
            self._notices = Notices(self._manifest)
        self._notices.add(kind, line, detail)


def _task_id(value: JsonValue) -> str:
    # Nearly every id; a function called less is a tenth of the time of a list of ids.
    if isinstance(value, str) and _ORDINARY_ID.fullmatch(value) and value not in NULL_WORDS:
        return value
    text = text_of(value, "task_id")
    if text is None or (text := text_of(unwrapped_id(text), "task_id")) is None:
        raise ValueError("the row has no task_id; give it one or remove it")
    if len(text) > MAX_ID:
        raise ValueError(
            f"the task_id {shown(text)} has {len(text)} characters, and at most {MAX_ID} are"
            " allowed; give the id alone"
        )
    _require_decoded(text, "task_id")
    if _NOT_IN_ID.search(text):
        raise ValueError(
            f"the task_id {shown(text)} contains blanks or control characters; give the id alone"
        )
    if '"' in text:
        raise ValueError(f"the task_id {shown(text)} contains a quotation mark; give the id alone")
    return text


def _name(value: JsonValue) -> str | None:
    text = text_of(value, "name")
    if text is not None and not text.isascii():
        _require_decoded(text, "name")
    return text


def _endpoint(value: JsonValue) -> str | None:
    text = text_of(value, "endpoint")
    if text is not None:
        endpoint_path(text)
    return text


def _require_decoded(text: str, column: str) -> None:
    if _UNDECODED.search(text):
        raise ValueError(
            f"the {column} {shown(text)} has bytes that are not UTF-8; save the file as UTF-8"
        )


def _as_given(value: JsonValue) -> str | None:
    """
    Return the text of a row that cannot be used as the report may contain it.
    """
    try:
        text = text_of(value, "")
    except ValueError:  # Not text; the row's detail shows it.
        return None
    return None if text is None else without_surrogates(text)
