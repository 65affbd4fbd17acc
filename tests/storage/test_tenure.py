"""
Until when a run may write: a clock that is told, and writes that wait.
"""

import anyio
import pytest

from batchfetch.storage.store.tenure import Tenure

pytestmark = pytest.mark.anyio


class Clock:
    """
    A clock that goes on when it is told to.
    """

    now = 1000.0

    def __call__(self):
        """
        Return the time.
        """
        return self.now


@pytest.fixture
def clock():
    """
    A clock at 1000 s.
    """
    return Clock()


async def test_without_a_lock_there_is_no_end(clock):
    """
    Before `extend` was called a run may write for ever.
    """
    tenure = Tenure(clock)
    clock.now = 1e9
    assert not tenure.is_over
    async with tenure.writing() as scope:
        assert scope.deadline == float("inf")


async def test_who_comes_late_waits_for_an_extension(clock):
    """
    After its end nothing is written until it is extended, and extended to the future.
    """
    tenure = Tenure(clock)
    tenure.extend(1010.0)
    clock.now = 1010.0
    assert tenure.is_over
    is_written = anyio.Event()

    async def write():
        async with tenure.writing():
            is_written.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        tenure.extend(1005.0)
        await anyio.wait_all_tasks_blocked()
        assert not is_written.is_set()
        tenure.extend(1020.0)
        await is_written.wait()


async def test_a_write_under_way_ends_with_it(clock):
    """
    A write that takes longer than the tenure is cancelled; one that is extended is not.
    """
    tenure = Tenure(clock)
    tenure.extend(1000.05)
    async with tenure.writing() as scope:
        await anyio.sleep(60)
    assert scope.cancelled_caught
    tenure.extend(1000.05)
    async with tenure.writing() as scope:
        tenure.extend(1060.0)
        await anyio.sleep(0.2)
    assert not scope.cancelled_caught
