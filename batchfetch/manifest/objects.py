"""
Reader for JSON Lines manifests, including reports of earlier runs.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import Columns, quote_labels
from batchfetch.manifest.lines import Lines, UnusableLineError
from batchfetch.manifest.names import default_filename
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job

# A line with more brackets than this may be nested too deeply for the report.
_MANY_BRACKETS = 100


def read_objects(lines: Lines) -> Iterator[Job | BadRow]:
    """
    Return the rows of JSON Lines: objects with a task id, or lines of an earlier run's report.

    Raises `ManifestError` if the first line is not an object with a task id.
    """
    objects = _objects(lines)
    first = next(objects, None)
    if first is None:
        return iter(())
    number, row = first
    if isinstance(row, str):
        raise ManifestError(
            f"{lines.name}, line {number}: {row}; each line must be one JSON object"
        )
    if not Columns(list(row)).has_task_id:
        found = quote_labels(list(row))
        raise ManifestError(f"{lines.name}, line {number} has no key task_id; its keys are {found}")
    return _jsonl_rows(RowReader(lines.name), chain([first], objects))


def _objects(lines: Lines) -> Iterator[tuple[int, dict[str, JsonValue] | str]]:
    """
    Yield the number of each line, with its object or the reason why it cannot be used.
    """
    while True:
        try:
            line = next(lines)
            if line.isspace():
                continue
            row = _parsed(line)
        except StopIteration:
            return
        except UnusableLineError as exc:
            yield lines.number, str(exc)
        except ValueError as exc:
            problem = str(exc).replace("line 1 column", "character")
            yield lines.number, f"the line is not JSON: {problem}"
        else:
            yield lines.number, row if isinstance(row, dict) else "the line is not a JSON object"


def _parsed(line: str) -> JsonValue:
    row: JsonValue = from_json(line, allow_inf_nan=False)
    # JSON parsers limit the depth, and in the report the values are one level deeper than here.
    if line.count("[") + line.count("{") > _MANY_BRACKETS:
        from_json(f"[{line}]")
    return row


def _jsonl_rows(
    rows: RowReader, objects: Iterator[tuple[int, dict[str, JsonValue] | str]]
) -> Iterator[Job | BadRow]:
    columns = Columns([])
    for number, row in objects:
        if isinstance(row, str):
            yield rows.bad(number, row)
        elif "outcome" in row:
            yield _reported_job(rows, number, row)
        else:
            labels = list(row)
            # Most files have the same keys in every line.
            if labels != columns.labels:
                columns = Columns(labels)
            yield columns.job(rows, number, list(row.values()))


def _reported_job(rows: RowReader, number: int, row: dict[str, JsonValue]) -> Job | BadRow:
    """
    Return the job of a line of an earlier run's report.
    """
    task_id, extra = row.get("task_id"), row.get("extra")
    name = row.get("name") or row.get("path")
    # An id without a valid file name fails again in `rows.job`, which reports it.
    with suppress(ValueError):
        if isinstance(task_id, str) and name == default_filename(task_id):
            name = None
    return rows.job(
        number,
        task_id,
        name,
        row.get("submitted_at"),
        row.get("endpoint"),
        extra if isinstance(extra, dict) else {},
    )
