"""
Tasks in the order in which they should become ready.
"""

from heapq import heappop, heappush
from math import inf

from batchfetch.models import Inquiry
from batchfetch.polling.front import Front
from batchfetch.polling.policy import PollingPolicy

_NOWHERE = (-inf, -1)

Place = tuple[float, int]
"""A task's place in its line: when it was submitted (Unix time, if known), then its ordinal."""


def place(inquiry: Inquiry) -> Place:
    """
    Return where *inquiry* stands in its line.
    """
    submitted = inquiry.job.submitted_at
    return (inf if submitted is None else submitted.timestamp(), inquiry.ordinal)


class Line:
    """
    The tasks of one endpoint in the order in which they should become ready.

    Those not asked about yet, and those at the front, unfinished with nothing ready behind them:
    they are what the next sweep begins with.  A task that others have overtaken is a straggler; it
    leaves the line, and so does one that has held up two sweeps.
    """

    def __init__(self, policy: PollingPolicy) -> None:
        self.front = Front(policy)
        self._heap: list[tuple[Place, Inquiry]] = []
        # Questions in flight: which task, in which sweep.
        self._asked: dict[int, int] = {}
        self._reached = _NOWHERE
        # Unfinished, and beyond what was reached in this sweep.
        self._held_up: list[Inquiry] = []

    def __len__(self) -> int:
        return len(self._heap) + len(self._held_up)

    @property
    def head(self) -> Place:
        """
        The place of the next task; behind every other if there is none.
        """
        return self._heap[0][0] if self._heap else (inf, -1)

    def push(self, inquiry: Inquiry) -> None:
        """
        Put *inquiry* into its place.
        """
        heappush(self._heap, (place(inquiry), inquiry))

    def pop(self) -> Inquiry:
        """
        Return the head, whose answer will say nothing about the front.
        """
        return heappop(self._heap)[1]

    def next(self, now: float, price: float) -> Inquiry | float | None:
        """
        Return what to ask about now, or when the next sweep begins, or None.
        """
        front = self.front
        if front.opens(now):
            for inquiry in self._held_up:
                self.push(inquiry)
            self._held_up.clear()
            self._reached = _NOWHERE
        if self._heap and front.admits(now, price):
            inquiry = self.pop()
            self._asked[inquiry.ordinal] = front.asked(now)
            return inquiry
        if self._held_up and not self._heap and front.is_open and not front.in_flight:
            front.close(now, price, len(self))
        return None if front.is_open or not len(self) else front.opens_at

    def answered(
        self, inquiry: Inquiry, now: float, price: float, *, ready: bool | None
    ) -> list[Inquiry]:
        """
        Take in an answer and return those known unfinished that are in the line no longer.
        """
        left_line = [] if ready is not False else [inquiry]
        sweep = self._asked.pop(inquiry.ordinal, None)
        if sweep is None:
            return left_line
        self.front.answered(sweep, now, price, len(self), ready=ready)
        here = place(inquiry)
        if ready and here > self._reached:
            self._reached = here
            if self._held_up:
                left_line = [other for other in self._held_up if place(other) < here]
                self._held_up = [other for other in self._held_up if place(other) > here]
        elif ready is False and here > self._reached and inquiry.calls <= 2:
            self._held_up.append(inquiry)
            return []
        return left_line
