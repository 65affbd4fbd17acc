"""
An event loop whose time passes only where everyone waits: hours of a run take milliseconds.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import anyio.to_thread


class _Leaping(selectors.DefaultSelector):
    """
    Moves the clock on instead of waiting, unless a thread is at work for the loop.
    """

    # Real seconds for such a thread before time moves on without it.
    _COURTESY = 0.5

    # What asyncio makes of a time-out without end.
    _NEVER = 24 * 3600

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._is_busy = is_busy
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout >= self._NEVER:
            return super().select()
        ready = super().select(self._COURTESY if timeout > 0 and self._is_busy() else 0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    Runs on its own time, which `anyio.current_time` tells.
    """

    def __init__(self) -> None:
        self._leaping = _Leaping(self._is_busy)
        self._limiters: list[anyio.CapacityLimiter] = []
        self._at_work = 0
        super().__init__(self._leaping)

    def time(self) -> float:
        """
        Return the virtual time in seconds.
        """
        return self._leaping.now

    def run_in_executor(  # type: ignore[override]  # what it returns is awaited, no more
        self, executor: Any, work: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """
        Do *work* in a thread, which the clock waits for.
        """
        done = super().run_in_executor(executor, work, *args)
        self._at_work += 1
        done.add_done_callback(self._came_back)
        return done

    def leap(self, seconds: float) -> None:
        """
        Move the clock on by *seconds*, as if the process had been stopped for so long.
        """
        self._leaping.now += seconds

    def mind_threads(self, *limiters: anyio.CapacityLimiter) -> None:
        """
        Let the clock wait for anyio's threads, too, and for those that *limiters* bound; to be
        called inside the loop.
        """
        self._limiters = [anyio.to_thread.current_default_thread_limiter(), *limiters]

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self._at_work -= 1

    def _is_busy(self) -> bool:
        return self._at_work > 0 or any(limiter.borrowed_tokens for limiter in self._limiters)
