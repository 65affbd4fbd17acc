"""
Who writes: the event loop what is quick, a few threads the rest.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from threading import Barrier
from time import perf_counter, thread_time
from typing import TypeVar

from aiofiles.threadpool.binary import AsyncFileIO
from anyio import CancelScope

from batchfetch.errors import StorageError

T = TypeVar("T")

# Seconds the event loop may wait for the disk with a little work, and the share of it that may take
# longer: on a busy machine some loses the processor half way, which no thread would change.
_QUICK = 200e-6
_TOLERATED = 1 / 4

# How much the last that was timed weighs in the share of what is slow.
_WEIGHT = 1 / 16

# One in so many is timed, unless the last was slow: to time a small write costs a tenth of it.
_TIMED = 4

# Times that threads have it before the event loop tries again.
_BACKOFF_CALLS = 512

# Threads for what waits for the disk, and for what keeps a processor busy: one is the event loop's.
_WAITING = 8
_WORKING = max(1, (os.cpu_count() or 1) - 1)


def _waited() -> float:
    """
    Return seconds, from any origin, that this thread has spent without a processor.

    Time on the processor says nothing of the disk, and a thread would not save it.
    """
    return perf_counter() - thread_time()


def _started_threads(wanted: int) -> ThreadPoolExecutor:
    """
    Return threads that run already, *wanted* or as many as this machine gives.

    An executor that fails to start a thread later has accepted the work all the same, and nobody
    could say whether it is done.
    """
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

    def __init__(self, *, clock: Callable[[], float] = _waited) -> None:
        self._cpu_pool = _started_threads(_WORKING)
        try:
            self._threads = _started_threads(_WAITING)
        except StorageError:
            self._cpu_pool.shutdown()
            raise
        self._clock = clock
        # The share of slow ones, not their mean: a few wait long for a processor.
        self._slow = 0.0
        self._backoff_calls = 0
        self._untimed = 0

    def close(self) -> None:
        """
        Wait for the threads to end.
        """
        self._threads.shutdown()
        self._cpu_pool.shutdown()

    async def run(self, work: Callable[[], T]) -> T:
        """
        Do *work*, which waits for the disk, in a thread, to its end: a caller that is cancelled
        waits for it.
        """
        done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        with CancelScope(shield=True):
            await done
        return done.result()

    def file(self, blocking: FileIO) -> AsyncFileIO:
        """
        Return *blocking*, a large file, as an asynchronous one.

        To write and hash keeps a processor busy, and more threads than there are processors would
        only take turns.
        """
        return AsyncFileIO(blocking, asyncio.get_running_loop(), self._cpu_pool)

    async def inline(self, work: Callable[[], T]) -> T:
        """
        Do a little *work* with files right here while that is quick, else in a thread, to its end.

        Only work done right here is timed, and only while none of it is in threads: beside them it
        waits for the interpreter's lock and seems slow for ever.  So threads have it for a spell,
        then the event loop tries again.
        """
        if self._backoff_calls:
            self._backoff_calls -= 1
            return await self.run(work)
        if self._untimed:
            self._untimed -= 1
            return work()
        started = self._clock()
        try:
            return work()
        finally:
            is_slow = self._clock() - started > _QUICK
            self._untimed = 0 if is_slow else _TIMED - 1
            self._slow += _WEIGHT * (is_slow - self._slow)
            if self._slow > _TOLERATED:
                self._slow, self._backoff_calls = 0.0, _BACKOFF_CALLS
