"""
Readers of the manifest formats: every row becomes a job, or a bad row with the reason.
"""

import csv
import io
import json
import logging
import re
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.errors import ManifestError
from batchfetch.manifest import ManifestFormat, RowReader
from batchfetch.manifest.formats import read_rows
from batchfetch.manifest.lines import MAX_ROW, Lines
from batchfetch.models import BadRow, Job, Outcome

TXT, CSV, TSV, JSONL, _ = ManifestFormat


def rows_of(text, manifest_format=TXT):
    """
    Return every row of *text*, read as from a file.
    """
    stream = io.TextIOWrapper(
        io.BytesIO(text if isinstance(text, bytes) else text.encode()),
        encoding="utf-8-sig",
        errors="surrogateescape",
    )
    return list(read_rows(Lines(stream, "m"), manifest_format))


def ids_of(text, manifest_format=TXT):
    """
    Return the line and task id of each usable row of *text*.
    """
    return [(row.line, row.task_id) for row in rows_of(text, manifest_format) if is_job(row)]


def is_job(row):
    """
    Whether *row* is usable.
    """
    return isinstance(row, Job)


def only_row(text, manifest_format=TXT):
    """
    Return the only row of *text*.
    """
    (row,) = rows_of(text, manifest_format)
    return row


# All formats.


@pytest.mark.parametrize(
    ("manifest_format", "text"),
    [
        (TXT, "a\nb\n"),
        (TXT, "\ufeffa\r\nb"),
        (TXT, "a\rb\r"),
        (CSV, "task_id\na\nb\n"),
        (CSV, "\ufefftask_id\r\na\r\nb\r\n"),
        (CSV, "task_id\ra\rb"),
        (TSV, "task_id\tx\na\t1\nb\t2\n"),
        (JSONL, '{"task_id":"a"}\n{"task_id":"b"}'),
        (JSONL, '\ufeff{"task_id":"a"}\r\n{"task_id":"b"}\r\n'),
    ],
)
def test_line_ends_and_byte_order_marks_do_not_matter(manifest_format, text):
    """
    LF, CRLF and CR give the same ids, with or without a byte order mark.
    """
    assert [task_id for _, task_id in ids_of(text, manifest_format)] == ["a", "b"]


@pytest.mark.parametrize("manifest_format", [TXT, JSONL])
def test_an_empty_file_has_no_rows(manifest_format):
    """
    An empty file without a header is a manifest without tasks.
    """
    assert rows_of("", manifest_format) == []
    assert rows_of("\n \n", manifest_format) == []


def test_a_job_names_its_manifest_and_line():
    """
    A job has its manifest's name and its line, counted from 1.
    """
    _, job = rows_of("a\nb\n")
    assert (job.manifest, job.line) == ("m", 2)


@pytest.mark.parametrize(
    ("manifest_format", "text", "line"),
    [
        (TXT, b"a\nb\xff\nc\n", 2),
        (CSV, b"task_id\na\nb\xff\nc\n", 3),
        (JSONL, b'{"id":"a"}\n{"id":"b\xff"}\n{"id":"c"}\n', 2),
        (TXT, b"a\n\xed\xa0\x80\nc\n", 2),
    ],
)
def test_a_line_that_is_not_utf8_is_one_bad_row(manifest_format, text, line):
    """
    Bytes that are not UTF-8 make one bad row; the rows around it are read.
    """
    first, bad, last = rows_of(text, manifest_format)
    assert (first.task_id, last.task_id) == ("a", "c")
    assert (bad.line, bad.reason) == (line, "bad_row")
    assert "not UTF-8" in bad.detail


