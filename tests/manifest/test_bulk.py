"""
Rows that come column by column: whatever is in them, they are what they are one by one.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.manifest import RowReader
from batchfetch.manifest.bulk import ordinary_jobs
from batchfetch.manifest.columns import ColumnNames, Columns
from batchfetch.models import Job

WORDS = st.sampled_from(
    [
        *("a", "A-1_b.c", "a.png", "g", "x.PNG", ".a", "-f", "a/b", "a/b/c.d", "../a", "a/../b"),
        *(
            "NULL",
            "nan",
            "",
            " ",
            "a b",
            '="a"',
            '"a"',
            "{a}",
            "Größe",
            "a\n",
            "a\udcff",
            "a" * 300,
        ),
        *("a" * 201, "f/" * 8 + "a", "f./a", "a\\b", None, 0, -5, 10**30, 1.5, float("nan"), True),
    ]
)
TIMES = st.sampled_from(
    [
        *("2026-11-25T12:00:00Z", "2026-11-25", "1795600000", "soon", "", "NaT", None, 1795600000),
        *(1795600000.5, 1795600000123, 5, float("nan"), float("inf"), True, [], "20261125"),
        datetime(2026, 11, 25, 12, tzinfo=UTC),
        datetime(2026, 11, 25, 12),  # noqa: DTZ001 - without a zone
        datetime(2026, 11, 25, 12, tzinfo=timezone(timedelta(hours=2))),
    ]
)
ENDPOINTS = st.sampled_from(["deskew", "/a/b", "nothing", "", " task", "NULL", None, 1, [], {}])


@given(
    st.lists(
        st.tuples(WORDS, WORDS, TIMES, ENDPOINTS, st.text() | st.none()), min_size=1, max_size=4
    ),
    st.sets(st.sampled_from(["name", "submitted_at", "endpoint", "page"])),
)
def test_rows_column_by_column_are_those_one_by_one(rows, present):
    """
    Jobs and bad rows are the same, with any of the columns there or not.
    """
    labels = ["task_id", "name", "submitted_at", "endpoint", "page"]
    chosen = [index for index, label in enumerate(labels) if label in {"task_id", *present}]
    columns = Columns([labels[index] for index in chosen])
    cells = [[row[index] for row in rows] for index in chosen]
    reader = RowReader("m")
    one_by_one = [
        columns.job(reader, line, values) for line, values in enumerate(zip(*cells, strict=True), 7)
    ]
    assert list(columns.jobs(reader, 7, cells)) == one_by_one


def test_one_column_may_be_both():
    """
    Ids that are names, too.
    """
    columns = Columns(["id", "x"], ColumnNames("id", "id"))
    assert [job.name for job in columns.jobs(RowReader("m"), 1, [["a"], [1]])] == ["a"]


@pytest.mark.parametrize(
    "columns",
    [
        (["a", 5], ["n/1", None], [datetime(2026, 1, 1, tzinfo=UTC), None], ["deskew", None]),
        (["a", "b"],),
        (["a", "b"], ["x.png", "y.PNG"], ["2026-11-25", 1795600000], None, [{"x": 1}, {"x": 2}]),
    ],
)
def test_ordinary_rows_are_not_looked_at_one_by_one(columns):
    """
    What nearly all manifests have is made into jobs in bulk.
    """
    jobs = list(ordinary_jobs("m", 3, *columns))
    assert [type(job) for job in jobs] == [Job, Job]
    assert [job.line for job in jobs] == [3, 4]
    reader = RowReader("m")
    filled = [column or [None, None] for column in (*columns, None, None, None)[:4]]
    extras = columns[4] if len(columns) > 4 else [{}, {}]
    one_by_one = [reader.job(*row) for row in zip((3, 4), *filled, extras, strict=True)]
    assert jobs == one_by_one
