"""
Order and times in which the scheduler returns jobs.
"""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from batchfetch.models import STORED_FOR, Answer, Job, JobState, TaskStatus
from batchfetch.scheduling import PollingPolicy
from batchfetch.scheduling.scheduler import Scheduler
from batchfetch.settings import Polling

PATIENCE = 1800.0
BUSY, DONE = Answer(TaskStatus.PROCESSING), Answer(TaskStatus.COMPLETED)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall-clock time at which the monotonic clock shows 0."""


def scheduler(polling=Polling.THRIFTY, **options):
    return Scheduler(PollingPolicy(polling, patience=PATIENCE), epoch=WALL.timestamp(), **options)


def state(ordinal=0, *, age=None, endpoint=None):
    """
    Return a job that was submitted *age* seconds before the run; None if that is not known.
    """
    submitted_at = None if age is None else WALL - timedelta(seconds=age)
    job = Job(str(ordinal), f"{ordinal}.png", submitted_at=submitted_at, endpoint=endpoint)
    return JobState(job, ordinal=ordinal)


def offered(states, **options):
    """
    Return a closed scheduler to which all *states* were added.
    """
    made = scheduler(**options)
    for each in states:
        made.offer(each)
    made.close()
    return made


def asked(scheduler, now=0.0):
    """
    Return all jobs that the scheduler returns at *now*.
    """
    found = []
    while isinstance(step := scheduler.next(now), JobState):
        step.calls += 1
        step.first_asked = now if step.first_asked is None else step.first_asked
        found.append(step)
    return found


def surveyed(scheduler, now, *, until):
    """
    Answer the requests of surveys with unfinished; return them and the time of the next sweep.
    """
    found = []
    while now < until:
        step = scheduler.next(now)
        if isinstance(step, JobState):
            step.calls += 1
            step.first_asked = now
            answer(scheduler, [step], BUSY, now)
            found.append(step)
        else:
            now = step
    return found, now


def answer(scheduler, states, received, now):
    """
    Record the answer *received* for each of *states*.
    """
    for each in states:
        each.answer = received
        if received is DONE:
            scheduler.settled(each, now)
        else:
            scheduler.unfinished(each, now)


def ordinals(states):
    return [each.ordinal for each in states]


def test_empty_manifest_is_finished():
    """
    A scheduler without jobs is finished as soon as it is closed.
    """
    empty = scheduler()
    assert not empty.finished
    assert empty.next(0.0) is None
    empty.close()
    assert empty.finished


def test_finished_when_the_last_is_settled():
    """
    A scheduler with a job in flight is not finished.
    """
    one = offered([state()])
    (only,) = asked(one)
    assert not one.finished
    assert one.next(0.0) is None
    answer(one, [only], DONE, 1.0)
    assert one.finished


def test_ready_tasks_are_polled_once():
    """
    If every answer is an image, every job is returned once, in the order of the manifest.
    """
    tasks = offered(state(i) for i in range(1000))
    order = []
    while not tasks.finished:
        batch = asked(tasks)
        order += ordinals(batch)
        answer(tasks, batch, DONE, 1.0)
    assert order == list(range(1000))


def test_lookahead_is_bounded():
    """
    No more jobs are wanted than the lookahead, and more once one has left the queue.
    """
    bounded = scheduler(lookahead=10)
    for i in range(10):
        assert bounded.wants_more
        bounded.offer(state(i))
    assert not bounded.wants_more
    answer(bounded, asked(bounded)[:1], DONE, 1.0)
    assert bounded.wants_more


def test_nothing_is_wanted_after_the_end():
    """
    A closed scheduler wants no more jobs.
    """
    assert not offered([state()]).wants_more


def test_oldest_first():
    """
    Tasks are polled in order of submission, those without a time after the others.
    """
    tasks = offered([state(0), state(1, age=10), state(2, age=30), state(3, age=20)])
    assert ordinals(asked(tasks)) == [2, 3, 1, 0]


def test_unready_head_holds_up_the_rest():
    """
    If the first tasks are not ready, few of the others are polled before the next sweep.
    """
    tasks = offered(state(i) for i in range(1000))
    first = asked(tasks)
    answer(tasks, first, BUSY, 0.1)
    others, now = surveyed(tasks, 0.1, until=3.0)
    assert len(first) < 10
    assert len(others) < 16
    assert asked(tasks, now)[0] is first[0]


def test_time_that_is_returned_is_in_the_future():
    """
    The scheduler never asks to be called again at once; the caller would do so without end.
    """
    tasks = offered(state(i) for i in range(40))
    answer(tasks, asked(tasks), BUSY, 0.1)
    now, steps = 0.1, 0
    while now < 60:
        step = tasks.next(now)
        if isinstance(step, JobState):
            step.calls += 1
            step.first_asked = now if step.first_asked is None else step.first_asked
            answer(tasks, [step], BUSY, now)
            continue
        assert step is not None
        assert step > now
        now = step
        steps += 1
    assert steps > 1


def test_ready_tasks_behind_a_stuck_run_are_found():
    """
    A survey finds that tasks behind a run of fifty stuck ones are ready, and polls all of them.
    """
    tasks = offered(state(i) for i in range(400))
    now, found, order = 0.0, set(), []
    while now < 10 and len(found) < 350:
        step = tasks.next(now)
        if isinstance(step, JobState):
            step.calls += 1
            step.first_asked = now if step.first_asked is None else step.first_asked
            order.append(step.ordinal)
            stuck = step.ordinal < 50
            found |= set() if stuck else {step.ordinal}
            answer(tasks, [step], BUSY if stuck else DONE, now + 0.01)
            now += 0.01
        else:
            assert step is not None
            now = step
    assert len(found) == 350
    assert all(order.count(i) <= 4 for i in range(50))


def test_surveyed_task_returns_to_its_place():
    """
    A task that a survey found unfinished, with no ready one behind it, is polled in its turn.
    """
    tasks = offered(state(i) for i in range(1000))
    answer(tasks, asked(tasks), BUSY, 0.1)
    (early, *_), now = surveyed(tasks, 0.1, until=3.0)
    order = []
    while isinstance(step := tasks.next(now), JobState):
        order.append(step.ordinal)
        answer(tasks, [step], DONE, now)
    assert tasks.finished
    assert order == sorted(order)
    assert early.ordinal in order


def test_overtaken_task_does_not_hold_up():
    """
    An unfinished task with ready ones after it is polled again at a time of its own.
    """
    tasks = offered(state(i) for i in range(1000))
    straggler, *others = asked(tasks)
    answer(tasks, [straggler], BUSY, 0.1)
    answer(tasks, others, DONE, 0.1)
    assert tasks.known_unfinished == 1
    assert ordinals(asked(tasks, 0.1))[:2] == [4, 5]


def test_task_that_holds_up_for_long_leaves_the_queue():
    """
    Tasks at the head of the manifest that never become ready do not block the others.
    """
    tasks = offered(state(i) for i in range(100))
    now, ready = 0.0, set()
    while len(ready) < 90:
        step = tasks.next(now)
        if isinstance(step, JobState):
            step.calls += 1
            step.first_asked = now if step.first_asked is None else step.first_asked
            answer(tasks, [step], BUSY if step.ordinal < 10 else DONE, now + 0.1)
            ready |= {step.ordinal} - set(range(10))
        now = step if isinstance(step, float) else now + 0.1
    assert now < 600


def test_endpoints_do_not_hold_up_each_other():
    """
    Each endpoint has a queue of its own, so a slow one does not delay a fast one.
    """
    tasks = offered(state(i, endpoint=("deskew", "upscale")[i % 2]) for i in range(100))
    fetched = 0
    for now in range(5):
        batch = asked(tasks, float(now))
        ready = [each for each in batch if each.job.endpoint == "upscale"]
        fetched += len(ready)
        answer(tasks, ready, DONE, now + 0.1)
        answer(tasks, [each for each in batch if each not in ready], BUSY, now + 0.1)
    assert fetched == 50


def test_unfinished_task_is_polled_again():
    """
    An unfinished task is polled again after a wait, and a last time when its patience ends.
    """
    tasks = offered([state()])
    (only,) = asked(tasks)
    now, times = 0.0, []
    while now < PATIENCE:
        answer(tasks, [only], BUSY, now)
        due = tasks.next(now)
        assert isinstance(due, float)
        assert asked(tasks, due) == [only]
        now = due
        times.append(now)
    assert times[0] >= 0.5
    assert times[-1] == pytest.approx(PATIENCE, abs=1)


def test_failed_request_is_repeated_at_the_given_time():
    """
    After a failed request a job is due at the given time, without the policy.
    """
    tasks = offered([state()])
    (only,) = asked(tasks)
    tasks.again(only, 7.25)
    assert tasks.known_unfinished == 1
    assert tasks.next(7.0) == 7.25
    assert tasks.next(7.25) is only


def test_back_off_is_not_recomputed():
    """
    Observations of other tasks do not change the time at which a failed request is repeated.
    """
    tasks = offered(state(i) for i in range(4))
    first, *others = asked(tasks)
    tasks.again(first, 500.0)
    answer(tasks, others, DONE, 1.0)
    assert tasks.next(1.0) == 500.0


def test_expiring_task_is_polled_outside_of_sweeps():
    """
    A task whose result is deleted in a minute is polled even if no sweep is open.
    """
    tasks = offered(state(i, age=100.0 - i) for i in range(100))
    first = asked(tasks)
    answer(tasks, first, BUSY, 0.1)
    others, _ = surveyed(tasks, 0.1, until=2.0)
    assert len(first) + len(others) < 20
    tasks = offered(state(i, age=STORED_FOR - 60) for i in range(100))
    assert len(asked(tasks)) == 100


def test_found_counts_as_ready_at_once():
    """
    A sweep continues at the first byte of an image, before the job is settled.
    """
    waiting, told = (offered(state(i) for i in range(100)) for _ in range(2))
    asked(waiting)
    for each in asked(told):
        told.found(each, 0.1)
    assert asked(waiting, 0.1) == []
    assert len(asked(told, 0.1)) > 4


def test_found_counts_once():
    """
    An image that has begun to arrive and is then complete is recorded once.
    """
    tasks = offered(state(i) for i in range(4))
    batch = asked(tasks)
    for each in batch:
        tasks.found(each, 0.1)
    answer(tasks, batch, DONE, 0.2)
    assert tasks.finished


def test_interrupted_image_is_requested_again():
    """
    A job whose image began to arrive and then failed is due again like any other.
    """
    tasks = offered([state()])
    (only,) = asked(tasks)
    tasks.found(only, 0.1)
    tasks.again(only, 3.0)
    assert tasks.next(3.0) is only


def test_last_calls_go_to_the_queue():
    """
    With fewer calls left than tasks, the open sweep comes before a straggler.
    """
    for budget_left, first in ((None, 0), (10, 4)):
        tasks = offered(state(i) for i in range(100))
        straggler, *others = asked(tasks)
        answer(tasks, [straggler], BUSY, 0.1)
        answer(tasks, others, DONE, 0.1)
        step = tasks.next(1000.0, budget_left)
        assert isinstance(step, JobState)
        assert step.ordinal == first


def test_failed_task_is_not_evidence():
    """
    A job that ends without an answer does not count as ready or unfinished in the sweep.
    """
    tasks = offered(state(i) for i in range(100))
    batch = asked(tasks)
    for each in batch:
        tasks.settled(each, 0.1)
    assert len(asked(tasks, 0.1)) == len(batch)


def test_counts():
    """
    Every job is waiting, known unfinished, in flight or settled.
    """
    tasks = offered(state(i) for i in range(10))
    assert (tasks.waiting, tasks.known_unfinished) == (10, 0)
    batch = asked(tasks)
    assert tasks.waiting == 10 - len(batch)
    answer(tasks, batch[:1], BUSY, 0.1)
    answer(tasks, batch[1:], DONE, 0.1)
    assert (tasks.waiting, tasks.known_unfinished) == (10 - len(batch), 1)


def test_last_hands_out_every_job_that_is_not_in_flight():
    """
    Jobs not polled yet, those found unfinished by sweeps and surveys, stragglers and faulted ones,
    each once; the first is from the end, and of another endpoint than the one to be avoided.
    """
    for endpoint in (None, "deskew"):
        jobs = [state(n, endpoint=endpoint if n < 5 else None) for n in range(60)]
        made = offered(jobs)
        now = 0.0
        for _ in range(40):
            now += 0.3
            for each in asked(made, now):
                each.take_answer(BUSY)
                made.unfinished(each, now)
        faulted = made.next(1e6)
        made.again(faulted, 1e9)
        left = made.waiting + made.known_unfinished
        assert left == len(jobs)
        handed_out = [made.last(but_of=None)]
        assert handed_out[0].job.endpoint == endpoint
        while (each := made.last(but_of=None)) is not None:
            handed_out.append(each)
        assert sorted(each.ordinal for each in handed_out) == list(range(60))
        assert made.is_idle


def test_job_set_aside_blocks_no_sweep():
    """
    A job that is kept undecided is in flight no longer: others are polled.
    """
    made = offered([state(n) for n in range(20)])
    aside = []
    while len(aside) < 20:
        some = asked(made)
        assert some, "a sweep waits for answers that will not come"
        for each in some:
            made.set_aside(each, 0.0)
        aside += some
    assert made.is_idle
    assert not made.finished
    for each in aside:
        made.settled(each, 1.0)
    assert made.finished


def polled_first(order):
    """
    Return the first tasks that are polled, all of them unfinished, if the manifest has this *order*
    and tells when each was submitted: the lower the number, the earlier.
    """
    made, polled, now = scheduler(), [], 0.0
    for ordinal, number in enumerate(order):
        submitted_at = WALL + timedelta(seconds=number)
        made.offer(JobState(Job(str(number), submitted_at=submitted_at), ordinal=ordinal))
    made.close()
    while now < 3:
        step = made.next(now)
        if not isinstance(step, JobState):
            assert step is not None
            now = step
            continue
        polled.append(int(step.job.task_id))
        step.ask(now)
        step.count_call()
        made.unfinished(step, now)
    return polled


def test_survey_goes_by_submission_whatever_the_manifest_s_order():
    """
    How far behind the end of a sweep a survey polls is counted in the order of submission.
    """
    in_order = polled_first(range(2000))
    assert max(in_order) > 10
    assert polled_first(Random(1).sample(range(2000), 2000)) == in_order
    assert polled_first(range(1999, -1, -1)) == in_order
