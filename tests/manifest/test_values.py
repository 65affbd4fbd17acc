"""
What programs wrap around values, or write above, between and below the rows.
"""

import gzip
import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch import Settings, plan
from batchfetch.errors import ManifestError
from batchfetch.manifest import Manifest, ManifestFormat
from batchfetch.manifest.columns import ColumnNames
from batchfetch.manifest.formats import read_rows
from batchfetch.manifest.lines import Lines
from batchfetch.models import BadRow, Job

TXT, CSV, TSV, JSONL, _ = ManifestFormat
GUID = "94b25465-48cc-4485-8669-b18f66bef4ae"


def rows_of(text, manifest_format, **names):
    """
    Return every row of *text*, read as from a file.
    """
    stream = io.TextIOWrapper(
        io.BytesIO(text if isinstance(text, bytes) else text.encode()),
        encoding="utf-8-sig",
        errors="surrogateescape",
    )
    return list(read_rows(Lines(stream, "m"), manifest_format, ColumnNames(**names)))


def ids_of(text, manifest_format):
    """
    Return the task id of each row of *text*, and of an unusable one the reason.
    """
    return [
        row.task_id if isinstance(row, Job) else row.reason
        for row in rows_of(text, manifest_format)
    ]


# Around ids and other values


@pytest.mark.parametrize(
    "written",
    [
        *(f'"{GUID}"', f"'{GUID}'", f"{{{GUID}}}", f'="{GUID}"', f" {GUID}\t", f'"{{{GUID}}}"'),
        *(f"\ufeff{GUID}", f"\u201c{GUID}\u201d", f'" {GUID} "', f'=" {GUID}"', f"\u00a0{GUID}"),
    ],
)
def test_what_is_around_an_id_is_taken_off(written):
    """
    Quotes, braces and a formula around an id are not part of it, in any format.
    """
    doubled = written.replace('"', '""')
    assert ids_of(f"{written}\n", TXT) == [GUID]
    assert ids_of(f"x\tid\n1\t{written}\n", TSV) == [GUID]
    assert ids_of(f'id,x\n"{doubled}",1\n', CSV) == [GUID]
    assert ids_of(json.dumps({"id": written}), JSONL) == [GUID]


@pytest.mark.parametrize("written", ["a{b}", "{a", "a}", "'a", "a'", "=a", "{a}b", '=""', "{}"])
def test_what_is_in_an_id_stays(written):
    """
    Only what begins and ends an id is around it; an id of nothing else is none.
    """
    assert ids_of(json.dumps({"id": written}), JSONL) == (
        ["bad_row"] if written in {'=""', "{}"} else [written]
    )


@pytest.mark.parametrize("written", ['a"b', '"a', 'a"', '"a"b"'])
def test_a_quotation_mark_left_in_an_id_is_damage(written):
    """
    A quotation mark that does not enclose the id makes the row unusable.
    """
    (row,) = rows_of(json.dumps({"id": written, "name": "n"}), JSONL)
    assert isinstance(row, BadRow)
    assert "contains a quotation mark" in row.detail
    assert row.name == "n"


@pytest.mark.parametrize("word", ["NULL", r"\N", "NaT", "None", "nan", "NaN", "", " NULL "])
@pytest.mark.parametrize("manifest_format", [CSV, TSV, JSONL])
def test_null_words_are_no_value_in_the_known_columns(word, manifest_format):
    """
    The words count in the four known columns, and are text in all others.
    """
    labels = ["id", "name", "submitted_at", "endpoint", "x"]
    if manifest_format is JSONL:
        lines = [
            json.dumps(dict(zip(labels, [i, word, word, word, word], strict=True)))
            for i in ("a", word)
        ]
    else:
        d = "," if manifest_format is CSV else "\t"
        lines = [d.join(labels), *(d.join([i, word, word, word, word]) for i in ("a", word))]
    rows = rows_of("\n".join(lines), manifest_format)
    assert (rows[0].filename, rows[0].submitted_at, rows[0].endpoint) == ("a.png", None, None)
    assert rows[0].extra == {"x": word}
    assert [row.detail for row in rows[1:] if word or manifest_format is JSONL] == (
        ["the row has no task_id; give it one or remove it"]
        if word or manifest_format is JSONL
        else []
    )


