"""
Who writes: the event loop what is quick, a few threads the rest.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from time import perf_counter
from typing import TypeVar

from aiofiles.threadpool.binary import AsyncFileIO
from anyio import CancelScope

T = TypeVar("T")

# Seconds a whole small file may take the event loop, on average.
_QUICK = 250e-6

# How much the last write weighs in the average.
_WEIGHT = 1 / 16

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
        Do *work*, one whole small file, right here while that has been quick, else in a thread.
        """
        if self._durable or self._average > _QUICK:
            return await self.run(lambda: self._timed(work))
        return self._timed(work)

    def _timed(self, work: Callable[[], T]) -> T:
        started = self._clock()
        try:
            return work()
        finally:
            self._average += _WEIGHT * (self._clock() - started - self._average)
