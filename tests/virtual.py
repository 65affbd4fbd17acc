"""
An event loop whose time passes only where everyone waits: hours of a run take milliseconds.
"""

import asyncio
import selectors


class _Leaping(selectors.DefaultSelector):
    """
    Waits for no time: where nothing is ready it moves the clock on instead.
    """

    # Real seconds for threads to come back before time moves on without them.
    _COURTESY = 0.01

    # What asyncio makes of a time-out without end.
    _NEVER = 24 * 3600

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout >= self._NEVER:
            return super().select()
        ready = super().select(0 if timeout <= 0 else self._COURTESY)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    Runs on its own time, which `anyio.current_time` tells.
    """

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """
        Return the virtual time in seconds.
        """
        return self._leaping.now