def test_a_null_word_is_no_id_in_a_list():
    """
    A list of ids that comes from a database may have NULL in it.
    """
    assert ids_of("a\nNULL\n\\N\n", TXT) == ["a", "bad_row", "bad_row"]


def test_numbers_that_json_does_not_have_are_null():
    """
    NaN and Infinity, which many programs write, are null wherever they are.
    """
    line = '{"id":"a","name":NaN,"x":NaN,"y":[Infinity,{"z":-Infinity}],"w":"NaN"}'
    (row,) = rows_of(line, JSONL)
    assert (row.name, row.extra) == (None, {"x": None, "y": [None, {"z": None}], "w": "NaN"})


# Above, between and below the rows


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nid;name\na;n\nb;\n",
        "\ufeffsep=;\r\nid;name\r\na;n\r\nb;\r\n",
        '"sep=;"\nid;name\na;n\nb;\n',
        "sep=,\nid;name\na;n\nb;\n",
        "#TYPE System.Management.Automation.PSCustomObject\nid,name\na,n\nb,\n",
        '#TYPE Selected.Task\n"id","name"\n"a","n"\n"b",\n',
        "id,name\na,n\nb,\n\x1a",
        "id,name\na,n\nb\x1a",
        "id,name\na,n\nb,\n\x1a\n",
        "id,name\na,n\nb,\n\x1a\x1a\x1a",
        "id,name\na,n\nid,name\nb,\n",
        "id,name\na,n\n\ufeffid,name\nb,\n",
        'id,name\na,n\n\ufeff"ID", "Name"\nb,\n',
        "id,name\na,n\n\x1aid,name\nb,\n",
        "id,name\na,n\nname,id\n,b\n",
        "id,name\na,n\nTask ID,name,page\nb,,\n",
        "id,name\na,n\nsep=,\n#TYPE X\nid,name\nb,\n",
        "id,name\na,n\n,\n \nb,\n\n ,\n",
        "id,name\na,n\n\ufeffb,\n",
        '\ufeff"id","name"\n"a","n"\n\ufeff"b",""\n',
    ],
)
def test_lines_that_are_no_rows_of_a_table(text):
    """
    What programs write around a table, also where tables were put together, is not a row.
    """
    rows = rows_of(text, CSV)
    assert [(row.task_id, row.name) for row in rows] == [("a", "n"), ("b", None)]
    tabs = text.replace(",", "\t").replace(";", "\t").replace("sep=\t", "sep=;")
    if '"' not in text:
        rows = rows_of(tabs, TSV)
        assert [(row.task_id, row.name) for row in rows] == [("a", "n"), ("b", None)]


@pytest.mark.parametrize(
    ("manifest_format", "text"),
    [
        (TXT, "a\nb\n\x1a"),
        (TXT, "a\n\ufeffb\x1a"),
        (TXT, "\ufeffa\n\x1a\ufeff\nb"),
        (JSONL, '{"id":"a"}\n\ufeff{"id":"b"}\n\x1a'),
        (JSONL, '\x1a\n{"id":"a"}\n\x1a{"id":"b"}\x1a'),
    ],
)
def test_marks_between_files_are_no_part_of_rows(manifest_format, text):
    """
    Byte order marks and ^Z, where files were put together or end, are taken off.
    """
    assert ids_of(text, manifest_format) == ["a", "b"]


def test_a_task_may_be_called_like_a_column():
    """
    Only a row that has a label for the ids in it is taken for a header.
    """
    assert ids_of("id,name\nname,x\nendpoint,y\n", CSV) == ["name", "endpoint"]


@pytest.mark.parametrize("blank", ["", " ", "  ", "\t", " \t"])
def test_blanks_between_a_delimiter_and_a_quotation_are_taken_off(blank):
    """
    A quoted cell may have blanks before and behind it; others keep theirs, except known values.
    """
    text = f'id,name,x,y\na,{blank}"n, 1"{blank},{blank}"say ""x"""{blank},{blank}z{blank}\n'
    (row,) = rows_of(text, CSV)
    assert (row.name, row.extra) == ("n, 1", {"x": 'say "x"', "y": f"{blank}z{blank}"})


