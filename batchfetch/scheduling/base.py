"""
The interface to what holds questions back: how fast, how many at once, how many in all.
"""

from collections.abc import Callable
from typing import Protocol


class Pace(Protocol):
    """
    Says when a question may start, and is the only place that counts a call.

    Nothing here waits: whoever asks says what time it is (seconds on a monotonic clock) and is told
    when to come back.
    """

    @property
    def slots(self) -> int:
        """
        The most questions in flight, ever.
        """
        ...

    @property
    def limit(self) -> int:
        """
        The most questions in flight at present.
        """
        ...

    @property
    def in_flight(self) -> int:
        """
        Questions that have started and not finished.
        """
        ...

    @property
    def calls(self) -> int:
        """
        Calls made so far.
        """
        ...

    @property
    def calls_left(self) -> int | None:
        """
        Calls that may still be made; None if there is no limit.
        """
        ...

    @property
    def cooling_until(self) -> float:
        """
        The time before which the service has asked everyone to wait.
        """
        ...

    def listen(self, changed: Callable[[], None]) -> None:
        """
        Call *changed* when a question may start sooner than `held_until` has said.
        """
        ...

    def held_until(self, now: float) -> float | None:
        """
        Return the time before which no question may start, endless if that depends on something
        else; None if one may start *now*.
        """
        ...

    def start(self, now: float) -> None:
        """
        Note that a question starts, and count its call.
        """
        ...

    def give_back(self) -> None:
        """
        Note that a question which started was never sent: no call after all.
        """
        ...

    def finish(self) -> None:
        """
        Note that a question ended, however it did.
        """
        ...

    def answered(self) -> None:
        """
        Note that the service answers as it should.
        """
        ...

    def overloaded(self, asked_at: float, now: float) -> None:
        """
        Note that a question asked at *asked_at* met too many others.
        """
        ...

    def cool_down(self, now: float, retry_after: float | None) -> None:
        """
        Note that the service wants everyone to wait, *retry_after* seconds if it said so.
        """
        ...
