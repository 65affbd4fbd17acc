"""
Who is asked next, and when: jobs wait here, holding neither a slot nor a coroutine.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf

from batchfetch.models import STORED_FOR, JobState, TaskStatus
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.queues import EndpointQueue, position

_EXPIRES_SOON = 600.0
"""Seconds before its result is deleted in which a task is asked, ready or not."""

_MOST_LINES = 16
"""Endpoints that have a line each; a manifest may name any number of them."""

_DONE = (TaskStatus.COMPLETED, TaskStatus.ERROR)
"""NotExist says nothing of how far the service is."""


class Scheduler:
    """
    Hand out inquiries when it is worth asking.  Pure: every method is told what time it is.

    Times are seconds on a monotonic clock, which showed 0 at Unix time *epoch*.  *lookahead* bounds
    how many jobs wait unasked.
    """

    def __init__(
        self, policy: PollingPolicy, *, lookahead: int = 65_536, epoch: float = 0.0
    ) -> None:
        self._policy = policy
        self._lookahead = lookahead
        self._epoch = epoch
        self._closed = False
        self._lines: dict[str | None, EndpointQueue] = {}
        # When to ask again: stragglers, and those whose last question met a passing fault.
        self._stragglers: list[tuple[float, int, JobState]] = []
        self._faulted: list[tuple[float, int, JobState]] = []
        self._unsettled = 0
        self._scarce = False
        self._answers = 0

    @property
    def waiting(self) -> int:
        """
        Jobs in line: not asked about yet, but for a few at the front.
        """
        return sum(map(len, self._lines.values()))

    @property
    def known_unfinished(self) -> int:
        """
        Jobs to be asked about again at a time of their own.
        """
        return len(self._stragglers) + len(self._faulted)

    @property
    def wants_more(self) -> bool:
        """
        Whether there is room to read ahead.
        """
        return not self._closed and self.waiting < self._lookahead

    @property
    def finished(self) -> bool:
        """
        Whether every job has an outcome and none will be added.
        """
        return self._closed and not self._unsettled

    def offer(self, state: JobState) -> None:
        """
        Add a job from the manifest.
        """
        self._unsettled += 1
        self._line(state).push(state)

    def close(self) -> None:
        """
        Declare the end of the manifest.
        """
        self._closed = True

    def next(self, now: float, budget_left: int | None = None) -> JobState | float | None:
        """
        Return what to ask about now, or when to come back, or None.

        An inquiry is in flight until `settled`, `unfinished` or `again` is called with it.  A float
        is when the next question falls due; None means that nothing is to be asked before an answer
        comes or a job is offered.  *budget_left* is how many calls may still be made, if that is
        limited.
        """
        self._scarce = budget_left is not None and budget_left < self._unsettled
        times = []
        for step in self._steps(now):
            if isinstance(step, JobState):
                return step
            if step is not None:
                times.append(step)
        return min(times, default=None)

    def found(self, state: JobState, now: float) -> None:
        """
        Record that an image has begun to arrive, so that others need not wait for its last byte.

        May be left out: `settled` says the same, only later.
        """
        self._answered(state, now, ready=True)
        state.note_unfinished(None)  # Learned from; not to be learned from again.

    def settled(self, state: JobState, now: float) -> None:
        """
        Record that *state* has an outcome.  Its last answer says whether the service was done.
        """
        done = state.answer is not None and state.answer.status in _DONE
        self._answered(state, now, ready=True if done else None)
        self._unsettled -= 1

    def unfinished(self, state: JobState, now: float) -> None:
        """
        Record that the task is Pending or Processing; the policy says when it is asked again.
        """
        self._answered(state, now, ready=False)

    def again(self, state: JobState, due: float) -> None:
        """
        Ask about *state* again at *due*, without consulting the policy: a passing fault.
        """
        self._answered(state, due, ready=None)
        heappush(self._faulted, (due, state.ordinal, state))

    def _steps(self, now: float) -> Iterator[JobState | float | None]:
        """
        Generate what each queue would do next, the one that matters most first.
        """
        lines = [*self._lines.values()]
        if len(lines) > 1:
            lines.sort(key=lambda line: line.head)
        for line in lines:
            if line.head[0] < now + self._epoch + _EXPIRES_SOON - STORED_FOR:
                yield line.pop()
        yield _next(self._faulted, now)
        # The last calls go to where most is ready, and that is where a sweep is under way.
        if not self._scarce:
            yield _next(self._stragglers, now)
        price = self._price()
        for line in lines:
            yield line.next(now, price)
        if self._scarce:
            yield _next(self._stragglers, now)

    def _answered(self, state: JobState, now: float, *, ready: bool | None) -> None:
        last, first = state.unfinished_at, state.first_asked
        if ready is not None and last is not None and first is not None:
            self._policy.hazards.learn(last - first, now - last, ready=ready)
        if ready is False:
            state.note_unfinished(now)
        price = self._price()
        for straggler in self._line(state).answered(state, now, price, ready=ready):
            heappush(self._stragglers, self._entry(straggler, price))
        self._answers += 1
        if self._answers > min(self._left // 2, len(self._stragglers) + 16):
            self._review(price)

    def _review(self, price: float) -> None:
        """
        Compute all times anew: enough was learned, or so few are left that the price has changed.
        """
        self._answers = 0
        self._stragglers = [self._entry(state, price) for _, _, state in self._stragglers]
        heapify(self._stragglers)
        for line in self._lines.values():
            line.front.plan(price, len(line))

    def _entry(self, state: JobState, price: float) -> tuple[float, int, JobState]:
        submitted, _ = position(state)
        due = self._policy.due(state, price, expires=submitted + STORED_FOR - self._epoch)
        return due, state.ordinal, state

    def _line(self, state: JobState) -> EndpointQueue:
        endpoint = state.job.endpoint
        if endpoint not in self._lines and len(self._lines) >= _MOST_LINES:
            endpoint = None
        if endpoint not in self._lines:
            self._lines[endpoint] = EndpointQueue(self._policy)
        return self._lines[endpoint]

    def _price(self) -> float:
        return self._policy.price(self._left, scarce=self._scarce)

    @property
    def _left(self) -> float:
        return self._unsettled if self._closed else inf


def _next(heap: list[tuple[float, int, JobState]], now: float) -> JobState | float | None:
    if not heap:
        return None
    return heappop(heap)[2] if heap[0][0] <= now else heap[0][0]
