"""
Tasks in the order in which they should become ready.
"""

from collections import deque
from heapq import heappop, heappush
from math import inf

from batchfetch.models import JobState
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.sweep import Sweep

_NOWHERE = (-inf, -1)
_BEHIND = (inf, -1)

Position = tuple[float, int]
"""A task's place in its line: when it was submitted (Unix time, if known), then its ordinal."""


def position(state: JobState) -> Position:
    """
    Return where *state* stands in its line.
    """
    submitted = state.job.submitted_at
    return (inf if submitted is None else submitted.timestamp(), state.ordinal)


class EndpointQueue:
    """
    The tasks of one endpoint in the order in which they should become ready.

    Those not asked about yet, and those at the front, unfinished with nothing ready behind them:
    they are what the next sweep begins with.  A task that others have overtaken is a straggler; it
    leaves the line, and so does one that has held up two sweeps.
    """

    def __init__(self, policy: PollingPolicy) -> None:
        self.front = Sweep(policy)
        # In order: those that came in order, as most do, and a heap of the others.
        self._queue: deque[tuple[Position, JobState]] = deque()
        self._heap: list[tuple[Position, JobState]] = []
        # Questions in flight: which task, in which sweep.
        self._asked: dict[int, int] = {}
        self._reached = _NOWHERE
        # Unfinished, and beyond what was reached in this sweep.
        self._held_up: list[JobState] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._heap) + len(self._held_up)

    @property
    def head(self) -> Position:
        """
        The place of the next task; behind every other if there is none.
        """
        if not self._heap:
            return self._queue[0][0] if self._queue else _BEHIND
        position = self._heap[0][0]
        return min(position, self._queue[0][0]) if self._queue else position

    def push(self, state: JobState) -> None:
        """
        Put *state* into its place.
        """
        here = position(state)
        if self._queue and here < self._queue[-1][0]:
            heappush(self._heap, (here, state))
        else:
            self._queue.append((here, state))

    def pop(self) -> JobState:
        """
        Return the head, whose answer will say nothing about the front.
        """
        if self._heap and not (self._queue and self._queue[0][0] < self._heap[0][0]):
            return heappop(self._heap)[1]
        return self._queue.popleft()[1]

    def next(self, now: float, price: float) -> JobState | float | None:
        """
        Return what to ask about now, or when the next sweep begins, or None.
        """
        front = self.front
        if front.opens(now):
            for state in self._held_up:
                self.push(state)
            self._held_up.clear()
            self._reached = _NOWHERE
        if (self._queue or self._heap) and front.admits(now, price):
            state = self.pop()
            self._asked[state.ordinal] = front.asked(now)
            return state
        if (
            self._held_up
            and not (self._queue or self._heap)
            and front.is_open
            and not front.in_flight
        ):
            front.close(now, price, len(self))
        return None if front.is_open or not len(self) else front.opens_at

    def answered(
        self, state: JobState, now: float, price: float, *, ready: bool | None
    ) -> list[JobState]:
        """
        Take in an answer and return those known unfinished that are in the line no longer.
        """
        left_line = [] if ready is not False else [state]
        sweep = self._asked.pop(state.ordinal, None)
        if sweep is None:
            return left_line
        self.front.answered(sweep, now, price, len(self), ready=ready)
        here = position(state)
        if ready and here > self._reached:
            self._reached = here
            if self._held_up:
                left_line = [other for other in self._held_up if position(other) < here]
                self._held_up = [other for other in self._held_up if position(other) > here]
        elif ready is False and here > self._reached and state.calls <= 2:
            self._held_up.append(state)
            return []
        return left_line
