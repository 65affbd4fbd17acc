"""
Queue of an endpoint's tasks in the order in which they should become ready.
"""

from collections import deque
from heapq import heappop, heappush
from math import inf

from batchfetch.models import JobState
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.sweep import Sweep

_BEFORE_ALL = (-inf, -1)
_AFTER_ALL = (inf, -1)

Position = tuple[float, int]
"""A task's position in its queue: its submission (Unix time, infinity if unknown) and ordinal."""


def position(state: JobState) -> Position:
    """
    Return the position of *state* in its queue.
    """
    submitted = state.job.submitted_at
    return (inf if submitted is None else submitted.timestamp(), state.ordinal)


class EndpointQueue:
    """
    The tasks of one endpoint in the order in which they should become ready.

    It contains the tasks not polled yet, and the unfinished ones without a ready task after them,
    with which the next sweep begins.  A task leaves the queue as a straggler if a later one is
    ready before it, or if it was unfinished in two sweeps.
    """

    def __init__(self, policy: PollingPolicy) -> None:
        self.sweep = Sweep(policy)
        # Tasks that arrived in order, as most do, and a heap of the others.
        self._in_order: deque[tuple[Position, JobState]] = deque()
        self._out_of_order: list[tuple[Position, JobState]] = []
        # The sweep of each request in flight, by the task's ordinal.
        self._sweeps: dict[int, int] = {}
        # The position of the last task found ready in this sweep.
        self._last_ready = _BEFORE_ALL
        # Tasks found unfinished in this sweep after that position.
        self._unfinished: list[JobState] = []

    def __len__(self) -> int:
        return len(self._in_order) + len(self._out_of_order) + len(self._unfinished)

    @property
    def head(self) -> Position:
        """
        The position of the next task; after every other position if there is none.
        """
        if not self._out_of_order:
            return self._in_order[0][0] if self._in_order else _AFTER_ALL
        first = self._out_of_order[0][0]
        return min(first, self._in_order[0][0]) if self._in_order else first

    def push(self, state: JobState) -> None:
        """
        Add *state* at its position.
        """
        own = position(state)
        if self._in_order and own < self._in_order[-1][0]:
            heappush(self._out_of_order, (own, state))
        else:
            self._in_order.append((own, state))

    def pop(self) -> JobState:
        """
        Remove and return the next task, as a request that is not part of a sweep.
        """
        late = self._out_of_order
        if late and not (self._in_order and self._in_order[0][0] < late[0][0]):
            return heappop(late)[1]
        return self._in_order.popleft()[1]

    def pop_last(self) -> JobState | None:
        """
        Remove and return a task from the end, as a request that is not part of a sweep.
        """
        if self._in_order:
            return self._in_order.pop()[1]
        if self._out_of_order:
            return self._out_of_order.pop()[1]  # A heap without its last leaf is a heap.
        return self._unfinished.pop() if self._unfinished else None

    def next(self, now: float, price: float) -> JobState | float | None:
        """
        Return the task to poll now, or the time at which the next sweep begins, or None.
        """
        sweep = self.sweep
        if sweep.opens(now):
            for state in self._unfinished:
                self.push(state)
            self._unfinished.clear()
            self._last_ready = _BEFORE_ALL
        if (self._in_order or self._out_of_order) and sweep.admits(now, price):
            state = self.pop()
            self._sweeps[state.ordinal] = sweep.asked(now)
            return state
        if (
            self._unfinished
            and not (self._in_order or self._out_of_order)
            and sweep.is_open
            and not sweep.in_flight
        ):
            sweep.close(now, price, len(self))
        return None if sweep.is_open or not len(self) else sweep.opens_at

    def answered(
        self, state: JobState, now: float, price: float, *, ready: bool | None
    ) -> list[JobState]:
        """
        Record an answer and return the stragglers: unfinished tasks that have left the queue.

        *ready* is None if the answer does not tell whether the task is ready.
        """
        stragglers = [] if ready is not False else [state]
        sweep = self._sweeps.pop(state.ordinal, None)
        if sweep is None:
            return stragglers
        self.sweep.answered(sweep, now, price, len(self), ready=ready)
        own = position(state)
        if ready and own > self._last_ready:
            self._last_ready = own
            if self._unfinished:
                stragglers = [other for other in self._unfinished if position(other) < own]
                self._unfinished = [other for other in self._unfinished if position(other) > own]
        elif ready is False and own > self._last_ready and state.calls <= 2:
            self._unfinished.append(state)
            return []
        return stragglers
