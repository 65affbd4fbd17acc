"""
Parquet manifests: cells of every type, folders of part files, and files that are refused.
"""

import base64
import json
import logging
import os
import random
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from command import environment, read_report, run

from batchfetch.errors import ManifestError
from batchfetch.manifest import Manifest, ManifestFormat
from batchfetch.manifest.lines import MAX_ROW
from batchfetch.models import BadRow, Job

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
pq = pytest.importorskip("pyarrow.parquet")
encryption = pytest.importorskip("pyarrow.parquet.encryption")

UUID = uuid.UUID("7cb29a72-2b37-4dab-952a-e2cfcd18a33d")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)


@pytest.fixture
def table(tmp_path):
    """
    Write a Parquet file with these columns, and return its path.
    """

    def table(file="m.parquet", /, columns=None, *, how=None, **more):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True, parents=True)
        try:
            pq.write_table(pa.table({**(columns or {}), **more}), path, **(how or {}))
        except pa.ArrowNotImplementedError as error:
            pytest.skip(f"this release of pyarrow cannot write that: {error}")
        return path

    return table


def ids(manifest):
    """
    Return the task ids of *manifest*, in order.
    """
    return [row.task_id for row in manifest]


def refused(*paths, **how):
    """
    Return the message with which the manifest at *paths* is refused before it is read.
    """
    with pytest.raises(ManifestError) as error:
        Manifest(*paths, **how).check()
    message = str(error.value)
    assert "\n" not in message
    return message


# Rows and cells


def test_rows_have_the_columns_of_a_table(table):
    """
    Columns go by the same names as in CSV; a row's line is its number in the file.
    """
    path = table(
        "m.parquet",
        {"Task ID": ["a", "b"]},
        name=["x/1", None],
        submittedAt=pa.array([NOON, None]),
        endpoint=["deskew", None],
        page=[7, None],
    )
    first, second = Manifest(path)
    assert first == Job("a", "x/1.png", "x/1", NOON, "deskew", str(path), 1, {"page": 7})
    assert second == Job("b", "b.png", manifest=str(path), line=2, extra={"page": None})


@pytest.mark.parametrize(
    "column",
    [
        pa.array([str(UUID)]),
        pa.array([str(UUID)], pa.large_string()),
        pa.array([str(UUID)], pa.string_view()),
        pa.array([str(UUID)]).dictionary_encode(),
        pa.array([str(UUID).encode()]),
        pa.array([str(UUID).encode()], pa.large_binary()),
        pa.array([UUID.bytes], pa.binary(16)),
        pa.array([UUID.bytes], pa.binary(16)).dictionary_encode(),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID.bytes], pa.binary(16))),
        pa.array([f" {{{UUID}}} "]),
        pa.array([f'="{UUID}"']),
    ],
)
def test_an_id_is_text_whatever_its_type(table, column):
    """
    Also one that is a UUID by its type or by its sixteen bytes, and one with quotes around it.
    """
    assert ids(Manifest(table(task_id=column))) == [str(UUID)]


@pytest.mark.parametrize(
    ("column", "task_id"),
    [
        (pa.array([100000]), "100000"),
        (pa.array([2**64 - 1], pa.uint64()), str(2**64 - 1)),
        (pa.array([-5], pa.int8()), "-5"),
        (pa.array([5]).dictionary_encode(), "5"),
        (pa.array([1e15]), "1000000000000000"),
        (pa.array([Decimal(10) ** 30], pa.decimal128(38)), f"1{'0' * 30}"),
        (pa.array([Decimal("7.00")], pa.decimal128(9, 2)), "7"),
        (pa.array([b"0123456789abcdef"], pa.binary(16)), "0123456789abcdef"),
        (pa.array([b"0123456"], pa.binary(7)), "0123456"),
        (pa.array([bytes(16)], pa.binary(16)), str(uuid.UUID(int=0))),
    ],
)
def test_numbers_are_ids_digit_by_digit(table, column, task_id):
    """
    No exponent and no .0: also where a program has made floats of whole numbers.
    """
    assert ids(Manifest(table(task_id=column))) == [task_id]