def test_a_quote_in_tsv_is_a_character():
    """
    Cells of .tsv that begin with a quotation mark do not swallow what follows.
    """
    text = 'id\tname\tx\na\t"open\t"1\nb\t5" pipe\t"quoted"\nc\t\t"\n'
    rows = rows_of(text, TSV)
    assert [(row.task_id, row.name, row.extra["x"]) for row in rows] == [
        ("a", '"open', '"1'),
        ("b", '5" pipe', '"quoted"'),
        ("c", None, '"'),
    ]


# Labels


@pytest.mark.parametrize(
    "label", ["Task ID", "task-id", "TASK_ID", "taskId", "Task  Id ", "ID", "_id", '"task_id"']
)
def test_case_blanks_and_dashes_in_labels_do_not_matter(label):
    """
    The labels of the known columns may be written in any of the usual ways.
    """
    header = [label, "NAME", "Submitted At", "End-Point"]
    values = ["a", "n", "2026-11-23", "deskew"]
    expected = ("a", "n", 2026, "deskew")
    for text, manifest_format in (
        ("\t".join(header) + "\n" + "\t".join(values), TSV),
        (json.dumps(dict(zip(header, values, strict=True))), JSONL),
    ):
        (row,) = rows_of(text, manifest_format)
        assert (row.task_id, row.name, row.submitted_at.year, row.endpoint) == expected
        assert not row.extra


def test_columns_can_be_named():
    """
    With other names for ids and names, columns with the usual ones are extra.
    """
    names = {"task_id": "Page GUID", "name": "scan"}
    text = "id,name,page-guid,Scan\n1,2,a,n\n"
    (row,) = rows_of(text, CSV, **names)
    assert (row.task_id, row.name, row.extra) == ("a", "n", {"id": "1", "name": "2"})
    line = '{"Page GUID":"a","scan":"n","id":"1"}'
    (row,) = rows_of(line, JSONL, **names)
    assert (row.task_id, row.name, row.extra) == ("a", "n", {"id": "1"})


def test_one_column_can_be_id_and_name():
    """
    A column given for both is the id, and the name by the rules of names.
    """
    (row,) = rows_of("page\nx/1\n", CSV, task_id="page", name="Page")
    assert (row.task_id, row.filename) == ("x/1", "x/1.png")


def test_the_label_as_given_comes_first():
    """
    Of two labels that differ only in blanks the one that was given is taken.
    """
    (row,) = rows_of("Page ID,page_id\na,b\n", CSV, task_id="page_id")
    assert (row.task_id, row.extra) == ("b", {"Page ID": "a"})


@pytest.mark.parametrize(
    ("text", "manifest_format", "names", "message"),
    [
        ("id,name\n", CSV, {"task_id": "guid"}, "no column 'guid'; its columns are 'id', 'name'"),
        ("id,name\n", TSV, {"name": "scan"}, "no column 'scan'"),
        ('{"id":"a"}\n', JSONL, {"task_id": "guid"}, "no key 'guid'; its keys are 'id'"),
    ],
)
def test_a_named_column_must_be_there(text, manifest_format, names, message):
    """
    A column that was named and is missing is an error, because nothing else is what was meant.
    """
    with pytest.raises(ManifestError, match=message):
        rows_of(text, manifest_format, **names)


@pytest.mark.anyio
async def test_settings_name_the_columns(tmp_path):
    """
    The settings of a run name the columns of a manifest that does not name its own.
    """
    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress(b"guid,scan\na,n\na,n\nb,n\n,x\n"))
    settings = Settings(output=tmp_path / "out", id_column="guid", name_column="scan")
    for manifest in (Manifest(path), Manifest(path, id_column="GUID")):
        found = await plan(manifest, settings)
        assert (found.tasks, found.to_fetch, found.repeated) == (3, 1, 1)
        assert found.reasons == {"bad_name": 1, "bad_row": 1}


# Bytes that are no text


