"""
Reader for CSV and TSV manifests: a header, then one row of cells for each task.
"""

import re
from collections.abc import Iterable, Iterator

from batchfetch.errors import ManifestError
from batchfetch.manifest.cells import QuotedRows, Row, plain_rows
from batchfetch.manifest.columns import (
    USUAL_NAMES,
    ColumnNames,
    Columns,
    label_key,
    require_columns,
)
from batchfetch.manifest.lines import MARKS, Lines, is_cut, is_utf8
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job

# What spreadsheets and PowerShell write above the header, and the characters it begins with.
_PREAMBLE = re.compile(r'"?(?:sep=(?P<delimiter>.?)|#TYPE\b.*)"?\s*', re.IGNORECASE)
_PREAMBLE_STARTS = frozenset("sS#")


def read_csv(
    lines: Lines, names: ColumnNames = USUAL_NAMES, rows: RowReader | None = None
) -> Iterator[Job | BadRow]:
    """
    Return the rows of CSV whose header is separated by commas, semicolons or tabs.

    The first of these that gives the header a column of task ids is used.  Raises `ManifestError`
    if there is no header, or no such column.
    """
    first, declared = _first_line(lines)
    delimiter = _delimiter(first, names, declared)
    quoted = QuotedRows(lines, delimiter)
    quoted.push_back(lines.number, first)
    table = iter(quoted)
    columns = _header(lines, next(table), names)
    quoted.is_row = columns.fits
    return _rows(rows or RowReader(lines.name), table, columns, names)


def read_tsv(
    lines: Lines, names: ColumnNames = USUAL_NAMES, rows: RowReader | None = None
) -> Iterator[Job | BadRow]:
    """
    Return the rows of TSV, in which a quotation mark is a character like any other.

    Raises `ManifestError` if there is no header, or no column of task ids.
    """
    first, _ = _first_line(lines)
    header = lines.number, first.rstrip("\n").split("\t"), True
    columns = _header(lines, header, names)
    return _rows(rows or RowReader(lines.name), plain_rows(lines, "\t"), columns, names)


def _first_line(lines: Lines) -> tuple[str, str | None]:
    """
    Return the first line that is neither blank nor a preamble, and the delimiter that one declares.
    """
    declared = None
    while piece := lines.piece():
        text = piece.lstrip(MARKS)
        if is_cut(piece):
            raise ManifestError(
                f"{lines.name}, line {lines.number}: the header is too long; give a table with one"
                " line for the names of the columns and one for each task"
            )
        if preamble := _PREAMBLE.fullmatch(text):
            declared = preamble["delimiter"] or declared
        elif text and not text.isspace():
            return text, declared
    raise ManifestError(f"{lines.name} is empty; its first line must name the columns")


def _delimiter(header: str, names: ColumnNames, declared: str | None) -> str:
    # Spreadsheets write .csv with the list separator of the user's locale.
    delimiters = sorted(",;\t", key=lambda delimiter: delimiter != declared)
    for delimiter in delimiters:
        if any(names.field_of(cell) == "task_id" for cell in header.strip().split(delimiter)):
            return delimiter
    return delimiters[0]


def _header(lines: Lines, header: Row, names: ColumnNames) -> Columns:
    number, cells, _ = header
    if isinstance(cells, str):
        raise ManifestError(f"{lines.name}, line {number}: {cells}")
    if not all(map(is_utf8, cells)):
        raise ManifestError(
            f"{lines.name} is not text: its first line is not UTF-8; save the file as UTF-8"
        )
    columns = Columns(cells, names)
    require_columns(columns, names, lines.name)
    return columns


def _rows(
    rows: RowReader, table: Iterable[Row], columns: Columns, names: ColumnNames
) -> Iterator[Job | BadRow]:
    for label, field in columns.misspelt():
        rows.note_misspelt(label, field)
    width, id_index = len(columns.labels), columns.id_index
    for line, cells, undecoded in table:
        if isinstance(cells, str):
            yield rows.bad(line, cells)
            continue
        task_id = cells[id_index] if id_index < len(cells) else ""
        if len(task_id) <= columns.longest_label:
            if _is_blank(cells, task_id) or (columns.is_report and not task_id.strip()):
                continue
            if (other := _other_header(cells, task_id, columns, names)) is not None:
                columns = other
                width, id_index = len(columns.labels), columns.id_index
                continue
        if len(cells) != width and (problem := _pad(cells, width)):
            yield rows.bad(line, problem)
            continue
        yield columns.job(rows, line, cells, undecoded=undecoded)
    rows.conclude()


def _is_blank(cells: list[str], task_id: str) -> bool:
    """
    Whether a row whose id is short or missing is none: spreadsheets write empty ones at the end.
    """
    if cells[0][:1] in _PREAMBLE_STARTS and _PREAMBLE.fullmatch(",".join(cells)):
        return True
    return (not task_id or task_id.isspace()) and not any(map(str.strip, cells))


def _pad(cells: list[str], width: int) -> str | None:
    """
    Make *cells* as many as the header's, or return why the row cannot be used.
    """
    if any(cells[width:]):
        return (
            f"the row has {len(cells)} cells but the header has {width}; "
            "quote cells that contain the delimiter"
        )
    cells += [""] * (width - len(cells))
    return None


def _other_header(
    cells: list[str], task_id: str, columns: Columns, names: ColumnNames
) -> Columns | None:
    """
    Return the columns of *cells* if they are a header: tables were put together in one file.
    """
    if label_key(task_id) not in columns.keys:
        return None
    other = Columns(cells, names)
    return other if other.has_task_id else None
