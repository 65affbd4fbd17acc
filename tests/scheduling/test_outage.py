"""
When a run is held, when it is probed and when it goes on or ends, on a clock set by the tests.
"""

from itertools import pairwise
from math import inf

import pytest

from batchfetch.scheduling.outage import Outage
from batchfetch.scheduling.retry import RetryPolicy


def longest(low, high):
    """
    Return the ceiling: a jitter that is not random.
    """
    return high


def outage(**settings):
    """
    Return the outage of a run of 4 slots that holds for a minute, probing after 1, 2, 4, 8 s.
    """
    pauses = RetryPolicy(initial=1, maximum=8, spread=longest)
    return Outage(**{"limit": 60.0, "slots": 4, "pauses": pauses} | settings)


def fails(outage, times, *, connected=True, tasks=5, at=0.0):
    """
    Let so many requests fail at the time *at*; return whether each of them began a hold.
    """
    return [outage.failed(number % tasks, at, at, connected=connected) for number in range(times)]


def held(**settings):
    """
    Return an outage that is held since 0.
    """
    made = outage(**settings)
    assert fails(made, 3, connected=False) == [False, False, True]
    return made


def probes(outage, until):
    """
    Return the times at which probes start, if each fails at once.
    """
    times, now = [], 0.0
    while now <= until:
        due = outage.held_until(now)
        if due is None:
            times.append(now)
            outage.probe()
            outage.probed(now)
        elif outage.is_over(now):
            break
        else:
            now = due
    return times


@pytest.mark.parametrize(("slots", "needed"), [(1, 10), (10, 10), (11, 11), (32, 32)])
def test_failures_in_a_row_hold_the_run(slots, needed):
    """
    As many failures in a row as may be in flight, and at least ten, begin a hold; one less do not.
    """
    failing = outage(slots=slots)
    assert fails(failing, needed) == [False] * (needed - 1) + [True]
    assert failing.is_held


def test_three_connections_that_cannot_be_made_hold_the_run():
    """
    Without a connection nothing was asked, so three are enough, also among other failures.
    """
    failing = outage()
    assert fails(failing, 2, connected=False) == [False, False]
    assert fails(failing, 5) == [False] * 5
    assert fails(failing, 1, connected=False) == [True]


@pytest.mark.parametrize("tasks", [1, 2])
def test_failures_of_one_or_two_tasks_do_not_hold_the_run(tasks):
    """
    What only one or two tasks meet may be their own fault.
    """
    failing = outage()
    assert fails(failing, 100, tasks=tasks) == [False] * 100
    assert [failing.failed(task, 0, 0, connected=True) for task in "ab"][2 - tasks] is True


def test_answer_in_between_begins_a_new_row():
    """
    Only failures in a row count.
    """
    failing = outage()
    fails(failing, 9)
    assert failing.is_suspected
    assert failing.answered(1, 2) is False
    assert not failing.is_suspected
    assert fails(failing, 9, at=3) == [False] * 9
    fails(failing, 2, at=3, connected=False)
    assert failing.is_held


def test_answer_that_was_on_its_way_does_not_count():
    """
    An answer that was asked for before the first failure says nothing about the time after it.
    """
    failing = outage()
    fails(failing, 9, at=5)
    failing.answered(4.9, 6)
    assert failing.is_suspected
    assert fails(failing, 1, at=7) == [True]
    assert failing.answered(6.9, 8) is False
    assert failing.is_held
    assert failing.answered(7, 9) is True
    assert not failing.is_held


def test_no_token_holds_the_run_at_once():
    """
    Without a token nothing can be asked at all; the hold is begun once.
    """
    failing = outage()
    assert failing.blocked(0) is True
    assert failing.blocked(1) is False
    assert failing.held_until(0) == 1


def test_probes_have_growing_pauses_and_one_is_the_last():
    """
    One request at a time, after 1, 2, 4, 8, 8 s and so on, the last one when the hold is over.
    """
    failing = held()
    assert probes(failing, 1000) == [1, 3, 7, 15, 23, 31, 39, 47, 55, 60]
    assert failing.is_over(60)
    assert failing.held_for(60) == 60


@pytest.mark.parametrize(
    ("policy", "times"),
    [
        (RetryPolicy(initial=0.0), [0.1, 0.2, 0.25]),
        (RetryPolicy(initial=1000.0, maximum=1e6, spread=longest), [0.25]),
    ],
    ids=["no pause", "longer than the hold"],
)
def test_pauses_are_neither_nothing_nor_longer_than_the_hold(policy, times):
    """
    A policy without pauses does not make a hold of nothing but probes, nor one without any.
    """
    assert probes(held(pauses=policy, limit=0.25), 10) == pytest.approx(times)


def test_a_pause_is_half_a_minute_at_most():
    """
    A service that is back is asked soon, however long it was away.
    """
    failing = held(limit=1e4, pauses=RetryPolicy(maximum=3600.0, spread=longest))
    times = probes(failing, 1e4)
    assert times[:5] == [1, 3, 7, 15, 31]
    assert {later - earlier for earlier, later in pairwise(times[5:-1])} == {30}


