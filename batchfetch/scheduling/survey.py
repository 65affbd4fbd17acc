"""
Survey of the tasks behind the end of a sweep: polls some of them far apart.
"""

import math

from batchfetch.scheduling.overtaken import OvertakenOdds

_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio conjugate, modulo 1, are spread evenly for any number of them."""


class Survey:
    """
    Decides when tasks far behind the end of a sweep are polled, which ones, and how many.

    A ready task behind an unfinished one tells that the order says little.  Whether waiting helps
    nevertheless is what `odds` estimates: the cost of an unfinished task, in calls that waiting
    would have saved.  A survey begins with the credit 3 · odds · (1 - odds), a ready task adds
    0.05 · (1 - odds), an unfinished one subtracts the odds, and the survey ends when the credit
    is below 0.  At high odds that is after one unfinished task, at low odds when nothing is left.

    The time until the next survey doubles with each one, and is halved by each ready task if the
    odds are low.
    """

    _SHORTEST_WAIT = 0.5
    _LONGEST_WAIT = 60.0
    _FIRST_CREDIT = 3.0
    _FOUND = 0.05
    """The same as the least tolerance of a sweep, at any price: a survey is an exploration."""
    _MOST_CREDIT = 4.0
    _RECENT = 5.0
    """Seconds after the end of a sweep.  Later a task may have become ready since, which tells
    nothing about the unfinished ones before it."""
    _FEWEST = 32
    """Tasks in a queue of which none is polled until a survey has found a ready one: in so small a
    batch a few calls are many."""
    _NEAR = 64
    """Tasks behind the end of the sweep that are left to the next one, fewer in a short queue."""

    def __init__(self) -> None:
        self.odds = OvertakenOdds()
        self.is_open = False
        self._in_flight: set[int] = set()
        self._opens_at = 0.0
        self._wait = self._SHORTEST_WAIT
        self._credit = 0.0
        self._phase = 0.0
        self._found = 0

    @property
    def in_flight(self) -> int:
        """
        Requests that have started and not been answered.
        """
        return len(self._in_flight)

    def applies(self, length: int) -> bool:
        """
        Whether a queue of *length* is worth the calls of a survey.
        """
        return length >= self._FEWEST or self._found > 0

    def opens(self, now: float, ended: float, length: int) -> bool:
        """
        Begin a survey if one is due, and return whether one began.

        The last sweep *ended* then, and *length* is the number of tasks that may be polled.
        """
        if self.is_open or now < self._opens_at or now > ended + self._RECENT:
            return False
        if not self.applies(length):
            return False
        self.is_open = True
        odds = self.odds.value
        self._credit = self._FIRST_CREDIT * odds * (1 - odds)
        return True

    def due(self, now: float, ended: float) -> float:
        """
        Return when the next survey may begin; infinity if not before the end of the next sweep.
        """
        return self._opens_at if now < self._opens_at <= ended + self._RECENT else math.inf

    def close(self) -> None:
        """
        End the survey.
        """
        self.is_open = False

    def admits(self) -> bool:
        """
        Whether one more task may be polled: the credit suffices if all in flight are unfinished.
        """
        if not self.is_open:
            return False
        flights = len(self._in_flight)
        return not flights or (flights + 1) * self.odds.value <= self._credit

    def index(self, length: int) -> int:
        """
        Return the place of the next task in a queue of *length*, from 0.

        All orders of magnitude of the distance are equally frequent.
        """
        self._phase = (self._phase + _GOLDEN) % 1
        near = min(self._NEAR, length // 16) or 1
        return min(int(near * (length / near) ** self._phase), length - 1)

    def asked(self, ordinal: int) -> None:
        """
        Record a request.
        """
        self._in_flight.add(ordinal)

    def answered(self, ordinal: int, now: float, *, ready: bool | None) -> bool:
        """
        Record an answer, and return whether it belongs to a request of a survey.

        *ready* is None if the answer does not tell whether the task is ready.
        """
        if ordinal not in self._in_flight:
            return False
        self._in_flight.remove(ordinal)
        if ready is not None:
            self.odds.sampled(now, ready=ready)
            self._pay(now, ready=ready)
        return True

    def _pay(self, now: float, *, ready: bool) -> None:
        odds = self.odds.value
        if ready:
            self._found += 1
            self._credit = min(self._credit + self._FOUND * (1 - odds), self._MOST_CREDIT)
            self._wait = max(self._wait * (1 + odds) / 2, self._SHORTEST_WAIT)
            return
        self._credit -= odds
        if self._credit < 0 and self.is_open:
            self.is_open = False
            self._opens_at = now + self._wait
            self._wait = min(2 * self._wait, self._LONGEST_WAIT)
