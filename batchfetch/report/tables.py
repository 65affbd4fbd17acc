"""
Tables of report lines that are manifests, too: JSON Lines and CSV.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.models import Outcome

KEYS = tuple(field.alias or name for name, field in Outcome.model_fields.items() if name != "extra")
"""The keys of a line that are columns of a table, in their order."""

# What a manifest reads: these cells must come back as they are.
_READ_BACK = frozenset({"task_id", "name", "submitted_at", "endpoint"})

# What a spreadsheet takes for a formula.  A number with a sign is none.
_FORMULA = re.compile(r"[=@\t\r]|[+-](?!\d+(?:[.,]\d+)*\Z)")

# A formula that is nothing but a text: how a cell was marked that is written again.
_MARKED = re.compile(r'="(?:[^"]|"")*"')


def jsonl_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """
    Return *lines* of a report as they are, each with its line end.
    """
    return (line + b"\n" for line in lines)


def csv_lines(lines: Iterable[bytes], columns: Iterable[str]) -> Iterator[bytes]:
    """
    Return *lines* of a report as rows of CSV, and before them a header.

    *columns* are those of `extra`: each is a column, and one that is called like a key of the
    report, or like another column, is `extra.NAME`.
    """
    labels = _labels(columns)
    yield _row([*KEYS, *(_cell("extra", label) for label in labels.values())])
    for line in lines:
        values = from_json(line)
        extra = values.get("extra") or {}
        cells = [_cell(key, values.get(key)) for key in KEYS]
        cells += [_cell("extra", extra.get(column)) for column in labels]
        yield _row(cells)


def _labels(columns: Iterable[str]) -> Mapping[str, str]:
    # Databases and spreadsheets do not tell `Line` from `line`.
    taken = {key.casefold() for key in (*KEYS, "extra")}
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
    return text.getvalue().encode(errors="replace")


def _cell(key: str, value: JsonValue) -> str:
    text = _text(key, value)
    if not _FORMULA.match(text) or _MARKED.fullmatch(text):
        return text
    # A spreadsheet must not run what others have written.  Words of the service become text by an
    # apostrophe.  A manifest's own words come back from ="…" as they were.
    if key in _READ_BACK or key == "extra":
        return '="{}"'.format(text.replace('"', '""'))
    return f"'{text}"


def _text(key: str, value: JsonValue) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case list() if key in {"messages", "warnings"}:
            return "; ".join(map(str, value))
        case _:
            return json.dumps(value, ensure_ascii=False)
