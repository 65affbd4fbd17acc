"""
The stand-in's queue, with the time handed in.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchfetch.models import TaskStatus
from batchfetch.sandbox.queue import TaskQueue
from batchfetch.sandbox.scenario import WELL_KNOWN, Script, script_for

PENDING, PROCESSING, COMPLETED = (
    TaskStatus.PENDING,
    TaskStatus.PROCESSING,
    TaskStatus.COMPLETED,
)


def queue(workers=1, processing_time=10.0, expire_after=1000.0):
    return TaskQueue(workers=workers, processing_time=processing_time, expire_after=expire_after)


def statuses(tasks, line, now):
    return [line.status(task, now) for task in tasks]


def test_a_task_is_worked_on_and_then_completed():
    """
    A free worker takes a task at once and is done after the processing time.
    """
    line = queue()
    task = line.submit("a", Script(), 5)
    assert [line.status(task, now) for now in (5, 14.9, 15)] == [PROCESSING, PROCESSING, COMPLETED]


def test_tasks_are_worked_on_in_the_order_of_submission():
    """
    With two workers, tasks complete two by two, first in first out.
    """
    line = queue(workers=2)
    tasks = [line.submit(name, Script(), 0) for name in "abcd"]
    assert statuses(tasks, line, 9) == [PROCESSING, PROCESSING, PENDING, PENDING]
    assert statuses(tasks, line, 10) == [COMPLETED, COMPLETED, PROCESSING, PROCESSING]
    assert statuses(tasks, line, 20) == [COMPLETED] * 4


def test_what_is_asked_late_has_happened_all_the_same():
    """
    Time passes for a queue nobody looks at.
    """
    line = queue()
    tasks = [line.submit(name, Script(), 0) for name in "abc"]
    assert statuses(tasks, line, 29) == [COMPLETED, COMPLETED, PROCESSING]


def test_a_worker_idle_in_between_starts_a_new_task_at_its_submission():
    """
    A worker does not work ahead of time.
    """
    line = queue()
    line.submit("a", Script(), 0)
    late = line.submit("b", Script(), 100)
    assert line.status(late, 109) is PROCESSING
    assert line.status(late, 110) is COMPLETED


def test_a_task_can_come_to_light_late():
    """
    What was submitted in the past has been worked on since, behind what is known already.
    """
    line = queue()
    line.submit("a", Script(), 0)
    late = line.submit("b", Script(), 0)
    assert line.status(late, 19) is PROCESSING
    assert line.status(line.submit("c", Script(), 0), 30) is COMPLETED


def test_a_script_has_its_own_times():
    """
    A held task is Pending, then Processing for as long as its script says, whatever the queue.
    """
    line = queue()
    line.submit("a", Script(), 0)
    held = line.submit("b", Script(held=3, takes=1), 0)
    assert [line.status(held, now) for now in (0, 2.9, 3, 4)] == [
        PENDING,
        PENDING,
        PROCESSING,
        COMPLETED,
    ]


def test_a_failed_task_ends_in_error():
    """
    A script that fails ends in Error when its work is done.
    """
    line = queue()
    task = line.submit("a", Script(failed=True), 0)
    assert [line.status(task, now) for now in (9, 10)] == [PROCESSING, TaskStatus.ERROR]


def test_no_processing_time_completes_at_once():
    """
    With a processing time of zero the first question finds the task completed.
    """
    line = queue(processing_time=0)
    tasks = [line.submit(str(number), Script(), 0) for number in range(5)]
    assert statuses(tasks, line, 0) == [COMPLETED] * 5


def test_results_expire_counted_from_submission():
    """
    A result is gone when its time since submission is over, however late it was completed.
    """
    line = queue(expire_after=12)
    task = line.submit("a", Script(), 0)
    assert [line.status(task, now) for now in (11, 12)] == [COMPLETED, TaskStatus.NOT_EXIST]


def test_an_expired_task_stays_gone():
    """
    Asking again does not submit an expired task anew.
    """
    line = queue(expire_after=12)
    task = line.submit("a", Script(), 0)
    assert line.submit("A", Script(), 20) is task
    assert line.status(task, 20) is TaskStatus.NOT_EXIST


def test_a_cancelled_task_makes_room():
    """
    What is cancelled while it waits does not exist any more and takes no worker's time.
    """
    line = queue()
    first, second, third = (line.submit(name, Script(), 0) for name in "abc")
    line.cancel(second, 1)
    assert statuses([first, second, third], line, 10) == [
        COMPLETED,
        TaskStatus.NOT_EXIST,
        PROCESSING,
    ]


def test_a_started_task_cannot_be_cancelled():
    """
    A worker finishes what it has begun.
    """
    line = queue()
    task = line.submit("a", Script(), 0)
    line.cancel(task, 1)
    assert line.status(task, 10) is COMPLETED


def test_ids_have_no_case():
    """
    A task is found by its id in any case.
    """
    line = queue()
    task = line.submit("Ab-C", Script(), 0)
    assert line.find("aB-c") is task


@settings(max_examples=50, deadline=None)
@given(
    workers=st.integers(1, 4),
    gaps=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    step=st.integers(1, 7),
)
def test_how_often_one_looks_changes_nothing(workers, gaps, step):
    """
    A queue that is asked all the time and one that is asked once tell the same.
    """
    watched, left_alone = queue(workers=workers), queue(workers=workers)
    now = 0
    pairs = []
    for number, gap in enumerate(gaps):
        for moment in range(now, now + gap, step):
            for pair in pairs:
                watched.status(pair[0], moment)
        now += gap
        pairs.append([line.submit(str(number), Script(), now) for line in (watched, left_alone)])
    for one, other in pairs:
        assert watched.status(one, now + 15) is left_alone.status(other, now + 15)


@pytest.mark.parametrize("task_id", WELL_KNOWN)
def test_well_known_ids_have_no_case(task_id):
    """
    A well-known id means the same in capitals.
    """
    assert script_for(task_id.upper()) == WELL_KNOWN[task_id]