@pytest.mark.parametrize(
    ("manifest_format", "text"),
    [
        (CSV, b"id,x,name\na,b\xffc,n\n"),
        (CSV, b'id,x,name\n"a","b\xffc","n"\n'),
        (CSV, b'id,x,name\na,"b\xffc\nd",n\n'),
        (TSV, b"id\tx\tname\na\tb\xffc\tn\n"),
        (JSONL, b'{"id":"a","x":"b\xffc","name":"n"}\n'),
        (JSONL, b'{"id":"a","x":{"y":["\xff"],"\xff":1},"name":"n"}\n'),
        (JSONL, b'{"id":"a","x":"b\\ud800c","name":"n"}\n'),
    ],
)
def test_a_damaged_byte_in_an_extra_column_costs_that_byte(manifest_format, text, caplog):
    """
    It is replaced, with a warning that names the column; the task is asked.
    """
    (row,) = rows_of(text, manifest_format)
    assert (row.task_id, row.name) == ("a", "n")
    assert "\ufffd" in str(row.extra["x"])
    json.dumps(row.extra, ensure_ascii=False).encode()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("were replaced by U+FFFD in the column 'x'")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"id,x,name\na\xff,x,n\n", "the task_id 'a\\udcff' has bytes that are not UTF-8"),
        (b"id,x,name\na,x,n\xff\n", "the name 'n\\udcff' has bytes that are not UTF-8"),
        ("id,x,name\na\ufffd,x,n\n".encode(), "has bytes that are not UTF-8"),
        ("id,x,name\na,x,n\ufffd\n".encode(), "has bytes that are not UTF-8"),
        (b"id,x,endpoint\na,x,\xff\n", "'\\udcff' is not a valid endpoint"),
    ],
)
def test_a_damaged_byte_in_a_known_column_is_a_bad_row(text, detail):
    """
    What the byte was is not known, so neither is the task or its file.
    """
    (row,) = rows_of(text, CSV)
    assert isinstance(row, BadRow)
    assert detail in row.detail
    assert row.detail.isprintable()
    (row.name or "").encode()


@given(st.binary(max_size=60), st.sampled_from([CSV, TSV, JSONL]))
def test_any_bytes_in_an_extra_column_leave_the_task(damage, manifest_format):
    """
    Bytes of any kind in an extra column cost no task, and what is kept of them is text.
    """
    damage = damage.translate(None, b'\n\r\t\\"') + b"."
    text = {
        CSV: b'id,x\na,"' + damage + b'"\n',
        TSV: b"id\tx\na\t" + damage + b"\n",
        JSONL: b'{"id":"a","x":"' + damage.translate(None, bytes(range(32))) + b'"}\n',
    }[manifest_format]
    (row,) = rows_of(text, manifest_format)
    assert row.task_id == "a"
    row.extra["x"].encode()


# Messages


@pytest.mark.parametrize("column", ["id", "name", "submitted_at", "endpoint"])
def test_values_in_messages_are_short_and_printable(column, caplog):
    """
    A long value, or one with control characters, cannot fill or change a terminal.
    """
    value = "\x9b31m\u202e /\x07" + "x" * 100_000
    (row,) = rows_of(json.dumps({"id": "a", column: value}), JSONL)
    said = caplog.messages[0] if column == "submitted_at" else row.detail
    assert said.isprintable()
    assert len(said) < 300


@pytest.mark.parametrize(
    "row",
    [
        {"x": "1"},
        {"id": True},
        {"id": "i" * 513},
        {"id": "a b"},
        {"id": "a\u200bb"},
        {"id": 'a"b'},
        {"id": "a\ufffdb"},
        {"id": "a", "name": 1.5},
        {"id": "a", "name": "../b"},
        {"id": "a", "name": "/b"},
        {"id": "a", "name": "b:c"},
        {"id": "a", "name": "b /c"},
        {"id": "a", "name": "b\u0007c"},
        {"id": "a", "name": "b/" * 101 + "c"},
        {"id": "a", "name": "b" * 256 + "/c"},
        {"id": "a", "name": "b" * 256},
        {"id": "a", "name": "/".join(["b" * 200] * 6)},
        {"id": "a", "endpoint": "desk"},
    ],
)
def test_every_reason_names_a_way_out(row):
    """
    What is said of an unusable row is what is wrong, and what to do about it.
    """
    first, bad = rows_of("\n".join(map(json.dumps, [{"id": "first"}, row])), JSONL)
    assert isinstance(bad, BadRow), first
    wrong, _, way = bad.detail.partition("; ")
    assert wrong
    assert way, bad.detail
