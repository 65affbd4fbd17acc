"""
Submission times: ISO 8601 or Unix time; one that cannot be read is a warning and no more.
"""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.manifest import Manifest
from batchfetch.manifest.rows import RowReader
from batchfetch.manifest.times import parse_time
from batchfetch.models import Job

MOMENT = datetime(2025, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("20261123", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23 08:30", datetime(2026, 11, 23, 8, 30, tzinfo=UTC)),
        ("2026-11-23T08:30:00Z", datetime(2026, 11, 23, 8, 30, tzinfo=UTC)),
        ("2026-11-23T08:30:00.5-01:00", datetime(2026, 11, 23, 9, 30, 0, 500_000, tzinfo=UTC)),
        ("1763884800", MOMENT),
        ("1763884800.25", MOMENT + timedelta(milliseconds=250)),
        ("1763884800000", MOMENT),
        ("1763884800000.0", MOMENT),
        ("1763884800000000", MOMENT),
        ("1763884800000000000", MOMENT),
        ("1.7638848e+12", MOMENT),
        ('="1763884800"', MOMENT),
        (1763884800, MOMENT),
        (1763884800.25, MOMENT + timedelta(milliseconds=250)),
        (1763884800250, MOMENT + timedelta(milliseconds=250)),
        (datetime(2025, 11, 23, 8), MOMENT),  # noqa: DTZ001 - a time without an offset is UTC
        ("", None),
        (None, None),
        ("NaT", None),
        (float("nan"), None),
    ],
)
def test_submission_times(value, expected, caplog):
    """
    Times are ISO 8601 or Unix time, as text or as numbers; one without an offset is UTC.
    """
    assert RowReader("m").job(1, "a", None, value).submitted_at == expected
    assert not caplog.records


@pytest.mark.parametrize(
    "value",
    [
        *("yesterday", "2026", "45987.5", "0", "-1", "9" * 30, "1e999", "0001-01-01T00:00+23:00"),
        *(45987, 7, -1763884800, 10**400, float("inf"), True, [1763884800], {"at": 1}),
        "2026\x9b\u202e",
    ],
)
def test_a_time_that_cannot_be_read_is_a_warning(value, caplog):
    """
    The task is asked all the same, and the warning shows the value without control characters.
    """
    row = RowReader("m").job(7, "a", None, value)
    assert row == Job("a", "a.png", manifest="m", line=7)
    (record,) = caplog.records
    assert record.getMessage().startswith("m:7: submitted_at ")
    assert "is not a valid date and is ignored; use the form" in record.getMessage()
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 250


@pytest.mark.parametrize("count", [1, 3, 4, 1000])
def test_warnings_about_a_manifest_are_few(count, tmp_path, caplog):
    """
    Three are shown, and the others are counted once the manifest has been read.
    """
    path = tmp_path / "m.csv"
    path.write_text("id,submitted_at\n" + "".join(f"t{n},soon\n" for n in range(count)))
    assert len(list(Manifest(path))) == count
    messages = [record.getMessage() for record in caplog.records]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * len(messages)
    assert len(messages) == min(count, 4)
    if count > 3:
        assert messages[-1] == f"{path}: submitted_at cannot be read in {count} rows in all"


@given(st.datetimes(datetime(2001, 9, 10), datetime(2099, 1, 1)), st.sampled_from([0, 3, 6, 9]))  # noqa: DTZ001
def test_every_unix_time_is_read(moment, digits):
    """
    A Unix time in any unit is the same time as in ISO 8601, and as JSON.
    """
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    number = int(moment.timestamp()) * 10**digits
    assert parse_time(str(number)) == parse_time(float(number)) == parse_time(moment.isoformat())
    assert RowReader(None).job(1, "a", None, json.loads(str(number))).submitted_at == moment


@given(st.text(max_size=30) | st.floats() | st.integers() | st.datetimes())
def test_any_value_is_a_time_or_refused(value):
    """
    Any value gives a time in UTC or a `ValueError`.
    """
    with suppress(ValueError):
        assert parse_time(value).tzinfo is UTC
