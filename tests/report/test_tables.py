"""
Tables of report lines: CSV and JSON Lines that are manifests as they are.
"""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.manifest import Manifest, ManifestFormat
from batchfetch.manifest.formats import read_rows
from batchfetch.manifest.lines import Lines
from batchfetch.models import REPORT_COLUMNS, Job, Outcome, OutcomeStatus
from batchfetch.report.lines import encode
from batchfetch.report.tables import csv_lines, jsonl_lines


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
    text = b"".join(csv_lines(lines, columns)).decode("utf-8-sig")
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
    assert list(rows[0]) == [*REPORT_COLUMNS, "customer", "page"]
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


@pytest.mark.parametrize(
    "formula",
    [
        *("=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\n=1", "-f", "--5", "\uff1d1"),
        *("'=x", "''@x", "'-5", '="=1+1"', '="a"&HYPERLINK("b")'),
    ],
)
def test_no_cell_is_a_formula(formula):
    """
    An apostrophe makes a text of it, in every column; one more where it begins with some.
    """
    (row,) = table_of(
        line_of(
            formula.strip(),
            name=formula,
            detail=formula,
            messages=(formula,),
            status=OutcomeStatus.ERROR,
            extra={"note": formula, "list": [formula]},
        ),
        columns=["note", "list"],
    )
    marked = f"'{formula}"
    assert row["task_id"] == f"'{formula.strip()}"
    assert row["detail"] == row["messages"] == row["name"] == row["note"] == marked
    assert row["list"] == json.dumps([formula], ensure_ascii=False)


@pytest.mark.parametrize(
    "plain", ["-5", "+49", "-1.5", "-1,5", "-1e5", "a=b", "x-1", "'x", "", "'"]
)
def test_what_is_no_formula_stays_as_it_is(plain):
    """
    Numbers with a sign, and signs within a text.
    """
    (row,) = table_of(line_of("a", extra={"note": plain}), columns=["note"])
    assert row["note"] == plain


def test_numbers_are_numbers():
    """
    Also small ones, with a sign and an exponent.
    """
    extra = {"a": -1e-9, "b": -7, "c": True}
    (row,) = table_of(line_of("a", extra=extra), columns=extra)
    assert [row[name] for name in extra] == ["-1e-09", "-7", "true"]


def test_a_spreadsheet_is_told_that_it_is_utf_8():
    """
    By a byte order mark, once.
    """
    text = b"".join(csv_lines([line_of("a")], []))
    assert text.startswith(b"\xef\xbb\xbftask_id,")
    assert text.count(b"\xef\xbb\xbf") == 1


# What a reader of CSV takes off where files were put together, and the line ends that it unifies.
TEXTS = st.text(st.characters(exclude_characters="\r\x1a\ufeff", codec="utf-8")) | st.from_regex(
    r"'{0,2}[-=+@\t']{1,2}[0-9a\"]{0,3}", fullmatch=True
)


@given(TEXTS, TEXTS, st.from_regex(r"'{0,2}[-=+@a']{1,2}[0-9a]{1,3}", fullmatch=True))
def test_a_table_is_a_manifest_with_the_same_values(label, text, task_id):
    """
    Whatever begins like a formula, or like one that was marked, comes back as it was.
    """
    label = f"x{label.strip()}"
    line = line_of(task_id, extra={label: text})
    data = b"".join(csv_lines([line], [label]))
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig")
    (row,) = read_rows(Lines(stream, "m"), ManifestFormat.CSV)
    assert row.task_id == task_id
    assert row.extra == {label.replace("\0", "\ufffd"): text.replace("\0", "\ufffd")}


def test_a_table_with_a_zero_is_a_manifest(tmp_path):
    """
    JSON can say U+0000, and a file with that is no text: it is replaced.
    """
    path = tmp_path / "t.csv"
    line = line_of(extra={"no\0te": "a\0b"}, messages=("\0",))
    path.write_bytes(b"".join(csv_lines([line], ["no\0te"])))
    (row,) = Manifest(path)
    assert (row.task_id, row.extra) == ("a", {"no\ufffdte": "a\ufffdb"})


def test_what_a_report_says_is_no_column_of_its_manifest():
    """
    Else every round of fetching and reporting would add its columns; rows without an id are none,
    as in the report itself.
    """
    submitted = datetime(2026, 11, 25, tzinfo=UTC)
    lines = [
        line_of("a", name="n", submitted_at=submitted, endpoint="deskew", extra={"page": 7}),
        line_of(None, status=OutcomeStatus.INVALID, reason="bad_row", extra={"page": 8}),
        line_of("b", extra={"outcome": "theirs"}),
    ]
    data = b"".join(csv_lines(lines, ["page", "outcome"]))
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig")
    first, second = read_rows(Lines(stream, "m"), ManifestFormat.CSV)
    extra = {"page": "7", "extra.outcome": ""}
    assert first == Job("a", "n.png", "n", submitted, "deskew", "m", 2, extra)
    assert (second.task_id, second.line) == ("b", 4)
    assert second.extra == {"page": "", "extra.outcome": "theirs"}


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none()))
def test_any_extra_columns_make_a_table(extra):
    """
    Whatever names and values a manifest has, the table has as many cells in each row.
    """
    line = json.dumps({"task_id": "a", "outcome": "Completed", "calls": 1, "extra": extra}).encode()
    text = b"".join(csv_lines([line, line], extra)).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [len(row) for row in rows] == [len(REPORT_COLUMNS) + len(extra)] * 3
    assert len({name.casefold() for name in rows[0]}) == len(rows[0])
