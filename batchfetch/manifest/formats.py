"""
The formats of a manifest: lines in, jobs out.  Nothing here opens a file.
"""

import csv
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import chain
from typing import Protocol

from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import Columns, names_task
from batchfetch.manifest.names import default_filename
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job


class ManifestFormat(StrEnum):
    """
    How a manifest is written.
    """

    TXT = "txt"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


class UnusableLineError(Exception):
    """
    One line cannot be used; the next one may.
    """


class NumberedLines(Protocol):
    """
    The lines of one manifest, in order.
    """

    @property
    def name(self) -> str:
        """
        The manifest's.
        """

    @property
    def number(self) -> int:
        """
        The last line's, from 1; 0 before the first.
        """

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str:
        """
        Return the next line; raise `UnusableLineError` if it is none, and go on after it.
        """


def read_rows(lines: NumberedLines, manifest_format: ManifestFormat) -> Iterator[Job | BadRow]:
    """
    Return the jobs in *lines*, and between them the rows that cannot be used.

    What shows whether this is a manifest is read at once: the header, or the first JSON object.
    Raises `ManifestError` if it is none.
    """
    match manifest_format:
        case ManifestFormat.TXT:
            return _txt(lines)
        case ManifestFormat.CSV:
            return _csv(lines, ",;\t")
        case ManifestFormat.TSV:
            return _csv(lines, "\t")
        case ManifestFormat.JSONL:
            return _jsonl(lines)


def _txt(lines: NumberedLines) -> Iterator[Job | BadRow]:
    rows = RowReader(lines.name)
    while True:
        try:
            line = next(lines).strip()
        except StopIteration:
            return
        except UnusableLineError as exc:
            yield rows.bad(lines.number, str(exc))
            continue
        if line and not line.startswith("#"):
            yield rows.job(lines.number, {"task_id": line})


def _csv(lines: NumberedLines, delimiters: str) -> Iterator[Job | BadRow]:
    try:
        first = next((line for line in lines if not line.isspace()), None)
        if first is None:
            raise ManifestError(f"{lines.name} is empty; its first line must name the columns")
        delimiter = _delimiter(first, delimiters)
        reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        columns = Columns(next(reader))
    except (csv.Error, UnusableLineError) as exc:
        raise ManifestError(f"{lines.name}, line {lines.number}: {exc}") from None
    if not columns.has_task_id:
        found = _listed(columns.labels)
        raise ManifestError(f"{lines.name} has no column task_id; its columns are {found}")
    return _csv_rows(lines, reader, columns)


def _delimiter(header: str, delimiters: str) -> str:
    # Spreadsheets separate cells by what the user's country uses, whatever the suffix says.
    for delimiter in delimiters:
        for cells in csv.reader([header], delimiter=delimiter):
            if any(names_task(cell) for cell in cells):
                return delimiter
    return delimiters[0]


def _csv_rows(
    lines: NumberedLines, reader: Iterator[list[str]], columns: Columns
) -> Iterator[Job | BadRow]:
    rows = RowReader(lines.name)
    width = len(columns.labels)
    while True:
        # A quoted cell may hold line breaks: a row is where it begins.
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnusableLineError) as exc:
            span = "" if line == lines.number else f"lines {line} to {lines.number} are lost: "
            yield rows.bad(line, f"{span}{exc}")
            continue
        if not any(cells):
            continue
        if any(cells[width:]):
            yield rows.bad(line, f"the row has {len(cells)} cells, the header {width}")
            continue
        cells += [""] * (width - len(cells))
        yield columns.job(rows, line, cells)


def _jsonl(lines: NumberedLines) -> Iterator[Job | BadRow]:
    objects = _objects(lines)
    first = next(objects, None)
    if first is None:
        return iter(())
    number, row = first
    if isinstance(row, str):
        raise ManifestError(f"{lines.name}, line {number}: {row}")
    if not Columns(list(row)).has_task_id:
        found = _listed(list(row))
        raise ManifestError(f"{lines.name}, line {number} has no key task_id; its keys are {found}")
    return _jsonl_rows(RowReader(lines.name), chain([first], objects))


def _objects(lines: NumberedLines) -> Iterator[tuple[int, dict[str, JsonValue] | str]]:
    # Each line's number, and its object or why there is none.
    while True:
        try:
            line = next(lines)
            if line.isspace():
                continue
            row = from_json(line, allow_inf_nan=False)
        except StopIteration:
            return
        except UnusableLineError as exc:
            yield lines.number, str(exc)
        except ValueError as exc:
            yield lines.number, f"the line is not JSON: {exc}"
        else:
            yield lines.number, row if isinstance(row, dict) else "the line is no JSON object"


def _jsonl_rows(
    rows: RowReader, objects: Iterator[tuple[int, dict[str, JsonValue] | str]]
) -> Iterator[Job | BadRow]:
    columns = Columns([])
    for number, row in objects:
        if isinstance(row, str):
            yield rows.bad(number, row)
        elif "outcome" in row:
            yield _job_again(rows, number, row)
        else:
            labels = list(row)
            # Most files have the same keys in every line.
            if labels != columns.labels:
                columns = Columns(labels)
            yield columns.job(rows, number, list(row.values()))


def _job_again(rows: RowReader, number: int, row: dict[str, JsonValue]) -> Job | BadRow:
    """
    Return the job that a line of an earlier run's report was about.
    """
    task_id, extra = row.get("task_id"), row.get("extra")
    again = {**row, "name": row.get("name") or row.get("path")}
    try:
        if isinstance(task_id, str) and again["name"] == default_filename(task_id):
            again["name"] = None
    except ValueError:
        pass  # The row is no better than it was.
    return rows.job(number, again, extra if isinstance(extra, dict) else {})


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(repr(label.strip()[:40]) for label in labels[:20])
