"""
The times in which a run asks nothing: outages and pauses, on a clock set by the tests.
"""

from datetime import UTC, datetime, timedelta

import pytest

from batchfetch.report.interruptions import Cause, Interruptions

EPOCH = datetime(2026, 1, 31, 2, tzinfo=UTC)


def at(seconds):
    """
    Return the instant at which the run's clock shows *seconds*.
    """
    return EPOCH + timedelta(seconds=seconds)


@pytest.fixture
def found():
    """
    The interruptions of a run whose clock showed 0 at two o'clock.
    """
    return Interruptions(epoch=EPOCH.timestamp())


def times(found, now):
    """
    Return cause, beginning, end and length of each, in seconds of the run's clock.
    """
    return [
        (
            each.cause,
            (each.began_at - EPOCH).total_seconds(),
            (each.ended_at - EPOCH).total_seconds(),
            each.seconds,
        )
        for each in found.record(now)
    ]


def test_a_run_without_any(found):
    """
    Nothing is present, and nothing is recorded.
    """
    assert found.present(10) is None
    assert found.record(10) == []


def test_an_outage_that_ends(found):
    """
    It is present from its beginning until the service answers, and then what it was is recorded.
    """
    found.hold(100, 1000, "refused")
    present = found.present(160)
    assert (present.cause, present.reason, present.left) == (Cause.OUTAGE, "refused", 840)
    assert (present.began_at, present.until) == (at(100), at(1000))
    found.resume(220)
    assert found.present(221) is None
    assert times(found, 500) == [("outage", 100, 220, 120)]


def test_an_outage_that_ends_the_run(found):
    """
    It lasts until the run ends, which may be a little beyond its limit: the last probe took time.
    """
    found.hold(100, 1000, "refused")
    assert times(found, 400) == [("outage", 100, 400, 300)]
    assert found.present(1030).left == 0
    found.resume(1030)
    assert times(found, 1030) == [("outage", 100, 1030, 930)]


def test_pauses_that_overlap_are_one(found):
    """
    What is asked for during a pause makes it longer, or changes nothing.
    """
    found.pause(10, 20, "HTTP 429")
    found.pause(11, 15, "HTTP 503")
    assert (found.present(12).left, found.present(12).reason) == (8, "HTTP 429")
    found.pause(12, 30, "HTTP 429, slower")
    assert found.present(30) is None
    found.pause(40, 50, "HTTP 429")
    assert found.present(45).until == at(50)
    assert times(found, 100) == [("pause", 10, 30, 20), ("pause", 40, 50, 10)]
    assert found.record(100)[0].reason == "HTTP 429, slower"


def test_a_pause_is_cut_where_the_run_ends(found):
    """
    A run that was stopped did not wait for its end; to look at the record changes nothing.
    """
    found.pause(10, 70, "HTTP 429")
    assert times(found, 15) == [("pause", 10, 15, 5)]
    assert times(found, 15) == [("pause", 10, 15, 5)]
    assert times(found, 90) == [("pause", 10, 70, 60)]


def test_an_outage_during_a_pause_is_what_counts_now(found):
    """
    Both are recorded, in the order in which they began.
    """
    found.pause(10, 70, "HTTP 429")
    found.hold(20, 920, "refused")
    assert found.present(30).cause is Cause.OUTAGE
    found.resume(40)
    assert found.present(50).cause is Cause.PAUSE
    assert times(found, 80) == [("pause", 10, 70, 60), ("outage", 20, 40, 20)]


def test_a_night_of_pauses_is_recorded_in_a_hundred(found):
    """
    The nearest are put together: the whole time stays what it was, and what lies apart is apart.
    """
    for number in range(5000):
        start = number * 3 + (10_000 if number >= 2500 else 0)
        found.pause(start, start + 1, "HTTP 429")
    found.pause(40_000, 40_001, "HTTP 429")
    recorded = times(found, 50_000)
    assert len(recorded) == 100
    assert sum(seconds for *_, seconds in recorded) == pytest.approx(5001)
    assert recorded[-1] == ("pause", 40_000, 40_001, 1)
    ends = [(began, ended) for _, began, ended, _ in recorded]
    assert ends == sorted(ends)
    assert not any(began < 8000 < ended for began, ended in ends)
