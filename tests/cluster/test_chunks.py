"""
Chunks: cut in order, handed out on demand, and handed out again when a worker is lost.
"""

import pytest

from batchfetch.cluster.chunks import Chunks
from batchfetch.models import Job, JobState


def offered(count, size):
    """
    Return chunks of *size* with *count* jobs, and no more to come.
    """
    chunks = Chunks(size)
    for number in range(count):
        chunks.offer(JobState(Job(f"t{number}"), number))
    chunks.close()
    return chunks


def ids(chunk):
    """
    Return the tasks of *chunk* that are not decided.
    """
    return [] if chunk is None else [*chunk.jobs]


def test_they_are_cut_in_order():
    """
    The last is what is left.
    """
    chunks = offered(5, 2)
    found = [ids(chunks.take(worker, more=False)) for worker in range(4)]
    assert found == [["t0", "t1"], ["t2", "t3"], ["t4"], []]
    assert chunks.is_exhausted
    assert not chunks.is_over


def test_it_is_over_when_all_is_decided():
    """
    A job is decided once.
    """
    chunks = offered(2, 2)
    chunks.take(1, more=False)
    assert chunks.settle("t0").job.task_id == "t0"
    assert chunks.settle("t0") is None
    assert not chunks.is_over
    chunks.settle("t1")
    assert chunks.is_over
    assert chunks.settled == 2


def test_what_a_lost_worker_had_is_handed_out_again():
    """
    Without what it had decided.
    """
    chunks = offered(4, 2)
    chunks.take(1, more=False)
    chunks.take(1, more=True)
    chunks.settle("t1")
    first, second = chunks.lose(1, "left")
    assert not chunks.is_over
    chunks.again(first)
    chunks.again(second)
    assert ids(chunks.take(2, more=False)) == ["t0"]
    assert chunks.lose(1, "left") == []


def test_a_lost_chunk_is_alone():
    """
    What else its worker had would be blamed for the next death, too.
    """
    chunks = offered(6, 2)
    chunks.take(1, more=False)
    for chunk in chunks.lose(1, "left"):
        chunks.again(chunk)
    assert ids(chunks.take(2, more=True)) == ["t2", "t3"]
    assert ids(chunks.take(3, more=False)) == ["t0", "t1"]
    assert chunks.has_suspect(3)
    assert chunks.take(3, more=True) is None
    assert ids(chunks.take(2, more=True)) == ["t4", "t5"]


def test_a_worker_with_jobs_waits_for_more_only_if_they_may_come():
    """
    A lost chunk is for a worker that has ended with what it had.
    """
    chunks = Chunks(2)
    assert chunks.offers_more
    chunks.offer(JobState(Job("t0"), 0))
    chunks.close()
    assert chunks.offers_more
    chunks.take(1, more=False)
    assert not chunks.offers_more


def test_lines_that_come_after_the_loss_count():
    """
    The network may deliver the last words of a worker when its chunk waits for another.
    """
    chunks = offered(2, 2)
    chunks.take(1, more=False)
    (chunk,) = chunks.lose(1, "left")
    chunks.again(chunk)
    chunks.settle("t0")
    chunks.settle("t1")
    assert chunks.is_over
    assert chunks.take(2, more=False) is None


def test_losses_are_remembered():
    """
    Each worker that was lost with a chunk counts, whichever it was, and how it was.
    """
    chunks = offered(1, 1)
    for worker, how in enumerate(["left", "failed", "left"]):
        chunks.take(worker, more=False)
        (chunk,) = chunks.lose(worker, how)
        chunks.again(chunk)
    assert chunk.losses == ["left", "failed", "left"]


@pytest.mark.parametrize("count", [1, 7])
def test_rows_are_wanted_as_long_as_workers_may_need_them(count):
    """
    A chunk for each worker and two more are kept at hand.
    """
    chunks = Chunks(2)
    for number in range(count):
        chunks.offer(JobState(Job(f"t{number}"), number))
    assert chunks.wants_more == (count < 4)