def test_one_probe_at_a_time():
    """
    While a probe is in flight nothing else may start, and the hold is not over.
    """
    failing = held()
    assert failing.held_until(0.5) == 1
    assert failing.held_until(1) is None
    failing.probe()
    assert failing.held_until(1) == inf
    assert not failing.is_over(1000)
    failing.probed(1000)
    assert failing.is_over(1000)
    assert failing.held_until(1000) == inf


def test_answer_ends_the_hold():
    """
    After an answer to a probe everything goes on, and a later hold has all its time again.
    """
    failing = held()
    failing.probe()
    assert failing.answered(1, 2) is True
    assert failing.held_until(2) is None
    assert not failing.is_over(1e9)
    assert failing.answered_at == 2
    assert fails(failing, 3, connected=False, at=10) == [False, False, True]
    assert failing.ends_at == 70
    assert failing.held_until(10) == 11


def test_time_held_is_counted():
    """
    All holds together, the present one as far as it has come.
    """
    failing = held()
    assert failing.held(5) == 5
    failing.answered(5, 7)
    assert failing.held(100) == 7
    fails(failing, 3, connected=False, at=100)
    assert failing.held(102) == 9
    assert failing.held_for(102) == 2


@pytest.mark.parametrize(("first_limit", "ends_at"), [(20.0, 20), (inf, 60), (500.0, 60)])
def test_first_hold_may_be_shorter(first_limit, ends_at):
    """
    Before there was any answer the shorter of the two limits counts, after one the usual limit.
    """
    failing = held(first_limit=first_limit)
    assert failing.ends_at == ends_at
    failing.answered(10, 10)
    fails(failing, 3, connected=False, at=100)
    assert failing.ends_at == 160


def test_a_late_failure_does_not_begin_the_hold_anew():
    """
    Failures during a hold change nothing about it.
    """
    failing = held()
    assert fails(failing, 50, at=30) == [False] * 50
    assert failing.ends_at == 60


def known_to_fail(outage, task="known"):
    """
    Let *task* fail, and another one be answered after it; return when it was asked.
    """
    outage.failed(task, 0, 1, connected=True)
    outage.answered(2, 3)
    return 0.0


def test_task_that_fails_by_itself_is_no_evidence():
    """
    A task that failed before others were answered does not count when it fails again; a new
    failure, and a connection that cannot be made, do.
    """
    failing = outage()
    before = known_to_fail(failing)
    again = [failing.failed(n % 5, 9, 9, connected=True, before=before) for n in range(100)]
    assert not any(again)
    assert failing.is_suspected
    assert fails(failing, 10, at=9) == [False] * 9 + [True]
    other = outage()
    before = known_to_fail(other)
    lost = [other.failed(n, 9, 9, connected=False, before=before) for n in range(3)]
    assert lost == [False, False, True]


def test_failures_of_one_row_all_count():
    """
    Tasks that fail again and again without an answer between them are evidence each time.
    """
    failing = outage()
    assert [failing.failed(n % 3, n, n, connected=True, before=0) for n in range(10)][-1]


def test_every_other_probe_is_about_another_task():
    """
    The first probe asks about a task that has not failed, and every second one after it.
    """
    failing = outage()
    assert not failing.wants_another
    failing = held()
    asked = []
    for now in (1, 3, 7, 15):
        asked.append(failing.wants_another)
        failing.probe()
        failing.probed(now)
    assert asked == [True, False, True, False]


@pytest.mark.parametrize(
    ("answered", "failed_earlier", "is_short"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_hold_is_short_if_only_failing_tasks_are_left(answered, failed_earlier, is_short):
    """
    It lasts a minute, if others were answered in this run or all of them failed in an earlier one.
    """
    failing = outage(limit=900.0)
    if answered:
        failing.answered(-2, -1)
    fails(failing, 10)
    failing.leave_alone(failed_earlier=failed_earlier)
    assert failing.is_left_alone is is_short
    assert failing.ends_at == (60 if is_short else 900)


def test_hold_without_connections_stays_long():
    """
    A connection that cannot be made is no task's fault.
    """
    failing = outage(limit=900.0)
    failing.answered(-2, -1)
    fails(failing, 3, connected=False)
    failing.leave_alone(failed_earlier=True)
    assert failing.ends_at == 900


def test_short_hold_is_probed_like_any_other():
    """
    However often it is said that no other task is left, there is one probe after each pause; at
    the end the tasks are known to fail by themselves.
    """
    failing = outage(limit=900.0)
    failing.answered(-2, -1)
    fails(failing, 10)
    times, now = [], 0.0
    while (due := failing.held_until(now)) is None or not failing.is_over(now):
        failing.leave_alone(failed_earlier=False)
        if due is None:
            times.append(now)
            failing.probe()
            failing.probed(now)
        else:
            now = due
    assert times == [1, 3, 7, 15, 23, 31, 39, 47, 55, 60]
    failing.give_up(60)
    assert not failing.is_held
    assert failing.held(100) == 60
    assert not any(failing.failed(n % 5, 61, 61, connected=True, before=0) for n in range(50))
