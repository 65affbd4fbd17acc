"""
Reader for JSON Lines manifests, including reports of earlier runs.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain

from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import USUAL_NAMES, ColumnNames, Columns, quote_labels
from batchfetch.manifest.lines import MARKS, Lines, UnusableLineError
from batchfetch.manifest.rows import RowReader
from batchfetch.manifest.values import shown, without_nan
from batchfetch.models import BadRow, Job, OutcomeStatus

# A line with more brackets than this may be nested too deeply for the report.
_MANY_BRACKETS = 100

_OUTCOMES = frozenset(OutcomeStatus)


_Object = tuple[int, dict[str, JsonValue] | str, bool]
"""A line, its object or the reason why it is none, and whether lone surrogates may stand for bytes
in it that could not be decoded."""


def read_objects(
    lines: Lines, names: ColumnNames = USUAL_NAMES, rows: RowReader | None = None
) -> Iterator[Job | BadRow]:
    """
    Return the rows of JSON Lines: objects with a task id, or lines of an earlier run's report.

    Raises `ManifestError` if the first line is not an object with a task id.
    """
    objects = _objects(lines)
    first = next(objects, None)
    if first is None:
        return iter(())
    number, row, _undecoded = first
    if isinstance(row, str):
        raise ManifestError(
            f"{lines.name}, line {number}: {row}; each line must be one JSON object"
        )
    if not (_is_report_line(row) or Columns(list(row), names).has_task_id):
        found = quote_labels(list(row))
        if names.task_id is not None:
            key = shown(names.task_id)
            raise ManifestError(
                f"{lines.name}, line {number} has no key {key}; its keys are {found}; give one"
            )
        raise ManifestError(
            f"{lines.name}, line {number} has no key task_id; its keys are {found}; rename one, or"
            " name it with --id-column"
        )
    return _rows(rows or RowReader(lines.name), chain([first], objects), names)


def job_of(row: Mapping[str, JsonValue]) -> Job | None:
    """
    Return the job of a line with the object *row*, without its time; None if it is no usable row.
    """
    columns = _untimed_columns(tuple(row))
    if not columns.has_task_id:
        return None
    job = columns.job(RowReader(None), 0, [row[label] for label in columns.labels])
    return job if isinstance(job, Job) else None


@lru_cache(maxsize=16)  # Most files have the same keys in every line.
def _untimed_columns(labels: tuple[str, ...]) -> Columns:
    return Columns([label for label in labels if USUAL_NAMES.field_of(label) != "submitted_at"])


def _objects(lines: Lines) -> Iterator[_Object]:
    while True:
        try:
            line = next(lines)
            if line[0] in MARKS:
                line = line.lstrip(MARKS)
            if not line or line.isspace():
                continue
            row, undecoded = _parsed(line)
        except StopIteration:
            return
        except UnusableLineError as exc:
            yield lines.number, str(exc), False
        except ValueError as exc:
            problem = str(exc).replace("line 1 column", "character")
            yield lines.number, f"the line is not JSON: {problem}", False
        else:
            found = row if isinstance(row, dict) else "the line is not a JSON object"
            yield lines.number, found, undecoded


def _parsed(line: str) -> tuple[JsonValue, bool]:
    undecoded = False
    try:
        row: JsonValue = from_json(line, allow_inf_nan=False)
    except TypeError:  # Text with lone surrogates.
        if (lenient := _leniently_parsed(line)) is None:
            raise ValueError("it has bytes that are not UTF-8") from None
        row, undecoded = without_nan(lenient), True
    except ValueError:
        if (lenient := _leniently_parsed(line)) is None:
            raise
        row, undecoded = without_nan(lenient), True
    # JSON parsers limit the depth, and in the report the values are one level deeper than here.
    if line.count("[") + line.count("{") > _MANY_BRACKETS:
        from_json(f"[{line}]".encode(errors="replace"))
    return row, undecoded


def _leniently_parsed(line: str) -> JsonValue:
    """
    Parse a *line* with NaN, Infinity or bytes that could not be decoded; None if it is not JSON.
    """
    # Python's parser is slower, takes all three, and recurses.
    if line.count("[") + line.count("{") > _MANY_BRACKETS:
        return None
    try:
        row: JsonValue = json.loads(line)
    except ValueError:
        return None
    return row


def _rows(
    rows: RowReader, objects: Iterator[_Object], names: ColumnNames
) -> Iterator[Job | BadRow]:
    columns = Columns([])
    for number, row, undecoded in objects:
        if isinstance(row, str):
            yield rows.bad(number, row)
        elif "outcome" in row and _is_report_line(row):
            if row["task_id"] is not None:  # Otherwise it is about a row that was none.
                yield rows.reported_job(number, row)
        elif _is_without_task(row):
            continue
        else:
            labels = list(row)
            # Most files have the same keys in every line.
            if labels != columns.labels:
                columns = Columns(labels, names)
            yield columns.job(rows, number, list(row.values()), undecoded=undecoded)
    rows.conclude()


def _is_without_task(row: dict[str, JsonValue]) -> bool:
    """
    Whether *row* is a line of the report of `submit` that has no task: an intent, for instance.
    """
    return row.get("task_id", "") is None and ("intent" in row or "checkpoint" in row)


def _is_report_line(row: dict[str, JsonValue]) -> bool:
    outcome = row.get("outcome")
    return "task_id" in row and "calls" in row and isinstance(outcome, str) and outcome in _OUTCOMES
