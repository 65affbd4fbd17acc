"""
Queue of an endpoint's tasks in the order in which they should become ready.
"""

from collections import deque
from heapq import heappop, heappush
from math import inf
from operator import itemgetter

from batchfetch.models import JobState
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.survey import Survey
from batchfetch.scheduling.sweep import Sweep

_BEFORE_ALL = (-inf, -1)
_AFTER_ALL = (inf, -1)

_SAME_TIME = 1.0
"""Seconds between two answers that describe the same state of the queue."""

_FEW = 8
"""Up to one in so many tasks of a queue may be out of order when a survey takes one at a distance:
to sort them for each would take too long."""

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

    After the end of a sweep a survey may poll tasks further back.  Its unfinished tasks without a
    ready one after them return to their places.
    """

    def __init__(self, policy: PollingPolicy) -> None:
        self.sweep = Sweep(policy)
        self.survey = Survey()
        # Tasks that arrived in order, as most do, and a heap of the others.
        self._in_order: deque[tuple[Position, JobState]] = deque()
        self._out_of_order: list[tuple[Position, JobState]] = []
        # The sweep of each request in flight, by the task's ordinal.
        self._sweeps: dict[int, int] = {}
        # The position of the last task found ready in this sweep.
        self._last_ready = _BEFORE_ALL
        # Tasks found unfinished in this sweep after that position.
        self._unfinished: list[JobState] = []
        # The position of the last task that any survey found ready.
        self._furthest = _BEFORE_ALL
        # Tasks that this survey found unfinished after that position.
        self._surveyed: list[JobState] = []
        # When a task that a survey had returned to its place was polled in its turn, by ordinal.
        self._in_turn: dict[int, float | None] = {}
        self._found_at = -inf

    def __len__(self) -> int:
        waiting = len(self._in_order) + len(self._out_of_order)
        return waiting + len(self._unfinished) + len(self._surveyed)

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
        behind = self._unfinished or self._surveyed
        return behind.pop() if behind else None

    def next(self, now: float, price: float) -> JobState | float | None:
        """
        Return the task to poll now, or the time at which the next sweep or survey begins, or None.
        """
        sweep, survey = self.sweep, self.survey
        if sweep.opens(now):
            self._begin_sweep()
        length = len(self._in_order) + len(self._out_of_order)
        if not length:
            return self._next_of_none(now, price)
        if sweep.admits(now, price):
            state = self.pop()
            self._sweeps[state.ordinal] = sweep.asked(now)
            if self._in_turn and state.ordinal in self._in_turn:
                self._in_turn[state.ordinal] = now
            return state
        if not sweep.is_open and survey.opens(now, sweep.ended, length):
            self._return(self._surveyed)
        if survey.admits():
            state = self._take(survey.index(length))
            survey.asked(state.ordinal)
            return state
        if sweep.is_open:
            return None
        if survey.is_open:
            return sweep.opens_at
        return min(sweep.opens_at, survey.due(now, sweep.ended))

    def answered(
        self, state: JobState, now: float, price: float, *, ready: bool | None
    ) -> list[JobState]:
        """
        Record an answer and return the stragglers: unfinished tasks that have left the queue.

        *ready* is None if the answer does not tell whether the task is ready.
        """
        if ready:
            self._found_at = now
        sweep = self._sweeps.pop(state.ordinal, None)
        if sweep is not None:
            self.sweep.answered(sweep, now, price, len(self), ready=ready)
            stragglers = self._answered_in_sweep(state, ready=ready)
            if not stragglers:
                return stragglers
            if ready:  # It was ready before the unfinished ones: one more sample.
                self.survey.odds.sampled(now, ready=True)
            last_ready = self._last_ready
        elif self.survey.answered(state.ordinal, now, ready=ready):
            stragglers = self._answered_in_survey(state, now, ready=ready)
            last_ready = self._furthest
        else:
            return [] if ready is not False else [state]
        if self.survey.applies(len(self)):
            for each in stragglers:
                if each.calls == 1 and position(each) < last_ready:
                    self.survey.odds.watch(each.ordinal)
        return stragglers

    def polled_again(self, state: JobState, last: float, now: float, *, ready: bool) -> None:
        """
        Record whether a task that was unfinished at *last* is ready *now*, for the survey's odds.

        If no task became ready in between, the service may have paused, and it tells nothing.
        """
        known = ready or last < self._found_at
        self.survey.odds.polled_again(state.ordinal, now - last, ready=ready if known else None)

    def first_in_turn(self, state: JobState) -> float | None:
        """
        Return when *state* was polled for the first time, apart from surveys.
        """
        return self._in_turn.get(state.ordinal) or state.first_asked

    def _begin_sweep(self) -> None:
        self._return(self._unfinished)
        self._last_ready = _BEFORE_ALL
        if not self.survey.is_open:
            self._return(self._surveyed)

    def _return(self, states: list[JobState]) -> None:
        for state in states:
            self.push(state)
        states.clear()

    def _take(self, index: int) -> JobState:
        """
        Remove and return the task at *index*, or any that arrived out of order if it is behind.
        """
        if len(self._out_of_order) > len(self._in_order) // _FEW:
            self._sort()
        if index >= len(self._in_order):
            return self._out_of_order.pop()[1]  # The last of a heap is one of the later ones.
        state = self._in_order[index][1]
        del self._in_order[index]
        return state

    def _sort(self) -> None:
        """
        Put the tasks that arrived out of order in their places among the others.
        """
        waiting = [*self._in_order, *self._out_of_order]
        self._in_order = deque(sorted(waiting, key=itemgetter(0)))
        self._out_of_order.clear()

    def _next_of_none(self, now: float, price: float) -> float | None:
        """
        End the sweep and the survey, if every task of the queue was polled and is unfinished.
        """
        if not self.survey.in_flight:
            self.survey.close()
        if len(self) and self.sweep.is_open and not self.sweep.in_flight:
            self.sweep.close(now, price, len(self))
        return None if self.sweep.is_open or not len(self) else self.sweep.opens_at

    def _answered_in_sweep(self, state: JobState, *, ready: bool | None) -> list[JobState]:
        own = position(state)
        if ready and own > self._last_ready:
            self._last_ready = own
            return _split(self._unfinished, own) if self._unfinished else []
        looks = 3 if state.ordinal in self._in_turn else 2
        if ready is False and own > self._last_ready and state.calls <= looks:
            self._unfinished.append(state)
            return []
        return [] if ready is not False else [state]

    def _answered_in_survey(
        self, state: JobState, now: float, *, ready: bool | None
    ) -> list[JobState]:
        own = position(state)
        if ready and own > self._furthest:
            self._furthest = own
            stragglers = _split(self._surveyed, own)
            recent = [each for each in self._unfinished if _is_recent(each, now)]
            overtaken = _split(recent, own)
            if overtaken:
                left = {each.ordinal for each in overtaken}
                self._unfinished = [each for each in self._unfinished if each.ordinal not in left]
            return stragglers + overtaken
        if ready is False and own > self._furthest and state.calls <= 2:
            self._surveyed.append(state)
            self._in_turn[state.ordinal] = None
            return []
        return [] if ready is not False else [state]


def _split(states: list[JobState], own: Position) -> list[JobState]:
    """
    Remove from *states* those before the position *own*, and return them.
    """
    before = [each for each in states if position(each) < own]
    if before:
        states[:] = [each for each in states if position(each) > own]
    return before


def _is_recent(state: JobState, now: float) -> bool:
    return state.unfinished_at is not None and state.unfinished_at >= now - _SAME_TIME