@pytest.mark.parametrize(
    ("manifest_format", "head", "tail"),
    [(TXT, "", "c\n"), (CSV, "task_id\n", "c\n"), (JSONL, '{"id":"a"}\n', '{"id":"c"}\n')],
)
def test_a_line_too_long_is_not_kept_in_memory(manifest_format, head, tail):
    """
    A line of 64 MB gives one bad row and takes a few megabytes of memory.
    """
    with io.BytesIO() as file:
        file.write(head.encode())
        for _ in range(64):
            file.write(b"x" * 2**20)
        file.write(b"\n" + tail.encode())
        file.seek(0)
        lines = Lines(io.TextIOWrapper(file, encoding="utf-8-sig"), "m")
        tracemalloc.start()
        rows = list(read_rows(lines, manifest_format))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    *_, bad, last = rows
    assert isinstance(bad, BadRow)
    assert "longer than 1048576" in bad.detail
    assert (last.task_id, last.line) == ("c", head.count("\n") + 2)
    assert peak < 16 * 2**20


@pytest.mark.parametrize("length", [MAX_ROW - 1, MAX_ROW])
def test_a_line_of_the_longest_length_ends_at_its_line_end(length):
    """
    A line of about the longest length allowed does not include the next one.
    """
    assert [row.line for row in rows_of("x" * length + "\nb")] == [1, 2]


def test_a_bare_id_is_a_job():
    """
    An id that does not come from a file is validated like one that does.
    """
    rows = RowReader(None)
    assert rows.job(None, " a/b ") == Job("a/b", "a%2Fb.png")
    assert isinstance(rows.job(None, "a b"), BadRow)


# Ids.


@pytest.mark.parametrize(
    "task_id",
    [
        "94b25465-48cc-4485-8669-b18f66bef4ae",
        "TTS01232-9d40",
        "x" * 200,
        "a/b",
        "..",
        "é",
        "1=2;a+b",
    ],
)
def test_an_id_is_opaque(task_id):
    """
    Any text without blanks may be an id, and is kept unchanged.
    """
    assert only_row(f"  {task_id}\t").task_id == task_id


@pytest.mark.parametrize(
    ("task_id", "message"),
    [
        ("a b", "blanks"),
        ("a\x00b", "control"),
        ("a\u00a0b", "blanks"),
        ("\u200ba", "control"),
        ("x" * 513, "513 characters"),
    ],
)
def test_an_unusable_id_is_a_bad_row(task_id, message):
    """
    An id that can only be a mistake gives a bad row.
    """
    row = only_row(task_id)
    assert (row.reason, row.task_id) == ("bad_row", None)
    assert message in row.detail


def test_an_id_too_long_for_a_file_needs_a_name():
    """
    A long id is usable with a name, and gives a bad row without one.
    """
    long = "x" * 300
    unnamed, named = rows_of(f"id,name\n{long},\n{long},short\n", CSV)
    assert (unnamed.reason, unnamed.task_id) == ("bad_name", long)
    assert named.filename == "short.png"


# txt


def test_comments_and_blank_lines_are_skipped():
    """
    Lines that are blank or begin with # are not rows, but are counted as lines.
    """
    assert ids_of("# head\n\na\n  # more\nb#1\n") == [(3, "a"), (5, "b#1")]


# csv and tsv


@pytest.mark.parametrize(
    "header",
    ["task_id,page", "id,page", "taskId,page", " Task_ID ,page", '"TASKID",page', "page,id"],
)
def test_the_id_column_has_several_names(header):
    """
    `task_id`, `id` and `taskId` name the id column, regardless of case and surrounding blanks.
    """
    assert ids_of(f"{header}\n7,7\n", CSV) == [(2, "7")]


