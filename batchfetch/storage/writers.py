"""
Who writes: the event loop what is quick, a few threads the rest.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from itertools import count
from time import perf_counter
from typing import TypeVar

from aiofiles.threadpool.binary import AsyncFileIO
from anyio import CancelScope

T = TypeVar("T")

# Seconds a whole small file may take the event loop, on average.
_QUICK = 250e-6

# How much the last write weighs in the average, and the most seconds it counts for.
_WEIGHT = 1 / 16
_SLOWEST = 16 * _QUICK

# When small files go to threads, one in so many is written here, to see whether it is quick now.
_PROBE = 16

_THREADS = 8


class Writers:
    """
    Does blocking work without keeping the event loop waiting for long.
    """

    def __init__(self, *, durable: bool, clock: Callable[[], float] = perf_counter) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="batchfetch-writer")
        # What waits for the disk is never quick; memory and page cache are until shown otherwise.
        self._durable = durable
        self._clock = clock
        self._average = 0.0
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
        if self._durable or (self._average > _QUICK and next(self._turns) % _PROBE):
            return await self.run(work)
        started = self._clock()
        try:
            return work()
        finally:
            # At most so much: the loop may just have lost the processor to somebody else.
            took = min(self._clock() - started, _SLOWEST)
            self._average += _WEIGHT * (took - self._average)