@pytest.mark.parametrize(
    ("column", "detail"),
    [
        (pa.array([None], pa.string()), "the row has no task_id; give it one or remove it"),
        (pa.nulls(1), "the row has no task_id; give it one or remove it"),
        (pa.array(["NULL"]), "the row has no task_id; give it one or remove it"),
        (pa.array([float("nan")]), "the row has no task_id; give it one or remove it"),
        (pa.array([1.5]), "task_id 1.5 is not text; use a string"),
        (pa.array([1e300]), "task_id 1e+300 is not text"),
        (pa.array([True]), "task_id True is not text"),
        (pa.array([[1]]), "task_id [1] is not text"),
        (pa.array(["a b"]), "contains blanks"),
        (pa.array([b"a\xff"]), "the task_id 'a\\udcff' has bytes that are not UTF-8"),
        (pa.array([b"a\xff"]).view(pa.string()), "has bytes that are not UTF-8"),
        (pa.array([b"a\xff"]).view(pa.string()).dictionary_encode(), "bytes that are not UTF-8"),
    ],
)
def test_what_is_no_id_is_a_bad_row(table, column, detail):
    """
    The row is unusable for the reason that it would have in another format.
    """
    (row,) = Manifest(table(task_id=column))
    assert isinstance(row, BadRow)
    assert detail in row.detail


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
def test_times_are_instants(table, unit, zone):
    """
    Whatever their unit and zone; without a zone they are UTC.
    """
    times = pa.array([NAIVE, None, datetime(1969, 12, 31)], pa.timestamp(unit))  # noqa: DTZ001
    column = times.cast(pa.int64()).cast(pa.timestamp(unit, zone))
    path = table(task_id=["a", "b", "c"], submitted_at=column, how={"version": "2.6"})
    assert [row.submitted_at for row in Manifest(path)] == [
        NOON,
        None,
        datetime(1969, 12, 31, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NAIVE], pa.timestamp("ns")),
        pa.array(["2026-11-25T12:00:00Z"]),
        pa.array(["2026-11-25T13:00:00+01:00"]).dictionary_encode(),
        pa.array([int(NOON.timestamp())]),
        pa.array([NOON.timestamp()]),
        pa.array([int(NOON.timestamp() * 1000)]),
        pa.array([Decimal(int(NOON.timestamp()))], pa.decimal128(20, 3)),
        pa.array([f" {NOON.isoformat()} "]),
    ],
)
def test_times_are_read_as_in_other_formats_too(table, column):
    """
    Text and Unix times; and the times of old programs.
    """
    path = table(task_id=["a"], submitted_at=column, how={"use_deprecated_int96_timestamps": True})
    assert [row.submitted_at for row in Manifest(path)] == [NOON]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_date_is_its_midnight(table, kind):
    """
    In UTC, as in text.
    """
    path = table(task_id=["a"], submitted_at=pa.array([date(2026, 11, 25)], kind))
    assert [row.submitted_at for row in Manifest(path)] == [datetime(2026, 11, 25, tzinfo=UTC)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62]).cast(pa.timestamp("us")),
        pa.array([2**40]).cast(pa.timestamp("s", "UTC")),
        pa.array([-(2**50)]).cast(pa.timestamp("ms")),
        pa.array([True]),
        pa.array(["soon"]),
        pa.array([float("inf")]),
        pa.array([5]),
        pa.array([[NAIVE]]),
    ],
)
def test_a_time_that_cannot_be_read_is_a_warning(table, column, caplog):
    """
    The task is asked all the same.
    """
    path = table(task_id=["a"], submitted_at=column)
    assert [(row.task_id, row.submitted_at) for row in Manifest(path)] == [("a", None)]
    (record,) = caplog.records
    assert "is not a valid date and is ignored" in record.getMessage()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array(["NULL"]), "NULL"),
        (pa.array([True]), True),
        (pa.array([1.0]), 1.0),
        (pa.array([1.5]).cast(pa.float16()), 1.5),
        (pa.array([float("nan")]), None),
        (pa.array([float("-inf")], pa.float32()), None),
        (pa.array([2**63], pa.uint64()), 2**63),
        (pa.array([Decimal("1.10")], pa.decimal128(9, 2)), "1.10"),
        (pa.array([Decimal(12)], pa.decimal128(9)), 12),
        (pa.array([NAIVE], pa.timestamp("s")), "2026-11-25T12:00:00"),
        (pa.array([NAIVE], pa.timestamp("ns", "Asia/Tokyo")), "2026-11-25T12:00:00Z"),
        (
            pa.array([NAIVE.replace(microsecond=120)], pa.timestamp("us")),
            "2026-11-25T12:00:00.00012",
        ),
        (pa.array([date(2026, 11, 25)]), "2026-11-25"),
        (pa.array([time(1, 2, 3, 500000)]), "01:02:03.5"),
        (pa.array([timedelta(minutes=1.5)]), 90.0),
        (pa.array([b"text"]), "text"),
        (pa.array([b"\xff\x00"]), "ff00"),
        (pa.array([b"\x00\x01"], pa.binary(2)), "0001"),
        (pa.array([UUID.bytes], pa.binary(16)), str(UUID)),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([[1, None, 3]]), [1, None, 3]),
        (pa.array([[]], pa.list_(pa.int8())), []),
        (pa.array([[NAIVE]], pa.large_list(pa.timestamp("ns"))), ["2026-11-25T12:00:00"]),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2]),
        (pa.array([[1, 2]], pa.list_view(pa.int8())), [1, 2]),
        (
            pa.array([{"a": {"b": [Decimal("1.5")]}, "c": None}]),
            {"a": {"b": ["1.5"]}, "c": None},
        ),
        (
            pa.array([[("k", NAIVE), ("l", None)]], pa.map_(pa.string(), pa.timestamp("s"))),
            {"k": "2026-11-25T12:00:00", "l": None},
        ),
        (pa.array([[(1, "x")]], pa.map_(pa.int8(), pa.string())), {"1": "x"}),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID.bytes], pa.binary(16))),
            str(UUID),
        ),
    ],
)
def test_other_columns_are_carried_as_json(table, column, value):
    """
    Each type as a person would write it in JSON, and null where there is nothing.
    """
    column = pa.concat_arrays([column, pa.nulls(1, column.type)])
    path = table(task_id=["a", "b"], x=column, how={"version": "2.6"})
    try:
        first, second = Manifest(path)
    except ManifestError as error:
        if "Expected all lists to be of size" in str(error):
            pytest.skip(f"this release of pyarrow cannot read that: {error}")
        raise
    assert (first.extra, second.extra) == ({"x": value}, {"x": None})
    assert type(first.extra["x"]) is type(value)
    json.dumps(first.extra, allow_nan=False)


