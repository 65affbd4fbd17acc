"""
Queue of the stand-in, with the time as an argument.
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


def make_queue(workers=1, processing_time=10.0, expire_after=1000.0):
    return TaskQueue(workers=workers, processing_time=processing_time, expire_after=expire_after)


def statuses(tasks, queue, now):
    return [queue.status(task, now) for task in tasks]


def test_a_task_is_processed_and_then_completed():
    """
    A free worker starts a task at once and completes it after the processing time.
    """
    queue = make_queue()
    task = queue.submit("a", Script(), 5)
    assert [queue.status(task, now) for now in (5, 14.9, 15)] == [PROCESSING, PROCESSING, COMPLETED]


def test_tasks_are_processed_in_the_order_of_submission():
    """
    With two workers, tasks complete two by two, first in first out.
    """
    queue = make_queue(workers=2)
    tasks = [queue.submit(name, Script(), 0) for name in "abcd"]
    assert statuses(tasks, queue, 9) == [PROCESSING, PROCESSING, PENDING, PENDING]
    assert statuses(tasks, queue, 10) == [COMPLETED, COMPLETED, PROCESSING, PROCESSING]
    assert statuses(tasks, queue, 20) == [COMPLETED] * 4


def test_the_queue_advances_between_calls():
    """
    A status is correct even if the queue was not called for several processing times.
    """
    queue = make_queue()
    tasks = [queue.submit(name, Script(), 0) for name in "abc"]
    assert statuses(tasks, queue, 29) == [COMPLETED, COMPLETED, PROCESSING]


def test_a_worker_idle_in_between_starts_a_new_task_at_its_submission():
    """
    An idle worker starts a task at its submission, not earlier.
    """
    queue = make_queue()
    queue.submit("a", Script(), 0)
    late = queue.submit("b", Script(), 100)
    assert queue.status(late, 109) is PROCESSING
    assert queue.status(late, 110) is COMPLETED


def test_a_task_can_be_submitted_in_the_past():
    """
    A task submitted in the past has been processed since, after those known already.
    """
    queue = make_queue()
    queue.submit("a", Script(), 0)
    late = queue.submit("b", Script(), 0)
    assert queue.status(late, 19) is PROCESSING
    assert queue.status(queue.submit("c", Script(), 0), 30) is COMPLETED


def test_a_script_has_its_own_times():
    """
    A held task is Pending and Processing for the times of its script, independent of the queue.
    """
    queue = make_queue()
    queue.submit("a", Script(), 0)
    held = queue.submit("b", Script(held=3, takes=1), 0)
    assert [queue.status(held, now) for now in (0, 2.9, 3, 4)] == [
        PENDING,
        PENDING,
        PROCESSING,
        COMPLETED,
    ]


def test_a_failed_task_ends_in_error():
    """
    A task whose script fails ends in Error after its processing time.
    """
    queue = make_queue()
    task = queue.submit("a", Script(failed=True), 0)
    assert [queue.status(task, now) for now in (9, 10)] == [PROCESSING, TaskStatus.ERROR]


def test_no_processing_time_completes_at_once():
    """
    With a processing time of zero a task is completed at its first request.
    """
    queue = make_queue(processing_time=0)
    tasks = [queue.submit(str(number), Script(), 0) for number in range(5)]
    assert statuses(tasks, queue, 0) == [COMPLETED] * 5


def test_results_expire_counted_from_submission():
    """
    A result expires at a fixed time after its submission, not after its completion.
    """
    queue = make_queue(expire_after=12)
    task = queue.submit("a", Script(), 0)
    assert [queue.status(task, now) for now in (11, 12)] == [COMPLETED, TaskStatus.NOT_EXIST]


def test_an_expired_task_stays_gone():
    """
    An expired task cannot be submitted again.
    """
    queue = make_queue(expire_after=12)
    task = queue.submit("a", Script(), 0)
    assert queue.submit("A", Script(), 20) is task
    assert queue.status(task, 20) is TaskStatus.NOT_EXIST


def test_a_cancelled_task_is_not_processed():
    """
    A task that is cancelled while it waits no longer exists and occupies no worker.
    """
    queue = make_queue()
    first, second, third = (queue.submit(name, Script(), 0) for name in "abc")
    queue.cancel(second, 1)
    assert statuses([first, second, third], queue, 10) == [
        COMPLETED,
        TaskStatus.NOT_EXIST,
        PROCESSING,
    ]


def test_a_started_task_cannot_be_cancelled():
    """
    A task that a worker has started is completed.
    """
    queue = make_queue()
    task = queue.submit("a", Script(), 0)
    queue.cancel(task, 1)
    assert queue.status(task, 10) is COMPLETED


def test_the_case_of_ids_is_ignored():
    """
    A task is found by its id in any case.
    """
    queue = make_queue()
    task = queue.submit("Ab-C", Script(), 0)
    assert queue.find("aB-c") is task


@settings(max_examples=50, deadline=None)
@given(
    workers=st.integers(1, 4),
    gaps=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    step=st.integers(1, 7),
)
def test_the_number_of_calls_does_not_matter(workers, gaps, step):
    """
    A queue that is called often and one that is called once return the same statuses.
    """
    called_often, called_once = make_queue(workers=workers), make_queue(workers=workers)
    now = 0
    pairs = []
    for number, gap in enumerate(gaps):
        for moment in range(now, now + gap, step):
            for pair in pairs:
                called_often.status(pair[0], moment)
        now += gap
        pairs.append(
            [queue.submit(str(number), Script(), now) for queue in (called_often, called_once)]
        )
    for one, other in pairs:
        assert called_often.status(one, now + 15) is called_once.status(other, now + 15)


@pytest.mark.parametrize("task_id", WELL_KNOWN)
def test_the_case_of_well_known_ids_is_ignored(task_id):
    """
    A well-known id has the same script in capitals.
    """
    assert script_for(task_id.upper()) == WELL_KNOWN[task_id]
