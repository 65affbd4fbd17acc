"""
Rows of tables as sources: which file, called what, submitted where.  No file is opened here.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from batchfetch.endpoints import ENDPOINTS
from batchfetch.manifest import ManifestFormat, RowReader, default_filename
from batchfetch.manifest.columns import ColumnNames, label_key
from batchfetch.manifest.formats import open_parquet, read_rows
from batchfetch.manifest.lines import Lines
from batchfetch.manifest.values import shown, text_of
from batchfetch.models import NO_EXTRA, REPORT_COLUMNS, RESUBMITS, BadRow, Job
from batchfetch.sources.images import Refusal, RefusedSource
from batchfetch.sources.names import stem

SOURCE = "source"
"""The column that says where the images are."""

FILTERS = ("deskew", "dewarp", "upscale", "binarize")
"""The endpoints that images are submitted to."""

_BY_PATH = {ENDPOINTS[name]: name for name in FILTERS}

# What results are fetched from, whichever filter made them.
_ANY_FILTER = frozenset({"task", "file", ENDPOINTS["task"], ENDPOINTS["file"]})

# What a manifest of submitted images says of each, and is said anew.
_OWN = frozenset({"source_bytes", "source_sha256"})
_REPORTED = frozenset(REPORT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row of a table: a source that has not been looked at.
    """

    source: str
    """As the table has it."""

    name: str | None
    endpoint: str | None
    extra: Mapping[str, JsonValue]
    manifest: str | None
    line: int | None

    key: str | None = None
    """The id of the task that it reports on."""

    outcome: str | None = None
    """What became of that task, if the table is a report's."""


def read_table(lines: Lines, table_format: ManifestFormat) -> Iterator[Row | RefusedSource]:
    """
    Return the rows of *lines*, a table with a column `source`.

    Raises `ManifestError` if it has none, or cannot be read.
    """
    rows = read_rows(lines, table_format, ColumnNames(task_id=SOURCE), _SourceRows(lines.name))
    return map(_row, rows)


@contextmanager
def open_parquet_table(path: str) -> Iterator[Iterator[Row | RefusedSource]]:
    """
    Open the Parquet file at *path*, a table with a column `source`, for its rows.

    Raises `ManifestError` if it has none, cannot be read, or the extra for it is missing.
    """
    with open_parquet(path, ColumnNames(task_id=SOURCE), _SourceRows) as rows:
        yield map(_row, rows)


def endpoint_of(text: str | None) -> str | None:
    """
    Return the filter that *text*, the endpoint of a row, names; None if it is none in particular.

    Raises `ValueError` with a message for the user if images cannot be submitted to it.
    """
    if text is None or text in FILTERS:
        return text
    if text in _ANY_FILTER:
        return None
    if text in _BY_PATH:
        return _BY_PATH[text]
    raise ValueError(
        f"images cannot be submitted to the endpoint {shown(text)}; use {', '.join(FILTERS)}"
    )


def name_of(source: str) -> str:
    """
    Return what an image without a name is called: its path if that is relative, else its file's
    name; without suffix.
    """
    path = os.path.normpath(source)
    is_below = not path.startswith(("/", "../"))
    return stem(path if is_below else os.path.basename(path))  # noqa: PTH119 - text


def reported_row(
    row: Row | RefusedSource, task_id: str | None, outcome: str | None
) -> Row | RefusedSource:
    """
    Return *row* as one that reports on the task *task_id*, whose place a submission takes.
    """
    if isinstance(row, RefusedSource) or task_id is None:
        return row
    name = row.name
    if name is None and outcome is not None:
        with suppress(ValueError):  # Too long for a file: then it has no image, either.
            name = stem(default_filename(task_id))
    return Row(
        row.source,
        name,
        row.endpoint,
        {**row.extra, RESUBMITS: task_id},
        row.manifest,
        row.line,
        task_id if outcome is not None else None,
        outcome,
    )


class _SourceRows(RowReader):
    """
    Converts the rows of one table into jobs whose `task_id` is the source.
    """

    def __init__(self, manifest: str | None) -> None:
        super().__init__(manifest)
        self._name = manifest

    def job(
        self,
        line: int | None,
        task_id: JsonValue = None,
        name: JsonValue = None,
        submitted_at: JsonValue | datetime = None,  # noqa: ARG002 - it was another submission's
        endpoint: JsonValue = None,
        extra: Mapping[str, JsonValue] = NO_EXTRA,
    ) -> Job | BadRow:
        """
        Return the row as a job, or as a bad row if it names no source.
        """
        try:
            return Job(
                _source(task_id),
                name=text_of(name, "name"),
                endpoint=endpoint_of(text_of(endpoint, "endpoint")),
                manifest=self._name,
                line=line,
                extra=extra,
            )
        except ValueError as exc:
            return BadRow(
                *("bad_row", str(exc), _given(task_id), self._name, line, extra),
                name=_given(name),
                endpoint=_given(endpoint),
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
        Return the rows from *first_line* on one by one: a source is not read as an id is.
        """
        return self._one_by_one(first_line, task_id, name, submitted_at, endpoint, extra)

    def reported_job(self, line: int, row: Mapping[str, JsonValue]) -> Job | BadRow:
        """
        Refuse a line of a report: whether it is a task's last is not known here.
        """
        del row
        return self.bad(
            line, "the line is a report's; give the report as a file of its own, not compressed"
        )


def _source(value: JsonValue) -> str:
    if text_of(value, SOURCE) is None:
        raise ValueError("the row has no source; say where its image is")
    # Blanks may be part of a file's name.
    return value if isinstance(value, str) else str(value)


def _given(value: JsonValue) -> str | None:
    try:
        return text_of(value, "")
    except ValueError:  # Not text; the sentence shows it.
        return None


def _row(job: Job | BadRow) -> Row | RefusedSource:
    task_id, outcome = None, None
    extra = {}
    is_report = "outcome" in job.extra and "calls" in job.extra
    for label, value in job.extra.items():
        if label_key(label) == "taskid":
            task_id = value
        elif is_report and label == "outcome":
            outcome = value
        elif label not in _OWN and not (is_report and label in _REPORTED):
            extra[label] = value
    if isinstance(job, BadRow):
        return RefusedSource(
            *(job.task_id, Refusal.BAD_ROW, job.detail, job.name, job.endpoint),
            *(extra, job.manifest, job.line),
        )
    row = Row(job.task_id, job.name, job.endpoint, extra, job.manifest, job.line)
    try:
        return reported_row(row, text_of(task_id, "task_id"), text_of(outcome, "outcome"))
    except ValueError as exc:
        return RefusedSource(
            *(row.source, Refusal.BAD_ROW, str(exc), row.name, row.endpoint),
            *(extra, row.manifest, row.line),
        )