def test_values_of_nested_columns_belong_to_their_rows(table):
    """
    Also behind rows that have none, and in another block of rows than the first.
    """
    rows = 5000
    lists = [None if n % 7 == 0 else [n] * (n % 3) for n in range(rows)]
    pairs = [None if n % 5 == 0 else {"a": n, "b": [str(n)]} for n in range(rows)]
    maps = [None if n % 3 == 0 else [("k", n)] for n in range(rows)]
    path = table(
        task_id=[f"t{n}" for n in range(rows)],
        lists=pa.array(lists, pa.list_(pa.int64())),
        fixed=pa.array([[n, n] for n in range(rows)], pa.list_(pa.int64(), 2)),
        pairs=pairs,
        maps=pa.array(maps, pa.map_(pa.string(), pa.int64())),
    )
    for n, row in enumerate(Manifest(path)):
        assert (row.task_id, row.line) == (f"t{n}", n + 1)
        assert row.extra == {
            "lists": lists[n],
            "fixed": [n, n],
            "pairs": pairs[n],
            "maps": None if maps[n] is None else dict(maps[n]),
        }


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"b\xffc"]).view(pa.string()),
        pa.array([b"b\xffc"]).view(pa.string()).dictionary_encode(),
        pa.StructArray.from_arrays([pa.array([b"b\xffc"]).view(pa.string())], ["y"]),
    ],
)
def test_a_damaged_byte_in_an_extra_column_costs_that_byte(table, column, caplog):
    """
    It is replaced, with a warning that names the column; the task is asked.
    """
    (row,) = Manifest(table(task_id=["a"], x=column))
    assert row.task_id == "a"
    assert "b\ufffdc" in str(row.extra["x"])
    (record,) = caplog.records
    assert record.getMessage().endswith("were replaced by U+FFFD in the column 'x'")


