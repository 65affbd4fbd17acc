"""
Who writes: the event loop what is quick, a few threads the rest.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from itertools import count
from threading import Barrier
from time import perf_counter
from typing import TypeVar

from aiofiles.threadpool.binary import AsyncFileIO
from anyio import CancelScope

from batchfetch.errors import StorageError

T = TypeVar("T")

# Seconds a small file may take the event loop, and the share of files that may take longer.  In
# memory even a busy machine writes nine in ten that fast; on a disk one in three takes longer.
_QUICK = 200e-6
_TOLERATED = 1 / 4

# How much the last write weighs in the share of slow ones.
_WEIGHT = 1 / 16

# When small files go to threads, one in so many is written here, to see whether it is quick now.
_PROBE = 16

_THREADS = 8


def _started_threads() -> ThreadPoolExecutor:
    """
    Return threads that run already, as many of `_THREADS` as this machine gives.

    An executor that fails to start a thread later has accepted the work all the same, and nobody
    could say whether it is done.
    """
    wanted = _THREADS
    while True:
        threads = ThreadPoolExecutor(wanted, thread_name_prefix="batchfetch-writer")
        everyone = Barrier(wanted)  # No thread takes two: each waits for all the others.
        try:
            for _ in range(wanted):
                threads.submit(everyone.wait)
        except RuntimeError:
            everyone.abort()
            threads.shutdown()
            if wanted == 1:
                raise StorageError("no thread can be started; allow more (ulimit -u)") from None
            wanted //= 2
        else:
            return threads


class Writers:
    """
    Does blocking work without keeping the event loop waiting for long.
    """

    def __init__(self, *, durable: bool, clock: Callable[[], float] = perf_counter) -> None:
        self._threads = _started_threads()
        # What waits for the disk is never quick; memory and page cache are until shown otherwise.
        self._durable = durable
        self._clock = clock
        # The share of slow ones, not their mean: on a busy machine a few wait long for a processor,
        # and that is no fault of theirs.  Undecided at first.
        self._slow = _TOLERATED
        self._turns = count(1)

    def close(self) -> None:
        """
        Wait for the threads to end.
        """
        self._threads.shutdown()

    async def run(self, work: Callable[[], T]) -> T:
        """
        Do *work* in a thread, to its end: a caller that is cancelled waits for it.
        """
        done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        with CancelScope(shield=True):
            await done
        return done.result()

    def file(self, blocking: FileIO) -> AsyncFileIO:
        """
        Return *blocking* as an asynchronous file that these threads serve.
        """
        return AsyncFileIO(blocking, asyncio.get_running_loop(), self._threads)

    async def run_small(self, work: Callable[[], T]) -> T:
        """
        Do *work*, one whole small file, right here while that is quick, else in a thread.

        Only work done right here is timed: in a thread it also waits for the interpreter's lock,
        and would seem slow for ever.  So one work in `_PROBE` is done here, whatever the average.
        """
        if self._durable or (self._slow > _TOLERATED and next(self._turns) % _PROBE):
            return await self.run(work)
        started = self._clock()
        try:
            return work()
        finally:
            is_slow = self._clock() - started > _QUICK
            self._slow += _WEIGHT * (is_slow - self._slow)
