"""
The hook that counts for Prometheus, and the text in which it is read.
"""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchfetch.hooks import Answered, Asked, Held, MetricsHook, Paused, Resumed, Settled
from batchfetch.hooks.metrics import BUCKETS, Metric, Sample, exposition
from batchfetch.models import Job, Outcome, OutcomeStatus

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Clock:
    """
    A clock that stands where it is put.
    """

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """
    The clock of the hook.
    """
    return Clock()


@pytest.fixture
def hook(clock):
    """
    A hook that was told nothing yet.
    """
    return MetricsHook(clock=clock, now=lambda: 1.7e9 + clock())


def values(hook):
    """
    Return each value that Prometheus would read, by its name and labels.
    """
    text = exposition(hook.metrics(), {"output": "/x"})
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "output"}
            assert sample.labels["output"] == "/x"
            found[sample.name.removeprefix("batchfetch_"), *labels.values()] = sample.value
    return found


def image(seconds, **changes):
    """
    The outcome of a task whose image came *seconds* after its first call.
    """
    usual = {
        "task_id": "t",
        "status": OutcomeStatus.COMPLETED,
        "bytes": 1000,
        "calls": 2,
        "first_call_at": START,
        "finished_at": START + timedelta(seconds=seconds),
    }
    return Settled(Outcome(**(usual | changes)))


def test_answers_are_counted_by_what_they_say(hook):
    """
    The service's word, or what was wrong.
    """
    job = Job(task_id="t", filename="t.png")
    for result in ("Pending", "Pending", "Completed", "http_503"):
        hook(Asked(job))
        hook(Answered(job, result, 0.1))
    found = values(hook)
    assert {key[1]: value for key, value in found.items() if key[0] == "answers_total"} == {
        "Pending": 2,
        "Completed": 1,
        "http_503": 1,
    }


def test_outcomes_are_counted_by_reason(hook):
    """
    Completed has an empty reason.
    """
    hook(image(1))
    for _ in range(3):
        hook(Settled(Outcome(task_id="u", status=OutcomeStatus.FAILED, reason="timeout")))
    found = values(hook)
    assert found["outcomes_total", "Completed", ""] == 1
    assert found["outcomes_total", "Failed", "timeout"] == 3
    assert found["image_bytes_total",] == 1000


def test_an_adopted_image_was_not_fetched(hook):
    """
    It is an outcome, and neither bytes nor time.
    """
    hook(image(0, calls=0, first_call_at=None))
    found = values(hook)
    assert found["outcomes_total", "Completed", ""] == 1
    assert found["image_bytes_total",] == found["image_seconds_count",] == 0
    assert ("last_image_timestamp_seconds",) not in found


def test_the_time_to_an_image_is_a_histogram(hook, clock):
    """
    Each bucket counts what is in those below it, too; the last counts all.
    """
    for seconds in (0.1, 0.2, 45, 7200):
        hook(image(seconds))
    found = values(hook)
    at = {key[1]: value for key, value in found.items() if key[0] == "image_seconds_bucket"}
    assert (at["0.1"], at["0.3"], at["30"], at["60"]) == (1, 2, 2, 3)
    assert (at["3600"], at["+Inf"]) == (3, 4)
    assert len(at) == len(BUCKETS) + 1
    assert [*at.values()] == sorted(at.values())
    assert found["image_seconds_count",] == 4
    assert found["image_seconds_sum",] == pytest.approx(7245.3)
    assert found["last_image_timestamp_seconds",] == 1.7e9 + clock.now


def test_pauses_that_overlap_count_once(hook, clock):
    """
    Only time that has passed counts, and none of it twice.
    """

    def paused():
        return values(hook)["paused_seconds_total", "pause"]

    hook(Paused(10, "429"))
    assert paused() == 0
    clock.now += 4
    assert paused() == pytest.approx(4)
    hook(Paused(3, "429"))  # Within the first.
    hook(Paused(10, "503"))  # Eight seconds beyond it.
    clock.now += 100
    assert paused() == pytest.approx(14)
    hook(Paused(1, "429"))
    clock.now += 1
    assert paused() == pytest.approx(15)


def test_an_outage_counts_while_it_lasts(hook, clock):
    """
    From its beginning on, whatever its limit is, and apart from pauses.
    """

    def held():
        found = values(hook)
        assert found["paused_seconds_total", "pause"] == 0
        return found["paused_seconds_total", "outage"]

    assert held() == 0
    hook(Held(900, "refused"))
    clock.now += 40
    assert held() == pytest.approx(40)
    hook(Resumed(40))
    clock.now += 100
    assert held() == pytest.approx(40)
    hook(Held(900, "refused"))
    clock.now += 2
    assert held() == pytest.approx(42)


def test_labels_are_escaped():
    """
    Whatever a folder is called, the text can be read.
    """
    folder = 'C:\\new "images"\n{x}'
    text = exposition([Metric("x", "gauge", "A value.", [Sample(1.5)])], {"output": folder})
    (family,) = text_string_to_metric_families(text)
    assert family.documentation == "A value."
    (sample,) = family.samples
    assert (sample.name, sample.value, sample.labels) == ("batchfetch_x", 1.5, {"output": folder})
