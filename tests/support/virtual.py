"""
Event loop with virtual time, which advances while all tasks wait: hours take milliseconds.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import anyio.to_thread


class _VirtualSelector(selectors.DefaultSelector):
    """
    Selector that advances the clock instead of waiting, unless a worker thread is busy.
    """

    # The value that asyncio uses for a time-out that never ends.
    _NEVER = 24 * 3600

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._is_busy = is_busy
        self.now = 1000.0
        # Real seconds to wait for a worker thread before the clock is advanced: no limit for a
        # busy machine, only for a thread that hangs.
        self.thread_wait = 30.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout >= self._NEVER:
            return super().select()
        ready = super().select(self.thread_wait if timeout > 0 and self._is_busy() else 0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    Event loop on virtual time, which `anyio.current_time` returns.
    """

    def __init__(self) -> None:
        self._clock = _VirtualSelector(self._is_busy)
        self._limiters: list[anyio.CapacityLimiter] = []
        self._busy_threads = 0
        super().__init__(self._clock)

    def time(self) -> float:
        """
        Return the virtual time in seconds.
        """
        return self._clock.now

    def run_in_executor(  # type: ignore[override]  # the result is only awaited
        self, executor: Any, work: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """
        Run *work* in a thread, during which the clock is not advanced.
        """
        done = super().run_in_executor(executor, work, *args)
        self._busy_threads += 1
        done.add_done_callback(self._work_done)
        return done

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - asyncio's signature
    ) -> None:
        """
        Wait for the default executor's threads, without a limit.

        `asyncio.Runner` passes a *timeout* from Python 3.12 on; on virtual time it would expire
        at once, because the loop does not know of the thread that waits for the others.
        """
        await super().shutdown_default_executor()

    def leap(self, seconds: float) -> None:
        """
        Advance the clock by *seconds*, as if the process had been suspended.
        """
        self._clock.now += seconds

    def mind_threads(self, *limiters: anyio.CapacityLimiter) -> None:
        """
        Also wait for anyio's default worker threads and those of *limiters*.

        Must be called inside the loop.
        """
        self._limiters = [anyio.to_thread.current_default_thread_limiter(), *limiters]

    def expect_stuck_thread(self) -> None:
        """
        Wait for threads only briefly from now on, because one of them will not return.
        """
        self._clock.thread_wait = 1.0

    def _work_done(self, _: asyncio.Future[Any]) -> None:
        self._busy_threads -= 1

    def _is_busy(self) -> bool:
        return self._busy_threads > 0 or any(limiter.borrowed_tokens for limiter in self._limiters)
