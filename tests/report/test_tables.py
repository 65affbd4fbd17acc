"""
Tables of report lines: CSV and JSON Lines that are manifests as they are.
"""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report.lines import encode
from batchfetch.report.tables import KEYS, csv_lines, jsonl_lines


def line_of(task_id="a", **more):
    """
    A line of the report without its end.
    """
    values = {"status": OutcomeStatus.COMPLETED, **more}
    return encode(Outcome(task_id=task_id, **values)).rstrip(b"\n")


def table_of(*lines, columns=()):
    """
    The rows of the CSV of these lines, each by its columns.
    """
    text = b"".join(csv_lines(lines, columns)).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_json_lines_are_those_of_the_report():
    """
    Not a byte differs, so that report, ledger and manifest are one file.
    """
    lines = [line_of("a", extra={"x": 1}), line_of("b")]
    assert b"".join(jsonl_lines(lines)) == lines[0] + b"\n" + lines[1] + b"\n"


def test_columns_are_the_keys_and_the_manifests_own():
    """
    The keys of the report come first, in their order; a task without a column has an empty cell.
    """
    rows = table_of(
        line_of("a", extra={"page": "7"}), line_of("b", calls=2), columns=["customer", "page"]
    )
    assert list(rows[0]) == [*KEYS, "customer", "page"]
    assert (rows[0]["task_id"], rows[0]["page"], rows[0]["customer"]) == ("a", "7", "")
    assert (rows[1]["calls"], rows[1]["page"], rows[1]["reason"]) == ("2", "", "")


def test_a_column_that_is_called_like_another_gets_a_name_of_its_own():
    """
    Also one that differs in case only, and one that is called like the new name.
    """
    extra = {"outcome": "1", "Line": "2", "extra.outcome": "3", "extra": "4", "ok": "5"}
    (row,) = table_of(line_of("a", extra=extra), columns=extra)
    assert row["outcome"] == "Completed"
    assert [row[name] for name in ("extra.outcome", "extra.Line", "extra.extra.outcome")] == [
        *("1", "2", "3")
    ]
    assert (row["extra.extra"], row["ok"]) == ("4", "5")
    assert len({name.casefold() for name in row}) == len(row)


def test_values_are_written_as_a_person_would():
    """
    Lists of words are one text, other structures JSON; line ends and quotes stay in their cell.
    """
    extra = {"list": [1, 2], "yes": True, "number": 1.5, "text": 'a "b",\nc'}
    (row,) = table_of(
        line_of("a", messages=("one", "two"), status=OutcomeStatus.ERROR, extra=extra),
        columns=extra,
    )
    assert row["messages"] == "one; two"
    assert [row[name] for name in extra] == ["[1, 2]", "true", "1.5", 'a "b",\nc']


@pytest.mark.parametrize("formula", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1"])
def test_no_cell_is_a_formula(formula):
    """
    Words of the service get an apostrophe; those of the manifest are text for a spreadsheet, and
    come back from it as they were.
    """
    (row,) = table_of(
        line_of(
            "a",
            name=formula,
            detail=formula,
            messages=(formula,),
            status=OutcomeStatus.ERROR,
            extra={"note": formula},
        ),
        columns=["note"],
    )
    assert row["detail"] == row["messages"] == f"'{formula}"
    assert row["name"] == row["note"] == f'="{formula}"'


def test_a_cell_is_marked_once():
    """
    What was read from such a table is written as it was, unless something follows the text.
    """
    extra = {"once": '="=1+1"', "more": '="a"&HYPERLINK("b")', "quoted": '=a"b'}
    (row,) = table_of(line_of("a", extra=extra), columns=extra)
    assert row["once"] == '="=1+1"'
    assert row["more"] == '="=""a""&HYPERLINK(""b"")"'
    (again,) = table_of(line_of("a", extra={"quoted": row["quoted"]}), columns=["quoted"])
    assert again["quoted"] == row["quoted"] == '="=a""b"'


@pytest.mark.parametrize("plain", ["-5", "+49", "-1.5", "-1,5", "a=b", "x-1", ""])
def test_what_is_no_formula_stays_as_it_is(plain):
    """
    Numbers with a sign, and signs within a text.
    """
    (row,) = table_of(line_of("a", extra={"note": plain}), columns=["note"])
    assert row["note"] == plain


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none()))
def test_any_extra_columns_make_a_table(extra):
    """
    Whatever names and values a manifest has, the table has as many cells in each row.
    """
    line = json.dumps({"task_id": "a", "outcome": "Completed", "calls": 1, "extra": extra}).encode()
    text = b"".join(csv_lines([line, line], extra)).decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [len(row) for row in rows] == [len(KEYS) + len(extra)] * 3
    assert len({name.casefold() for name in rows[0]}) == len(rows[0])