def test_task_id_takes_precedence_over_id():
    """
    If there is a column `task_id`, a column `id` is an extra one.
    """
    row = only_row("id,task_id\n1,a\n", CSV)
    assert (row.task_id, row.extra) == ("a", {"id": "1"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_may_have_any_list_separator(delimiter):
    """
    The cells of a .csv may be separated by commas, semicolons or tabs.
    """
    row = only_row(delimiter.join(["name", "id"]) + "\n" + delimiter.join(["n", "a"]), CSV)
    assert (row.task_id, row.name) == ("a", "n")


def test_all_columns_are_used():
    """
    Known columns become fields of the job, the others go into extra.
    """
    text = (
        "task_id,name,submitted_at,endpoint,customer,\n"
        "a,x/y,2026-11-22T12:00:00+02:00,deskew,Me & Co,z\n"
    )
    assert only_row(text, CSV) == Job(
        task_id="a",
        filename="x/y.png",
        name="x/y",
        submitted_at=datetime(2026, 11, 22, 10, tzinfo=UTC),
        endpoint="deskew",
        manifest="m",
        line=2,
        extra={"customer": "Me & Co", "column 6": "z"},
    )


def test_columns_of_one_name_are_kept_apart():
    """
    Two extra columns of the same name are both kept, under different names.
    """
    assert only_row("id,x,x\na,1,2\n", CSV).extra == {"x": "1", "x 3": "2"}


def test_empty_cells_are_absent():
    """
    A cell that is empty, blank or missing gives the default.
    """
    for text in ("id,name,endpoint\na,,\n", "id,name,endpoint\na, \n", "id,name,endpoint\na\n"):
        row = only_row(text, CSV)
        assert (row.filename, row.name, row.endpoint) == ("a.png", None, None)


def test_rows_of_empty_cells_are_skipped():
    """
    Rows without any content, as spreadsheets write below the last one, are skipped.
    """
    assert ids_of("id,x\n,\n\na,\n,\n", CSV) == [(4, "a")]


def test_a_row_without_id_is_bad():
    """
    A row with cells but without an id is a bad row that keeps its other columns.
    """
    row = only_row("id,x\n,1\n", CSV)
    assert (row.line, row.detail, row.extra) == (
        2,
        "the row has no task_id; give it one or remove it",
        {"x": "1"},
    )


def test_a_row_with_too_many_cells_is_bad():
    """
    An unquoted comma is reported, not taken for the end of a name.
    """
    bad, good = rows_of("id,name\na,x,y\nb,z,\n", CSV)
    assert bad.detail == (
        "the row has 3 cells but the header has 2; quote cells that contain the delimiter"
    )
    assert good.name == "z"


def test_a_quoted_cell_may_span_lines():
    """
    A row of several lines is reported by its first line.
    """
    first, second = rows_of('id,note\na,"1\n2\n3"\nb,\n', CSV)
    assert (first.line, first.extra) == (2, {"note": "1\n2\n3"})
    assert second.line == 5


def test_a_malformed_quotation_is_one_bad_row():
    """
    Text after a closing quotation mark gives one bad row.
    """
    bad, good = rows_of('id\n"a"b\nc\n', CSV)
    assert (bad.line, good.task_id) == (2, "c")


def test_an_unclosed_quotation_at_the_end_is_reported():
    """
    An unclosed quotation mark in the last row gives a bad row.
    """
    good, bad = rows_of('id,x\na,1\nb,"open\n', CSV)
    assert (good.task_id, bad.line) == ("a", 3)


def test_a_row_of_many_lines_is_bounded():
    """
    Cells that each span a line cannot turn the whole file into one row.
    """
    bad, *_ = rows_of('id,x\na,"' + '\n","' * 300_000 + '"\n', CSV)
    assert bad.line == 2
    assert "the row is longer than 1048576 characters" in bad.detail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("taskidd,name\na,b\n", "its columns are 'taskidd', 'name'"),
        ('"id,name\na,b\n', "lines 1 to 2 do not form a row"),
        ("x" * MAX_ROW + "\n", "line 1: the header is too long"),
    ],
)
def test_a_table_without_an_id_column_is_refused(text, message):
    """
    A header that cannot be used is an error before any row is read.
    """
    with pytest.raises(ManifestError, match=message):
        rows_of(text, CSV)


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8),
            min_size=3,
            max_size=3,
        ),
        max_size=8,
    )
)
def test_cells_are_those_of_the_csv_module(cells):
    """
    Any table that the csv module writes is read back cell by cell.
    """
    table = [[f"t{number}", *row] for number, row in enumerate(cells)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "x", "y", "z"], *table])
    rows = rows_of(text.getvalue().replace("\r\n", "\n"), CSV)
    assert [[row.task_id, *row.extra.values()] for row in rows] == table


# jsonl


