"""
Tables of report lines in Parquet: typed columns, and manifests as they are.
"""

import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.manifest import Manifest
from batchfetch.models import REPORT_COLUMNS, Job, Outcome, OutcomeStatus
from batchfetch.report.lines import encode

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
pq = pytest.importorskip("pyarrow.parquet")
from batchfetch.report.parquet import parquet_pieces  # noqa: E402 - needs the extra

NOON = datetime(2026, 11, 25, 12, 0, 0, 250_000, tzinfo=UTC)


def line_of(task_id="a", **more):
    """
    A line of the report without its end.
    """
    values = {"status": OutcomeStatus.COMPLETED, **more}
    return encode(Outcome(task_id=task_id, **values)).rstrip(b"\n")


def file_of(*lines, columns=()):
    """
    The bytes of the file of these lines.
    """
    return b"".join(parquet_pieces(lambda: lines, list(columns)))


def table_of(*lines, columns=()):
    """
    The table of these lines.
    """
    return pq.read_table(io.BytesIO(file_of(*lines, columns=columns)))


def test_columns_are_typed():
    """
    Times are instants, sizes and counts integers, messages lists.
    """
    line = line_of(
        messages=("one", "two"),
        bytes=5,
        calls=2,
        line=3,
        first_call_at=NOON,
        finished_at=NOON,
        path="a.png",
    )
    table = table_of(line, line_of("b"))
    assert table.column_names == list(REPORT_COLUMNS)
    for name in ("first_call_at", "finished_at", "submitted_at"):
        assert table.schema.field(name).type == pa.timestamp("us", "UTC")
    for name in ("bytes", "calls", "line"):
        assert table.schema.field(name).type == pa.int64()
    assert pa.types.is_list(table.schema.field("messages").type)
    row = table.to_pylist()[0]
    assert (row["messages"], row["warnings"]) == (["one", "two"], [])
    assert (row["bytes"], row["calls"], row["line"], row["first_call_at"]) == (5, 2, 3, NOON)
    assert table["bytes"].to_pylist() == [5, None]


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([1, None], pa.int64(), [1, None]),
        ([2**63 - 1, 1], pa.int64(), [2**63 - 1, 1]),
        ([1, 1.5], pa.float64(), [1.0, 1.5]),
        ([2**60, 1.5], pa.string(), [str(2**60), "1.5"]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([True, False], pa.bool_(), [True, False]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["x", 1], pa.string(), ["x", "1"]),
        (["x", None], pa.string(), ["x", None]),
        ([None, None], pa.string(), [None, None]),
        ([[1, "a"], {"b": None}], pa.string(), ['[1, "a"]', '{"b": null}']),
        ([["ü"], "x"], pa.string(), ['["ü"]', "x"]),
    ],
)
def test_a_column_of_extra_has_the_type_of_its_values(values, kind, read):
    """
    Values of several types, and those that are not flat, are text.
    """
    lines = [line_of(str(n), extra={"x": value}) for n, value in enumerate(values)]
    table = table_of(*lines, line_of("none"), columns=["x"])
    assert table.schema.field("x").type == kind
    assert table["x"].to_pylist() == [*read, None]


def test_a_column_that_is_called_like_another_gets_a_name_of_its_own():
    """
    By the rule of the other tables.
    """
    extra = {"outcome": "1", "Line": "2", "ok": "3"}
    (row,) = table_of(line_of(extra=extra), columns=extra).to_pylist()
    assert row["outcome"] == "Completed"
    assert (row["extra.outcome"], row["extra.Line"], row["ok"]) == ("1", "2", "3")


def test_a_table_is_a_manifest(tmp_path):
    """
    With the same ids, names, times, endpoints and columns; rows without an id are none.
    """
    path = tmp_path / "x.parquet"
    lines = [
        line_of("a", name="n", submitted_at=NOON, endpoint="deskew", extra={"page": 7}),
        line_of(None, status=OutcomeStatus.INVALID, reason="bad_row", extra={"page": 8}),
        line_of("-f", extra={"outcome": "'=theirs"}),
    ]
    path.write_bytes(file_of(*lines, columns=["page", "outcome"]))
    first, second = Manifest(path)
    extra = {"page": 7, "extra.outcome": None}
    assert first == Job("a", "n.png", "n", NOON, "deskew", str(path), 1, extra)
    assert (second.task_id, second.line) == ("-f", 3)
    assert second.extra == {"page": None, "extra.outcome": "'=theirs"}


def test_a_report_without_lines_is_a_table_without_rows():
    """
    With its columns.
    """
    table = table_of()
    assert (table.num_rows, table.column_names) == (0, list(REPORT_COLUMNS))


@pytest.mark.parametrize(
    "edit",
    [
        {"calls": 1, "line": "x", "bytes": 1.5},
        {"first_call_at": "soon", "finished_at": 5, "submitted_at": "2026-11-25"},
        {"name": ["a"], "manifest": 7, "detail": {"a": 1}},
        {"messages": "one", "warnings": [1, None]},
        {"line": 2**70},
        {"extra": None},
    ],
)
def test_a_line_that_was_edited_by_hand_costs_its_value_only(edit):
    """
    What cannot be in its column is null, or text in a column of text.
    """
    line = json.dumps({**json.loads(line_of("a")), **edit}).encode()
    table = table_of(line, line_of("b", line=4))
    assert table["task_id"].to_pylist() == ["a", "b"]
    assert table["line"].to_pylist()[1] == 4


def test_many_lines_are_several_row_groups():
    """
    So that memory does not grow with the lines; the order is theirs.
    """
    lines = [line_of(f"t{n}", sha256="ab" * 32, detail="x" * 300) for n in range(60_000)]
    pieces = list(parquet_pieces(lambda: lines, []))
    file = pq.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert 1 < file.metadata.num_row_groups < 10
    assert file.read(["task_id"])["task_id"].to_pylist() == [f"t{n}" for n in range(60_000)]
    assert len(pieces) > file.metadata.num_row_groups


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=3), VALUES), max_size=4))
def test_any_extra_columns_make_a_table(extras):
    """
    Whatever names and values manifests have; what is not null stays something.
    """
    columns = list(dict.fromkeys(name for extra in extras for name in extra))
    lines = [
        json.dumps({"task_id": "a", "outcome": "Error", "calls": 1, "extra": extra}).encode()
        for extra in extras
    ]
    table = table_of(*lines, columns=columns)
    assert len({name.casefold() for name in table.column_names}) == table.num_columns
    for index, column in enumerate(columns, len(REPORT_COLUMNS)):
        found = [value is None for value in table.column(index).to_pylist()]
        assert found == [extra.get(column) is None for extra in extras]
