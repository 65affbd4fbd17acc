"""
Tasks in the order in which they should become ready.
"""

from collections import deque
from heapq import heappop, heappush
from math import inf

from batchfetch.models import Inquiry
from batchfetch.polling.front import Front
from batchfetch.polling.policy import PollingPolicy

_NOWHERE = (-inf, -1)
_BEHIND = (inf, -1)

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
        # In order: those that came in order, as most do, and a heap of the others.
        self._queue: deque[tuple[Place, Inquiry]] = deque()
        self._heap: list[tuple[Place, Inquiry]] = []
        # Questions in flight: which task, in which sweep.
        self._asked: dict[int, int] = {}
        self._reached = _NOWHERE
        # Unfinished, and beyond what was reached in this sweep.
        self._held_up: list[Inquiry] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._heap) + len(self._held_up)

    @property
    def head(self) -> Place:
        """
        The place of the next task; behind every other if there is none.
        """
        if not self._heap:
            return self._queue[0][0] if self._queue else _BEHIND
        place = self._heap[0][0]
        return min(place, self._queue[0][0]) if self._queue else place

    def push(self, inquiry: Inquiry) -> None:
        """
        Put *inquiry* into its place.
        """
        here = place(inquiry)
        if self._queue and here < self._queue[-1][0]:
            heappush(self._heap, (here, inquiry))
        else:
            self._queue.append((here, inquiry))

    def pop(self) -> Inquiry:
        """
        Return the head, whose answer will say nothing about the front.
        """
        if self._heap and not (self._queue and self._queue[0][0] < self._heap[0][0]):
            return heappop(self._heap)[1]
        return self._queue.popleft()[1]

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
        if (self._queue or self._heap) and front.admits(now, price):
            inquiry = self.pop()
            self._asked[inquiry.ordinal] = front.asked(now)
            return inquiry
        if (
            self._held_up
            and not (self._queue or self._heap)
            and front.is_open
            and not front.in_flight
        ):
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
