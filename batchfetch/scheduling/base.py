"""
Interface of the pacing of requests: rate, concurrency, call budget and cooldown.
"""

from collections.abc import Callable
from typing import Protocol


class Pace(Protocol):
    """
    Decides when a request may start, and is the only place that counts calls.

    The methods never wait: the caller passes the current time, in seconds on a monotonic clock, and
    gets the time from which it may go on.
    """

    @property
    def slots(self) -> int:
        """
        The highest number of requests in flight that is ever allowed.
        """
        ...

    @property
    def limit(self) -> int:
        """
        The highest number of requests in flight that is allowed at present.
        """
        ...

    @property
    def in_flight(self) -> int:
        """
        Requests that have started and not finished.
        """
        ...

    @property
    def calls(self) -> int:
        """
        API calls made so far.
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
        The time until which the service has asked for no requests.
        """
        ...

    def listen(self, changed: Callable[[], None]) -> None:
        """
        Register *changed*, which is called when a request may start earlier than `held_until` said.
        """
        ...

    def held_until(self, now: float) -> float | None:
        """
        Return the time before which no request may start, or None if one may start *now*.

        The time is infinite if it depends on another event, such as the end of a request.
        """
        ...

    def start(self, now: float) -> None:
        """
        Record that a request starts, and count its call.
        """
        ...

    def give_back(self) -> None:
        """
        Record that a started request was never sent, and take back its call.
        """
        ...

    def finish(self) -> None:
        """
        Record that a request ended, successfully or not.
        """
        ...

    def answered(self) -> None:
        """
        Record that the service gave a regular answer.
        """
        ...

    def overloaded(self, asked_at: float, now: float) -> None:
        """
        Record that the service was overloaded when it received the request started at *asked_at*.
        """
        ...

    def cool_down(self, now: float, retry_after: float | None) -> None:
        """
        Record that the service asked for fewer requests; *retry_after* is its wait in seconds, if
        it gave one.
        """
        ...