def test_a_row_is_as_long_as_in_other_formats(table):
    """
    The report could not hold it otherwise; the rows beside it are read.
    """
    long = "x" * MAX_ROW
    path = table(
        task_id=["a", "b", "c", "d"],
        x=[None, long, "x", None],
        y=pa.array([None, None, None, ["x" * (MAX_ROW // 2), "x" * (MAX_ROW // 2)]]),
    )
    rows = list(Manifest(path))
    assert [row.task_id for row in rows] == ["a", None, "c", None]
    assert rows[1].detail == f"the row is longer than {MAX_ROW} characters; shorten it"
    assert [row.line for row in rows] == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [1, 3, 2048, 2049, 10**6])
def test_row_groups_do_not_matter(table, size):
    """
    Neither of one row each, nor of more than are decoded in one go.
    """
    rows = 5000
    path = table(
        task_id=[f"t{n}" for n in range(rows)], page=range(rows), how={"row_group_size": size}
    )
    found = [(row.task_id, row.line, row.extra) for row in Manifest(path)]
    assert found == [(f"t{n}", n + 1, {"page": n}) for n in range(rows)]


def test_columns_can_be_named(table):
    """
    As in the other formats.
    """
    path = table(guid=["a"], scan=["n"], id=["x"])
    (row,) = Manifest(path, id_column="GUID", name_column="scan")
    assert (row.task_id, row.name, row.extra) == ("a", "n", {"id": "x"})
    assert "has no column 'scans'; its columns are 'guid'" in refused(path, name_column="scans")


# Folders


def test_a_folder_of_part_files_is_one_manifest(table, tmp_path):
    """
    In the order of their names; what is hidden, or not for readers, is left out.
    """
    for name in ("p/part-1", "p/part-0", "p/sub/part-2", "p/_metadata", "p/.part-3", "p/_x/part"):
        table(f"{name}.parquet", task_id=[name[-6:]])
    (tmp_path / "p" / "_SUCCESS").write_bytes(b"")
    (tmp_path / "p" / "part-0.parquet.crc").write_bytes(b"crc")
    manifest = Manifest(tmp_path / "p")
    manifest.check()
    assert manifest.is_at_hand
    rows = list(manifest)
    assert [row.task_id for row in rows] == ["part-0", "part-1", "part-2"]
    assert [row.line for row in rows] == [1, 1, 1]
    assert rows[2].manifest == str(tmp_path / "p" / "sub" / "part-2.parquet")


def test_a_folder_may_be_called_like_a_file(table, tmp_path):
    """
    As programs that write part files call it; or the format is given.
    """
    table("m.parquet/part-0.parquet", task_id=["a"])
    assert ids(Manifest(tmp_path / "m.parquet")) == ["a"]
    given = ManifestFormat.PARQUET
    assert ids(Manifest(tmp_path / "m.parquet", manifest_format=given)) == ["a"]


def test_folders_around_part_files_may_hold_columns(table, tmp_path):
    """
    As in `customer=Nordwind`; a column of the file itself counts more.
    """
    table("p/endpoint=deskew/customer=A%2FB/0.parquet", task_id=["a"])
    table("p/endpoint=__HIVE_DEFAULT_PARTITION__/customer=C/0.parquet", task_id=["b"])
    table("p/endpoint=dewarp/customer=D/0.parquet", task_id=["c"], customer=["own"])
    found = {row.task_id: (row.endpoint, row.extra) for row in Manifest(tmp_path / "p")}
    assert found == {
        "a": ("deskew", {"customer": "A/B"}),
        "b": (None, {"customer": "C"}),
        "c": ("dewarp", {"customer": "own"}),
    }


def test_every_part_must_be_readable(table, tmp_path):
    """
    A part without ids, or one that is cut off, is found before the first is read.
    """
    table("p/0.parquet", task_id=["a"])
    path = table("p/1.parquet", page=[1])
    assert refused(tmp_path / "p").startswith(f"{path} has no column task_id")
    path.write_bytes(path.read_bytes()[:-10])
    assert (
        refused(tmp_path / "p") == f"{path} is cut off: its end is missing; copy or write it again"
    )


@pytest.mark.parametrize(
    ("sign", "table_format"),
    [
        ("_delta_log/0.json", "Delta"),
        ("metadata/version-hint.text", "Iceberg"),
        (".hoodie/x", "Hudi"),
    ],
)
def test_a_table_with_a_history_is_refused(table, tmp_path, sign, table_format):
    """
    Its folder also has the rows that were deleted from it.
    """
    table("p/0.parquet", task_id=["a"])
    (tmp_path / "p" / sign).parent.mkdir()
    (tmp_path / "p" / sign).write_text("{}")
    assert f"is a table of {table_format}, whose part files may hold rows" in refused(
        tmp_path / "p"
    )


def test_a_folder_without_part_files_is_refused(tmp_path):
    """
    Whatever it is called.
    """
    (tmp_path / "m.parquet").mkdir()
    message = refused(tmp_path / "m.parquet")
    assert (
        message == f"{tmp_path / 'm.parquet'} is a folder without .parquet files; give a manifest"
    )


# What is refused


def test_no_rows_are_an_empty_manifest(table):
    """
    Like a header without rows in CSV.
    """
    manifest = Manifest(table(task_id=pa.array([], pa.string())))
    manifest.check()
    assert ids(manifest) == []


def test_a_column_of_ids_is_required(table):
    """
    The message names the columns that there are.
    """
    message = refused(table(name=["a"], page=[1]))
    assert "has no column task_id; its columns are 'name', 'page'; rename one, or name" in message
    assert "has no column task_id" in refused(table())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; give a whole Parquet file"),
        (b"task_id\na\n", "is no Parquet file; give it the suffix of its format, or name that"),
        (b"PK\x03\x04xl/", "is no Parquet file: it is a spreadsheet; save it as CSV"),
        (b"\x1f\x8b....", "is compressed as a whole; unpack it with gunzip"),
        (b"PAR1", "cannot be read: Parquet file size is 4 bytes"),
        (b"PAR1....", "is cut off: its end is missing; copy or write it again"),
        (b"PARE....PARE", "is encrypted; give a Parquet file that is not"),
        (b"PAR1" + b"\xff" * 8 + b"PAR1", "cannot be read: "),
    ],
)
def test_a_file_that_is_no_parquet_is_refused(tmp_path, data, message):
    """
    With the reason and the remedy.
    """
    path = tmp_path / "m.parquet"
    path.write_bytes(data)
    assert refused(path).startswith(str(path))
    assert message in refused(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(table, share):
    """
    Wherever that is.
    """
    path = table(task_id=[f"t{n}" for n in range(1000)])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "is cut off" in refused(path)


class Keys(encryption.KmsClient):
    """
    Keys that are no secret.
    """

    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        return base64.b64encode(key)

    def unwrap_key(self, key, _):
        return base64.b64decode(key)


@pytest.mark.parametrize("column", ["task_id", "page"])
@pytest.mark.parametrize("plaintext_footer", [False, True])
def test_an_encrypted_file_is_refused(tmp_path, column, plaintext_footer):
    """
    The whole of it, or one of its columns.
    """
    path = tmp_path / "m.parquet"
    data = pa.table({"task_id": ["a"], "page": [1]})
    how = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": [column]}, plaintext_footer=plaintext_footer
    )
    properties = encryption.CryptoFactory(Keys).file_encryption_properties(
        encryption.KmsConnectionConfig(), how
    )
    with pq.ParquetWriter(path, data.schema, encryption_properties=properties) as writer:
        writer.write_table(data)
    assert "is encrypted; give a Parquet file that is not" in refused(path)


def test_a_column_that_is_nested_too_deeply_is_refused(table):
    """
    Its values would be nested too deeply for the report.
    """
    kind = pa.int8()
    for _ in range(150):
        kind = pa.struct([("a", kind)])
    assert "nested" in refused(table(task_id=["a"], x=pa.nulls(1, kind)))


def test_damage_is_a_message_and_not_a_crash(table, tmp_path):
    """
    Whatever bytes are changed, there are rows, or a sentence that says what is wrong.
    """
    path = table(
        task_id=[f"t{n}" for n in range(300)],
        submitted_at=pa.array([NAIVE] * 300, pa.timestamp("ns")),
        x=pa.array([[n] for n in range(300)]),
        y=[str(n % 3) for n in range(300)],
    )
    data, rng = path.read_bytes(), random.Random(5)
    script = tmp_path / "damage.py"
    for number in range(150):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 3, 20])):
            damaged[rng.randrange(4, len(data) - 4)] = rng.randrange(256)
        (tmp_path / f"d{number}.parquet").write_bytes(damaged)
    script.write_text(
        "import sys\nfrom batchfetch.errors import ManifestError\n"
        "from batchfetch.manifest import Manifest\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        rows = sum(1 for _ in Manifest(path))\n"
        "    except ManifestError as error:\n        assert str(error).startswith(path), error\n"
        "    else:\n        assert rows <= 300, rows\n"
    )
    paths = sorted(tmp_path.glob("d*.parquet"))
    done = subprocess.run(
        [sys.executable, script, *paths],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert (done.returncode, done.stderr[-500:]) == (0, "")


# In the command


@pytest.mark.parametrize("source", ["-", "fifo"])
def test_parquet_does_not_come_out_of_a_pipe(table, tmp_path, source):
    """
    One sentence and exit code 2, before anything is asked.
    """
    given = source
    if source == "fifo":
        given = tmp_path / "fifo"
        os.mkfifo(given)
    done = run("fetch", given, "-o", tmp_path / "out", "--manifest-format", "parquet", "--sandbox")
    assert done.code == 2
    (line,) = done.stderr.splitlines()
    assert "needs a regular file" in line
    assert "save it as a file and give its name" in line


@pytest.mark.parametrize("folder", [False, True])
def test_a_parquet_manifest_is_fetched(table, tmp_path, folder):
    """
    From the file to the images.
    """
    path = table("p/m.parquet", task_id=["a", "b"], name=["x/1", None], page=[1, 2])
    done = run("fetch", path.parent if folder else path, "-o", tmp_path / "out", "--sandbox")
    assert done.code == 0, done.stderr
    assert (tmp_path / "out" / "x" / "1.png").is_file()
    lines = read_report(tmp_path / "out" / "report.jsonl")
    found = {line["task_id"]: (line["manifest"], line["line"], line["extra"]) for line in lines}
    assert found == {"a": (str(path), 1, {"page": 1}), "b": (str(path), 2, {"page": 2})}


def test_without_the_extra_one_sentence_says_what_to_install(table, tmp_path):
    """
    And nothing else imports it, however Parquet is named so.
    """
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "pyarrow.py").write_text(
        'raise ModuleNotFoundError("No module named \'pyarrow\'", name="pyarrow")\n'
    )
    env = environment()
    env["PYTHONPATH"] = f"{missing}:{env['PYTHONPATH']}"
    path = table(task_id=["a"])
    done = run("fetch", path, "-o", tmp_path / "out", "--sandbox", env=env)
    assert done.code == 2
    assert done.stderr.splitlines()[-1].endswith(
        f"{path} needs the extra parquet; install it with pip install 'batchfetch[parquet]'"
    )
    (tmp_path / "ids.txt").write_text("a\n")
    (tmp_path / "ids.csv").write_text("id\nb\n")
    more = (tmp_path / "ids.txt", tmp_path / "ids.csv")
    assert run("fetch", *more, "-o", tmp_path / "out", "--sandbox", env=env).code == 0