@pytest.mark.parametrize("key", ["task_id", "id", "taskId", "TaskId"])
def test_the_id_key_has_several_names(key):
    """
    The key of an object's id may have the same names as the column.
    """
    assert ids_of(json.dumps({key: "a"}), JSONL) == [(1, "a")]


def test_unknown_keys_are_kept():
    """
    The values of unknown keys are kept unchanged, nested or not.
    """
    row = only_row('{"id": "a", "name": "n", "x": {"y": [1, null]}, "z": true}', JSONL)
    assert (row.name, row.extra) == ("n", {"x": {"y": [1, None]}, "z": True})


def test_objects_may_have_different_keys():
    """
    The keys of each line are looked up separately.
    """
    first, second = rows_of('{"id":"a","x":1}\n{"y":2,"task_id":"b"}\n', JSONL)
    assert (first.extra, second.extra) == ({"x": 1}, {"y": 2})


def test_numbers_may_be_ids():
    """
    An id or a name of digits may be written as a number.
    """
    assert ids_of('{"id": 17, "name": 4}', JSONL) == [(1, "17")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": null}', "no task_id"),
        ('{"id": ""}', "no task_id"),
        ("{}", "no task_id"),
        ('{"id": true}', "task_id True is not text; use a string"),
        ('{"id": ["a"]}', "task_id ['a'] is not text; use a string"),
        ('{"id": "a", "name": {}}', "name {} is not text; use a string"),
        ('{"id": "a", "name": [' + "1," * 99 + "1]}", "1… is not text; use a string"),
        ('{"id": "a", "endpoint": "rotate"}', "'rotate' is not a valid endpoint"),
        ('{"id": "a"', "not JSON"),
        ('{"id": "a", "x": nan}', "not JSON"),
        ('{"id": "\\ud800"}', "has bytes that are not UTF-8"),
        ('{"id": "a", "name": "\\udc80"}', "has bytes that are not UTF-8"),
        ('["a"]', "not a JSON object"),
        ('{"id": "a", "x": ' + "[" * 100_000, "not JSON"),
        ('{"id": "a", "x": ' + "[" * 200 + "]" * 200 + "}", "not JSON"),
    ],
)
def test_an_unusable_object_is_a_bad_row(line, message):
    """
    A line that cannot be used gives a bad row, and the next one is read.
    """
    _, bad, good = rows_of(f'{{"id":"z"}}\n{line}\n{{"id":"b"}}', JSONL)
    assert (bad.line, bad.reason, good.task_id) == (2, "bad_row", "b")
    assert message in bad.detail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"id": "a"}\n]', "line 1"),
        ("task_id\na\n", "not JSON"),
        ('{"taskidd": "a", "x": 1}', "its keys are 'taskidd', 'x'"),
    ],
)
def test_a_first_line_without_an_id_is_refused(text, message):
    """
    A first line that is not an object with an id is an error before any row is read.
    """
    with pytest.raises(ManifestError, match=message):
        rows_of(text, JSONL)


# Reports as manifests.


REPORTED = {
    "task_id": "a",
    "outcome": "TimedOut",
    "reason": "still_pending",
    "path": None,
    "calls": 9,
    "manifest": "old.csv",
    "line": 70,
    "name": "x/y",
    "submitted_at": "2026-11-23T08:30:00Z",
    "endpoint": "deskew",
    "extra": {"customer": "Me"},
}


def test_a_report_line_gives_back_its_row():
    """
    A line of a report gives the row it came from; the fields about the outcome are ignored.
    """
    assert only_row(json.dumps(REPORTED), JSONL) == Job(
        task_id="a",
        filename="x/y.png",
        name="x/y",
        submitted_at=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
        endpoint="deskew",
        manifest="m",
        line=1,
        extra={"customer": "Me"},
    )


@pytest.mark.parametrize(("path", "name"), [("x/y.png", "x/y.png"), ("a.png", None), (None, None)])
def test_a_report_line_without_name_uses_its_path(path, name):
    """
    The path of an image is used as its name, unless it is the one that follows from the id.
    """
    row = only_row(json.dumps({**REPORTED, "name": None, "path": path}), JSONL)
    assert row.name == name


