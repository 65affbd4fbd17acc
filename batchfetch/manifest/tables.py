"""
Manifests that are tables: a header, then rows of cells.
"""

import csv
from collections.abc import Iterator
from itertools import chain

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import Columns, listed, names_task
from batchfetch.manifest.lines import MAX_ROW, Lines, UnusableLineError
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job


def read_table(lines: Lines, delimiters: str) -> Iterator[Job | BadRow]:
    """
    Return the rows of a table whose cells are separated by the first of *delimiters* that fits.

    Raises `ManifestError` if the first line names no column of task ids.
    """
    try:
        first = next((line for line in lines if not line.isspace()), None)
        if first is None:
            raise ManifestError(f"{lines.name} is empty; its first line must name the columns")
        delimiter = _delimiter(first, delimiters)
        text = _CsvText(chain([first], lines))
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        columns = Columns(next(reader))
    except (csv.Error, UnusableLineError) as exc:
        raise ManifestError(f"{lines.name}, line {lines.number}: {exc}") from None
    if not columns.has_task_id:
        found = listed(columns.labels)
        raise ManifestError(f"{lines.name} has no column task_id; its columns are {found}")
    return _csv_rows(lines, text, reader, columns)


def _delimiter(header: str, delimiters: str) -> str:
    # Spreadsheets separate cells by what the user's country uses, whatever the suffix says.
    for delimiter in delimiters:
        for cells in csv.reader([header], delimiter=delimiter):
            if any(names_task(cell) for cell in cells):
                return delimiter
    return delimiters[0]


class _CsvText:
    """
    The lines of csv, so many at a time as one row may have.

    Quotation marks that never close would make one row of the rest of the file.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._room = MAX_ROW

    def new_row(self) -> None:
        """
        Declare that the next line begins a row.
        """
        self._room = MAX_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._room -= len(line)
        if self._room < 0:
            raise UnusableLineError(f"the row is longer than {MAX_ROW} characters")
        return line


def _csv_rows(
    lines: Lines, text: _CsvText, reader: Iterator[list[str]], columns: Columns
) -> Iterator[Job | BadRow]:
    rows = RowReader(lines.name)
    width = len(columns.labels)
    while True:
        # A quoted cell may hold line breaks: a row is where it begins.
        line = lines.number + 1
        text.new_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnusableLineError) as exc:
            yield rows.bad(line, _why(exc, line, lines.number))
            continue
        if not any(cells):
            continue
        if any(cells[width:]):
            yield rows.bad(line, f"the row has {len(cells)} cells, the header {width}")
            continue
        cells += [""] * (width - len(cells))
        yield columns.job(rows, line, cells)


def _why(exc: Exception, first: int, last: int) -> str:
    if first == last:
        return f"the row cannot be read: {exc}"
    return f"lines {first} to {last} are no row; is a quotation mark missing? ({exc})"
