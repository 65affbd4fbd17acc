"""
Until when a run may write to a store: as long as the lock is surely its own.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio import CancelScope

# Goes on while the machine sleeps; the event loop's own clock does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class Tenure:
    """
    How long a run may rely on its lock; for ever, until `extend` is called for the first time.

    A run that was stopped or cut off for longer than its lock lives must not write before it has
    learnt whether the lock is still its own.
    """

    def __init__(self, clock: Callable[[], float] = _now) -> None:
        self._clock = clock
        self._until = math.inf
        self._extended = anyio.Event()
        self._writing: set[CancelScope] = set()

    def now(self) -> float:
        """
        Return the time, in seconds, that `extend` means.
        """
        return self._clock()

    @property
    def is_over(self) -> bool:
        """
        Whether the lock may be another's by now.
        """
        return self.left <= 0

    @property
    def left(self) -> float:
        """
        For how many seconds the lock is surely this run's.
        """
        return self._until - self.now()

    def extend(self, until: float) -> None:
        """
        Note that the lock is this run's up to *until*.
        """
        self._until = until
        self._extended.set()
        self._extended = anyio.Event()
        for scope in self._writing:
            scope.deadline = self._deadline()

    async def required(self) -> None:
        """
        Return as soon as the lock is surely this run's.
        """
        while self.is_over:
            await self._extended.wait()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[CancelScope]:
        """
        Wait for the lock, and leave the block as soon as it is not surely this run's any more.
        """
        await self.required()
        with CancelScope(deadline=self._deadline()) as scope:
            self._writing.add(scope)
            try:
                yield scope
            finally:
                self._writing.discard(scope)

    def _deadline(self) -> float:
        return anyio.current_time() + self.left