def test_a_report_line_without_task_id_is_no_row():
    """
    A report line about a row that had no task id is skipped, also as the first line.
    """
    unusable = json.dumps({**REPORTED, "task_id": None, "outcome": "Invalid"})
    assert rows_of(unusable, JSONL) == []
    assert ids_of(f"{unusable}\n{json.dumps(REPORTED)}\n{unusable}\n", JSONL) == [(2, "a")]


@pytest.mark.parametrize(
    "change", [{"outcome": "submitted"}, {"outcome": 1}, {"outcome": ["Failed"]}]
)
def test_an_object_with_some_outcome_is_a_row(change):
    """
    Only an object with a task id, an outcome of ours and its calls is a line of a report.
    """
    row = only_row(json.dumps({"id": "a", "name": "n", **change}), JSONL)
    assert (row.task_id, row.name, row.extra) == ("a", "n", change)
    row = only_row(json.dumps({**REPORTED, **change}), JSONL)
    assert row.extra["calls"] == 9


def test_an_object_without_calls_is_a_row():
    """
    A manifest may have a column called outcome with our words in it.
    """
    row = only_row('{"task_id":"a","outcome":"Failed"}', JSONL)
    assert row.extra == {"outcome": "Failed"}


def test_a_mended_report_is_a_manifest():
    """
    The report line of an unusable row has what the manifest had, so that correcting it is enough.
    """
    bad = only_row(
        '{"id":"a b","name":"x/../y","endpoint":"deskew","submitted_at":1763884800,"page":7}', JSONL
    )
    line = Outcome.invalid(bad).model_dump(mode="json", by_alias=True)
    assert line["name"] == "x/../y"
    mended = only_row(json.dumps({**line, "task_id": "ab", "name": "x/y"}), JSONL)
    assert mended == Job(
        task_id="ab",
        filename="x/y.png",
        name="x/y",
        submitted_at=datetime(2025, 11, 23, 8, tzinfo=UTC),
        endpoint="deskew",
        manifest="m",
        line=1,
        extra={"page": 7},
    )


# Arbitrary input.


@given(st.binary(max_size=300), st.sampled_from([TXT, CSV, TSV, JSONL]))
def test_any_bytes_give_rows_or_an_error(data, manifest_format):
    """
    Any input gives jobs and bad rows in the order of their lines, or a `ManifestError`.
    """
    try:
        rows = rows_of(data, manifest_format)
    except ManifestError:
        return
    lines = [row.line for row in rows]
    assert lines == sorted(lines)
    for row in rows:
        assert is_job(row) or row.detail.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["id", "name", "endpoint", "submitted_at", "x"]), JSON))
def test_any_object_is_a_job_or_a_bad_row(row):
    """
    Values of any type give a job or a bad row, never an exception.
    """
    _, judged = rows_of(f'{{"id":"z"}}\n{json.dumps(row)}', JSONL)
    if is_job(judged):
        assert judged.task_id in str(row["id"])


@pytest.mark.parametrize(
    ("header", "label", "field"),
    [
        ("task_id,Nmae", "Nmae", "name"),
        ("id;names", "names", "name"),
        ("id,submitted,name", "submitted", "submitted_at"),
        ("id,end-point", None, None),
        ("id,endpoints", "endpoints", "endpoint"),
        ("id,name,names", None, None),
        ("id,customer,filename,first name,page,date", None, None),
    ],
)
def test_a_misspelt_column_is_told(caplog, header, label, field):
    """
    Once for a table, and as no warning: it may be a column of the user's own.  One that is there
    has not been misspelt.
    """
    with caplog.at_level(logging.INFO, "batchfetch"):
        rows_of(f"{header}\n{re.sub('[^,;]+', '1', header)}\n", CSV)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    told = [words for words in told if "kept in the report's extra" in words[1]]
    expected = f"m: the column {label!r} is kept in the report's extra; if it is {field}, rename it"
    assert told == ([] if label is None else [("INFO", expected)])
