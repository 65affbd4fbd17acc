"""
Run file I/O inline while it is fast, otherwise in a thread pool.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import perf_counter, thread_time
from typing import Self, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from batchfetch.errors import StorageError
from batchfetch.tuning import BACKOFF_CALLS, IO_THREADS, QUICK, TOLERATED

T = TypeVar("T")

# How much the last that was timed weighs in the share of what is slow.
_WEIGHT = 1 / 16

# One in so many is timed, unless the last was slow: to time a small write costs a tenth of it.
_TIMED = 4


def _waited() -> float:
    """
    Return seconds, from any origin, that this thread has spent without a processor.

    Time on the processor says nothing of the disk, and a thread would not save it.
    """
    return perf_counter() - thread_time()


class FileExecutor:
    """
    Runs blocking work without keeping the event loop waiting for long.  A context manager.
    """

    def __init__(self, *, clock: Callable[[], float] = _waited) -> None:
        self.limiter = CapacityLimiter(IO_THREADS)
        """Bounds the threads that wait for the disk."""

        # To decode and hash keeps a processor busy, and more threads than there are processors
        # would only take turns.
        self.cpu_pool = _started_pool(max(1, (os.cpu_count() or 1) - 1))
        """What writes long files; started, so that nothing is accepted that will not be done."""

        self._clock = clock
        # The share of slow ones, not their mean: a few wait long for a processor.
        self._slow = 0.0
        self._backoff_calls = 0
        self._untimed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_pool.shutdown()

    async def run(self, work: Callable[[], T]) -> T:
        """
        Run *work*, which waits for the disk, in a thread, to its end: a caller that is cancelled
        waits for it.  Raises `StorageError` if no thread can be started.
        """
        begun = []
        done: list[T] = []

        def noted() -> None:
            begun.append(work)
            done.append(work())

        with CancelScope(shield=True):
            try:
                await to_thread.run_sync(noted, limiter=self.limiter)
            except RuntimeError as exc:
                if begun:
                    raise
                raise _no_thread() from exc
        return done[0]

    async def inline(self, work: Callable[[], T]) -> T:
        """
        Run a little *work* with files right here while that is quick, else in a thread, to its end.

        Only work done right here is timed, and only while none of it is in threads: beside them it
        waits for the interpreter's lock and would seem slow for ever.
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
            is_slow = self._clock() - started > QUICK
            self._untimed = 0 if is_slow else _TIMED - 1
            self._slow += _WEIGHT * (is_slow - self._slow)
            if self._slow > TOLERATED:
                self._slow, self._backoff_calls = 0.0, BACKOFF_CALLS


def _started_pool(threads: int) -> ThreadPoolExecutor:
    """
    Return a pool whose *threads* run already, or as many as this machine gives.

    A pool that fails to start a thread later has accepted the work all the same, and whether it is
    done is not known.
    """
    while True:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="batchfetch-writer")
        everyone = Barrier(threads)  # No thread takes two: each waits for all the others.
        try:
            for _ in range(threads):
                pool.submit(everyone.wait)
        except RuntimeError:
            everyone.abort()
            pool.shutdown()
            if threads == 1:
                raise _no_thread() from None
            threads //= 2
        else:
            return pool


def _no_thread() -> StorageError:
    return StorageError("no thread can be started; allow more (ulimit -u) and run again")
