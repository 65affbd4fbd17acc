"""
Reader for CSV and TSV manifests: a header, then one row of cells for each task.
"""

import csv
from collections.abc import Iterator
from itertools import chain

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import Columns, is_task_id_label, quote_labels
from batchfetch.manifest.lines import MAX_ROW, Lines, UnusableLineError
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job


def read_table(lines: Lines, delimiters: str) -> Iterator[Job | BadRow]:
    """
    Return the rows of a table whose header is separated by one of the *delimiters*.

    The first delimiter that gives the header a column of task ids is used.  Raises `ManifestError`
    if there is no header, or no such column.
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
        found = quote_labels(columns.labels)
        raise ManifestError(f"{lines.name} has no column task_id; its columns are {found}")
    return _csv_rows(lines, text, reader, columns)


def _delimiter(header: str, delimiters: str) -> str:
    # Spreadsheets write .csv with the list separator of the user's locale.
    for delimiter in delimiters:
        for cells in csv.reader([header], delimiter=delimiter):
            if any(is_task_id_label(cell) for cell in cells):
                return delimiter
    return delimiters[0]


class _CsvText:
    """
    Iterator over lines that bounds the length of a row, which may span several lines.

    Without a bound, a quotation mark that is never closed would make the rest of the file one row.
    Raises `UnusableLineError` if a row has more than `MAX_ROW` characters.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._characters_left = MAX_ROW

    def new_row(self) -> None:
        """
        Declare that the next line begins a row.
        """
        self._characters_left = MAX_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._characters_left -= len(line)
        if self._characters_left < 0:
            raise UnusableLineError(f"the row is longer than {MAX_ROW} characters")
        return line


def _csv_rows(
    lines: Lines, text: _CsvText, reader: Iterator[list[str]], columns: Columns
) -> Iterator[Job | BadRow]:
    rows = RowReader(lines.name)
    width = len(columns.labels)
    while True:
        # A quoted cell may contain line breaks; a row is reported by its first line.
        line = lines.number + 1
        text.new_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnusableLineError) as exc:
            yield rows.bad(line, _describe_failure(exc, line, lines.number))
            continue
        if not any(cells):
            continue
        if any(cells[width:]):
            yield rows.bad(
                line,
                f"the row has {len(cells)} cells but the header has {width}; "
                "quote cells that contain the delimiter",
            )
            continue
        cells += [""] * (width - len(cells))
        yield columns.job(rows, line, cells)


def _describe_failure(exc: Exception, first: int, last: int) -> str:
    if first == last:
        return f"the row cannot be read: {exc}"
    return f"lines {first} to {last} do not form a row: {exc}; check for a missing quotation mark"