@pytest.mark.slow
def test_memory_is_bounded_by_what_there_is(tmp_path):
    """
    A page of half a gigabyte in a file of a few kilobytes is refused where memory is limited.
    """
    path = tmp_path / "m.parquet"
    script = (
        "import sys, pyarrow as pa, pyarrow.parquet as pq\n"
        "big = pa.array(['x' * 2**29])\n"
        "pq.write_table(pa.table({'task_id': ['a'], 'x': big}), sys.argv[1],"
        " compression='zstd', use_dictionary=False, write_statistics=False)\n"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True, env=environment())
    assert path.stat().st_size < 2**20
    done = subprocess.run(
        [
            "sh",
            "-c",
            'ulimit -v 1000000; exec "$@"',
            *("sh", sys.executable, "-m", "batchfetch", "fetch", path, "--dry-run"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 2, done.stderr
    assert "it needs more memory than there is" in done.stderr


def test_wide_rows_are_read_a_few_at_a_time(tmp_path):
    """
    Two hundred megabytes of pictures beside the ids does not come into memory at once.
    """
    path = tmp_path / "m.parquet"
    blob = pa.array([bytes([128 + n]) * 200_000 for n in range(100)])
    rows = pa.table({"task_id": [f"t{n}" for n in range(100)], "picture": blob})
    with pq.ParquetWriter(path, rows.schema, use_dictionary=False) as writer:
        for _ in range(10):
            writer.write_table(rows)
    script = (
        "import sys\nfrom batchfetch.manifest import Manifest\n"
        "sizes = [len(row.extra['picture']) for row in Manifest(sys.argv[1])]\n"
        "assert sizes == [400_000] * 1000\n"
        "with open('/proc/self/status') as status:\n"
        "    print(next(line.split()[1] for line in status if line.startswith('VmHWM:')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, env=environment()
    )
    assert int(done.stdout) < 250_000


# Other programs


def written_by_pyarrow(path):
    rows = {
        "task_id": [str(UUID), "b"],
        "submitted_at": [NOON, None],
        "page": [1, 2],
        "customer": ["N", None],
    }
    pq.write_table(pa.table(rows), path)


def written_by_polars(path):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    polars.DataFrame(
        {
            "task_id": [str(UUID), "b"],
            "submitted_at": [NOON, None],
            "page": [1, 2],
            "customer": polars.Series(["N", None], dtype=polars.Categorical),
        }
    ).write_parquet(path)


def written_by_duckdb(path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "copy (select * from (values"
            f" ('{UUID}', timestamptz '2026-11-25 12:00:00+00', 1, 'N'::enum('N')),"
            " ('b', null, 2, null)) as t(task_id, submitted_at, page, customer))"
            f" to '{path}' (format parquet)"
        )


def written_by_pandas(path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pandas.DataFrame(
        {
            "task_id": [str(UUID), "b"],
            "submitted_at": pandas.to_datetime([NOON, None], utc=True),
            "page": [1, 2],
            "customer": pandas.Categorical(["N", None]),
        }
    ).to_parquet(path)


def written_by_fastparquet(path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    fastparquet = pytest.importorskip("fastparquet", reason="fastparquet is not installed")
    frame = pandas.DataFrame(
        {
            "task_id": [str(UUID), "b"],
            "submitted_at": pandas.to_datetime([NAIVE, None]),
            "page": [1, 2],
            "customer": ["N", None],
        }
    )
    fastparquet.write(str(path), frame)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "write",
    [
        *(written_by_pyarrow, written_by_polars, written_by_duckdb),
        *(written_by_pandas, written_by_fastparquet),
    ],
)
def test_files_of_every_program_read_alike(tmp_path, write):
    """
    The same rows are the same jobs.
    """
    path = tmp_path / "m.parquet"
    write(path)
    first, second = Manifest(path)
    assert first == Job(
        *(str(UUID), f"{UUID}.png", None, NOON, None, str(path), 1),
        extra={"page": 1, "customer": "N"},
    )
    assert second == Job(
        *("b", "b.png", None, None, None, str(path), 2), extra={"page": 2, "customer": None}
    )


def test_a_uuid_of_duckdb_is_an_id(tmp_path):
    """
    It has a type of its own.
    """
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    path = tmp_path / "m.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select '{UUID}'::uuid as id) to '{path}' (format parquet)")
    assert ids(Manifest(path)) == [str(UUID)]


def test_a_misspelt_column_is_told_once(table, tmp_path, caplog):
    """
    As for CSV: once for a folder of part files, however often it is checked before it is read.
    """
    for number in range(2):
        table(f"parts/{number}.parquet", task_id=[f"a{number}"], nmae=["x"], customer=["y"])
    manifest = Manifest(tmp_path / "parts")
    with caplog.at_level(logging.INFO, "batchfetch"):
        manifest.check()
        assert ids(manifest) == ["a0", "a1"]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.endswith(
        "the column 'nmae' is kept in the report's extra; if it is name, rename it"
    )


def test_a_linked_folder_is_read_once(table, tmp_path):
    """
    The rows in a folder that a link leads to are not left out; those of one that several lead to
    are not read twice, and a link to a folder around it is no endless way.
    """
    table("elsewhere/0.parquet", task_id=["linked"])
    table("parts/day/0.parquet", task_id=["a"])
    for name, target in [("elsewhere", "elsewhere"), ("last", "parts/day"), ("all", "parts")]:
        (tmp_path / "parts" / name).symlink_to(tmp_path / target)
    manifest = Manifest(tmp_path / "parts")
    assert ids(manifest) == ["a", "linked"]
