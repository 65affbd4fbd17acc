"""
Scheduler: the next job to poll, and when; waiting jobs hold no slot and no coroutine.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf

from batchfetch.models import STORED_FOR, JobState, TaskStatus
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.queues import EndpointQueue, position

_EXPIRES_SOON = 600.0
"""Seconds before the deletion of its result from which a task is polled outside of sweeps."""

_MAX_QUEUES = 16
"""The most endpoints with a queue of their own; a manifest may name any number of endpoints."""

_QUEUE_TURNS = 3
"""Requests for tasks of the queues, if any are to be polled, after one for a straggler."""

_DONE = (TaskStatus.COMPLETED, TaskStatus.ERROR)
"""Statuses of processed tasks; NotExist tells nothing about the progress of the service."""


class Scheduler:
    """
    Returns jobs when they should be polled; it reads no clock, every method takes the time.

    Times are seconds on a monotonic clock that showed 0 at Unix time *epoch*.  *lookahead* limits
    the number of jobs that are added before they are polled.
    """

    def __init__(
        self, policy: PollingPolicy, *, lookahead: int = 65_536, epoch: float = 0.0
    ) -> None:
        self._policy = policy
        self._lookahead = lookahead
        self._epoch = epoch
        self._closed = False
        self._queues: dict[str | None, EndpointQueue] = {}
        # Heaps by due time: stragglers, and jobs whose last request failed.
        self._stragglers: list[tuple[float, int, JobState]] = []
        self._faulted: list[tuple[float, int, JobState]] = []
        self._unsettled = 0
        self._scarce = False
        self._answers = 0
        self._turn = 0

    @property
    def waiting(self) -> int:
        """
        Jobs in a queue: not polled yet, or unfinished and part of the next sweep.
        """
        return sum(map(len, self._queues.values()))

    @property
    def known_unfinished(self) -> int:
        """
        Jobs that are polled again at a time of their own.
        """
        return len(self._stragglers) + len(self._faulted)

    @property
    def wants_more(self) -> bool:
        """
        Whether more jobs should be added.
        """
        return not self._closed and self.waiting < self._lookahead

    @property
    def is_idle(self) -> bool:
        """
        Whether no job is left to be polled, now or later, unless some are added.
        """
        return not self.waiting and not self.known_unfinished

    @property
    def are_others_left(self) -> bool:
        """
        Whether a job waits whose last request did not fail, or may still be added.
        """
        return bool(self._stragglers or self.waiting) or not self._closed

    @property
    def failing(self) -> list[JobState]:
        """
        The jobs that wait because their last request failed.
        """
        return [state for _, _, state in self._faulted]

    @property
    def is_closed(self) -> bool:
        """
        Whether no more jobs will be added.
        """
        return self._closed

    @property
    def finished(self) -> bool:
        """
        Whether every job has an outcome and none will be added.
        """
        return self._closed and not self._unsettled

    def offer(self, state: JobState) -> None:
        """
        Add a job.
        """
        self._unsettled += 1
        self._queue_of(state).push(state)

    def close(self) -> None:
        """
        Declare that no more jobs will be added.
        """
        self._closed = True

    def next(self, now: float, budget_left: int | None = None) -> JobState | float | None:
        """
        Return the job to poll now, or the time at which one is due, or None.

        A returned job is in flight until `settled`, `unfinished` or `again` is called with it.
        None means that no job is due before an answer arrives or a job is added.  *budget_left* is
        the number of calls that may still be made, None if it is not limited.
        """
        self._scarce = budget_left is not None and budget_left < self._unsettled
        times = []
        for step in self._steps(now):
            if isinstance(step, JobState):
                return step
            if step is not None:
                times.append(step)
        return min(times, default=None)

    def last(self, *, but_of: str | None) -> JobState | None:
        """
        Return a job from further on, of another endpoint than *but_of* if there is one; None if
        there is none.
        """
        queues = sorted(self._queues.items(), key=lambda item: item[0] == but_of)
        for _, queue in queues:
            if (state := queue.pop_last()) is not None:
                return state
        for heap in (self._stragglers, self._faulted):
            if heap:
                return heap.pop()[2]
        return None

    def set_aside(self, state: JobState, now: float) -> None:
        """
        Record that the last request about *state* decided nothing; `again` or `settled` follows.
        """
        self._answered(state, now, ready=None)

    def found(self, state: JobState, now: float) -> None:
        """
        Record that the task of *state* is ready as soon as its image begins to arrive.

        Optional: `settled` records the same, but only after the last byte.
        """
        self._answered(state, now, ready=True)
        state.note_unfinished(None)  # So that `settled` does not record the same event again.

    def settled(self, state: JobState, now: float) -> None:
        """
        Record that *state* has an outcome.  Its last answer tells whether the task was processed.
        """
        done = state.answer is not None and state.answer.status in _DONE
        self._answered(state, now, ready=True if done else None)
        self._unsettled -= 1

    def unfinished(self, state: JobState, now: float) -> None:
        """
        Record that the task is Pending or Processing; the policy decides when it is polled again.
        """
        self._answered(state, now, ready=False)

    def again(self, state: JobState, due: float) -> None:
        """
        Poll *state* again at *due*, without the policy, because its request failed.
        """
        self._answered(state, due, ready=None)
        heappush(self._faulted, (due, state.ordinal, state))

    def _steps(self, now: float) -> Iterator[JobState | float | None]:
        """
        Yield the next step of each queue and heap, in order of priority.
        """
        queues = [*self._queues.values()]
        if len(queues) > 1:
            queues.sort(key=lambda queue: queue.head)
        for queue in queues:
            if queue.head[0] < now + self._epoch + _EXPIRES_SOON - STORED_FOR:
                yield queue.pop()
        yield _next(self._faulted, now)
        # Stragglers get every fourth request while a queue has tasks to poll, and if calls are
        # scarce none: more of those tasks are ready per call.
        queues_first = self._scarce or self._turn > 0
        if not queues_first:
            yield self._next_straggler(now)
        price = self._price()
        for queue in queues:
            step = queue.next(now, price)
            if self._turn and isinstance(step, JobState):
                self._turn -= 1
            yield step
        if queues_first:
            yield self._next_straggler(now)

    def _next_straggler(self, now: float) -> JobState | float | None:
        step = _next(self._stragglers, now)
        if isinstance(step, JobState):
            self._turn = _QUEUE_TURNS
        return step

    def _answered(self, state: JobState, now: float, *, ready: bool | None) -> None:
        queue = self._queue_of(state)
        last = state.unfinished_at
        if ready is not None and last is not None:
            first = queue.first_in_turn(state)
            if first is not None and first <= last:
                self._policy.hazards.learn(last - first, now - last, ready=ready)
            queue.polled_again(state, last, now, ready=ready)
        if ready is False:
            state.note_unfinished(now)
        price = self._price()
        for straggler in queue.answered(state, now, price, ready=ready):
            heappush(self._stragglers, self._entry(straggler, price))
        self._answers += 1
        if self._answers > min(self._left // 2, len(self._stragglers) + 16):
            self._review(price)

    def _review(self, price: float) -> None:
        """
        Recompute all due times, because the hazards or the price have changed.
        """
        self._answers = 0
        self._stragglers = [self._entry(state, price) for _, _, state in self._stragglers]
        heapify(self._stragglers)
        for queue in self._queues.values():
            queue.sweep.plan(price, len(queue))

    def _entry(self, state: JobState, price: float) -> tuple[float, int, JobState]:
        submitted, _ = position(state)
        queue = self._queue_of(state)
        due = self._policy.due(
            state,
            price,
            expires=submitted + STORED_FOR - self._epoch,
            since=queue.first_in_turn(state),
            within=queue.survey.odds.longest_wait(state.ordinal),
        )
        return due, state.ordinal, state

    def _queue_of(self, state: JobState) -> EndpointQueue:
        endpoint = state.job.endpoint
        if endpoint not in self._queues and len(self._queues) >= _MAX_QUEUES:
            endpoint = None
        if endpoint not in self._queues:
            self._queues[endpoint] = EndpointQueue(self._policy)
        return self._queues[endpoint]

    def _price(self) -> float:
        return self._policy.price(self._left, scarce=self._scarce)

    @property
    def _left(self) -> float:
        return self._unsettled if self._closed else inf


def _next(heap: list[tuple[float, int, JobState]], now: float) -> JobState | float | None:
    if not heap:
        return None
    return heappop(heap)[2] if heap[0][0] <= now else heap[0][0]
