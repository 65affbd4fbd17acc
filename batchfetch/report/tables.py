"""
Tables of report lines that are manifests, too: JSON Lines and CSV.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.models import REPORT_COLUMNS
from batchfetch.text import mark_formula


def jsonl_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """
    Return *lines* of a report as they are, each with its line end.
    """
    return (line + b"\n" for line in lines)


def csv_lines(lines: Iterable[bytes], columns: Iterable[str]) -> Iterator[bytes]:
    """
    Return *lines* of a report as rows of CSV, and before them a header.  A byte order mark tells
    spreadsheets that it is UTF-8, and a text that they would take for a formula has an apostrophe
    before it; the reader of manifests takes both off.

    *columns* are those of `extra`: each is a column, and one that is called like a key of the
    report, or like another column, is `extra.NAME`.
    """
    labels = labels_of(columns)
    yield codecs.BOM_UTF8 + _row([*REPORT_COLUMNS, *map(mark_formula, labels.values())])
    for line in lines:
        values = from_json(line)
        extra = values.get("extra") or {}
        cells = [_cell(key, values.get(key)) for key in REPORT_COLUMNS]
        cells += [_cell("", extra.get(column)) for column in labels]
        yield _row(cells)


def labels_of(columns: Iterable[str]) -> Mapping[str, str]:
    """
    Return for each of *columns*, those of `extra`, the label that no other column has.
    """
    # Databases and spreadsheets do not tell `Line` from `line`.
    taken = {key.casefold() for key in (*REPORT_COLUMNS, "extra")}
    labels = {}
    for column in columns:
        label = column
        while label.casefold() in taken:
            label = f"extra.{label}"
        taken.add(label.casefold())
        labels[column] = label
    return labels


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    # The writer leaves a carriage return unquoted, and readers take it for the end of the row.
    if any("\r" in cell for cell in cells):
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    else:
        writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cells)
    # With a zero, programs take the file for one that is no text.
    return text.getvalue().replace("\0", "\ufffd").encode(errors="replace")


def _cell(key: str, value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return json.dumps(value)
    return mark_formula(_text(key, value))


def _text(key: str, value: JsonValue) -> str:
    match value:
        case str():
            return value
        case list() if key in {"messages", "warnings"}:
            return "; ".join(map(str, value))
        case _:
            return json.dumps(value, ensure_ascii=False)
