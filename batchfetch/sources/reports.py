"""
Rows of a report of `fetch` as sources: the last line of each task, in sixteen bytes a task.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.hash_table import HashTable
from batchfetch.manifest.values import shown, text_of
from batchfetch.models import RESUBMITS, OutcomeStatus
from batchfetch.report.entries import Entry, decode_entry
from batchfetch.report.lines import AROUND
from batchfetch.report.reader import LineReader, raw_lines
from batchfetch.sources.images import Refusal, RefusedSource
from batchfetch.sources.rows import SOURCE, Row, endpoint_of, reported_row

_SEEN = 0b01
_REPLACED = 0b10  # Another task's line says that it was submitted in its place.

# Lines at the beginning of which one tells what the file is.
_FIRST = 20

_OWN = frozenset({SOURCE, "source_bytes", "source_sha256", RESUBMITS})


def first_object(path: Path) -> Mapping[str, JsonValue]:
    """
    Return the first JSON object among the lines at the beginning of *path*; empty if there is none.
    """
    for number, _, line in raw_lines(path):
        with suppress(ValueError):
            found: JsonValue = from_json(line.strip(AROUND))
            if isinstance(found, dict):
                return found
        if number == _FIRST:
            break
    return {}


def is_report(line: Mapping[str, JsonValue]) -> bool:
    """
    Whether *line* is one of a report of `fetch`.
    """
    outcome = line.get("outcome")
    is_outcome = isinstance(outcome, str) and outcome in set(OutcomeStatus)
    return is_outcome and {"task_id", "calls"} <= line.keys() and SOURCE not in line


def is_submission_report(line: Mapping[str, JsonValue]) -> bool:
    """
    Whether *line* is one of a report of `submit`.
    """
    if "intent" in line or "checkpoint" in line:
        return "task_id" in line
    return {SOURCE, "started_at"} <= line.keys()


def read_report_rows(
    path: Path, only: frozenset[OutcomeStatus] | None
) -> Iterator[Row | RefusedSource]:
    """
    Read the last line of each task in the report of `fetch` at *path*, in the report's order.

    Tasks with other outcomes than *only* are left out, and so are those that another one of the
    report has taken the place of.  Raises `ReportError` if the report cannot be read.
    """
    places = HashTable("Q")
    for start, entry in LineReader(path, decode_entry):
        places.mark(_key(entry), _SEEN, number=start)
        if isinstance(replaced := entry.extra.get(RESUBMITS), str):
            places.mark(replaced.casefold(), _REPLACED)
    for number, start, line in raw_lines(path):
        with suppress(ValueError):
            entry_at = decode_entry(line)
            if entry_at is None or (only is not None and entry_at.status not in only):
                continue
            flags, last = places.get(_key(entry_at))
            if last == start and not flags & _REPLACED:
                yield _row(entry_at, str(path), number)


def _key(entry: Entry) -> str:
    if entry.task_id is not None:
        return entry.task_id.casefold()
    return f"\n{entry.manifest}:{entry.line}"  # No id has a line end.


def _row(entry: Entry, report: str, line: int) -> Row | RefusedSource:
    extra = {label: value for label, value in entry.extra.items() if label not in _OWN}
    name = entry.name if isinstance(entry.name, str) else entry.path
    endpoint = entry.endpoint if isinstance(entry.endpoint, str) else None
    source = entry.extra.get(SOURCE)
    try:
        if not isinstance(source, str) or text_of(source, SOURCE) is None:
            raise ValueError(_without_source(entry))  # noqa: TRY301 - as any other
        known = endpoint_of(endpoint)
    except ValueError as exc:
        return RefusedSource(
            source if isinstance(source, str) else None,
            *(Refusal.BAD_ROW, str(exc), name, endpoint, extra, report, line),
        )
    row = Row(source, name, known, extra, report, line)
    return reported_row(row, entry.task_id, entry.status)


def _without_source(entry: Entry) -> str:
    task = "the row" if entry.task_id is None else f"the task {shown(entry.task_id)}"
    return (
        f"{task} has no source, so its image cannot be submitted again; give the image itself, or"
        " fetch from a manifest with a column source"
    )
