"""
How fast: back-off after faults, the rate, the budget of calls, the pause everyone keeps, and how
many requests may be in flight.

Nothing here sleeps or reads a clock: whoever asks says what time it is (seconds on a monotonic
clock) and is told when to go on.
"""

from collections.abc import Callable

from batchfetch.scheduling.retry import RetryPolicy


class RateLimit:
    """
    Spaces requests evenly: at most *rate* a second, whatever the number of askers.

    The generic cell rate algorithm (ITU-T I.371): one stored time, no buckets, no background task.
    """

    # A late wake-up may be made good at once; more than this would be a burst.
    _SLACK = 0.02

    def __init__(self, rate: float | None) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._next = float("-inf")

    def ready_at(self) -> float:
        """
        Return the time from which the next request may start.
        """
        return self._next

    def take(self, now: float) -> None:
        """
        Note that a request starts at *now*.
        """
        self._next = max(self._next, now - self._SLACK) + self._interval


class Cooldown:
    """
    The service-wide wait: one answer "too many requests" holds back every poller.
    """

    LONGEST = 3600.0
    """Seconds; a service that asks for more is asked again after this."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._refusals = 0
        self._until = float("-inf")

    @property
    def until(self) -> float:
        """
        The time before which nothing may start.
        """
        return self._until

    def trip(self, now: float, retry_after: float | None) -> None:
        """
        Take note of a refusal at *now*; without a *retry_after* the wait grows by itself.

        Refusals that arrive during a pause belong to it and do not make it grow.
        """
        if retry_after is None:
            if now < self._until:
                return
            self._refusals += 1
            # Half of it at least: a pause of nearly nothing would be no answer to a refusal.
            ceiling = self._policy.ceiling(self._refusals)
            retry_after = self._policy.spread(ceiling / 2, ceiling)
        self._until = max(self._until, now + min(retry_after, self.LONGEST))

    def reset(self) -> None:
        """
        Take note that the service answers again.
        """
        self._refusals = 0


class ConcurrencyLimit:
    """
    How many requests may be in flight: halved when the service is overloaded, growing back by one
    for each window's worth of answers.

    Additive increase, multiplicative decrease; source: RFC 5681, section 3.1.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = float(maximum)
        self._shrunk_at = float("-inf")
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """
        The most requests in flight at present.
        """
        return int(self._limit)

    @property
    def is_open(self) -> bool:
        """
        Whether one more request may start.
        """
        return self.in_flight < self.limit

    def grow(self) -> None:
        """
        Take note of an answer.
        """
        if self._limit < self._maximum:
            self._limit = min(self._limit + 1 / self._limit, self._maximum)

    def shrink(self, asked_at: float, now: float) -> None:
        """
        Take note of an overload that met a request started at *asked_at*.

        Requests that started before the last decrease tell nothing about the smaller window.
        """
        if asked_at >= self._shrunk_at:
            self._limit = max(1.0, min(self._limit, self.in_flight) / 2)
            self._shrunk_at = now


class Budget:
    """
    The API calls of a run: counted always, limited if asked for.
    """

    def __init__(self, maximum: int | None = None) -> None:
        self._maximum = maximum
        self.calls = 0

    @property
    def left(self) -> int | None:
        """
        Calls that may still be made; None if there is no limit.
        """
        return None if self._maximum is None else self._maximum - self.calls

    @property
    def is_spent(self) -> bool:
        """
        Whether one more call would be one too many.
        """
        return self._maximum is not None and self.calls >= self._maximum

    def take(self) -> None:
        """
        Note that a call is made.
        """
        self.calls += 1

    def give_back(self) -> None:
        """
        Note that a call was not made after all.
        """
        self.calls -= 1


class LocalPace:
    """
    Everything that holds a question of this process back: slots, cooldown, rate and budget.
    """

    def __init__(self, *, slots: int, rate: float | None, max_calls: int | None) -> None:
        self.slots = slots
        self.concurrency = ConcurrencyLimit(slots)
        self.budget = Budget(max_calls)
        self._rate = RateLimit(rate)
        self.cooldown = Cooldown(RetryPolicy())

    @property
    def calls(self) -> int:
        """
        See `Pace.calls`.
        """
        return self.budget.calls

    @property
    def calls_left(self) -> int | None:
        """
        See `Pace.calls_left`.
        """
        return self.budget.left

    @property
    def in_flight(self) -> int:
        """
        See `Pace.in_flight`.
        """
        return self.concurrency.in_flight

    @property
    def limit(self) -> int:
        """
        See `Pace.limit`.
        """
        return self.concurrency.limit

    @property
    def cooling_until(self) -> float:
        """
        See `Pace.cooling_until`.
        """
        return self.cooldown.until

    def listen(self, changed: Callable[[], None]) -> None:
        """
        See `Pace.listen`: nothing changes here but by what is told.
        """

    def held_until(self, now: float) -> float | None:
        """
        See `Pace.held_until`.
        """
        if self.budget.is_spent or not self.concurrency.is_open:
            return float("inf")
        ready_at = max(self._rate.ready_at(), self.cooldown.until)
        return ready_at if ready_at > now else None

    def start(self, now: float) -> None:
        """
        See `Pace.start`.
        """
        self._rate.take(now)
        self.budget.take()
        self.concurrency.in_flight += 1

    def give_back(self) -> None:
        """
        See `Pace.give_back`.
        """
        self.budget.give_back()

    def finish(self) -> None:
        """
        See `Pace.finish`.
        """
        self.concurrency.in_flight -= 1

    def answered(self) -> None:
        """
        See `Pace.answered`.
        """
        self.concurrency.grow()
        self.cooldown.reset()

    def overloaded(self, asked_at: float, now: float) -> None:
        """
        See `Pace.overloaded`.
        """
        self.concurrency.shrink(asked_at, now)

    def cool_down(self, now: float, retry_after: float | None) -> None:
        """
        See `Pace.cool_down`.
        """
        self.cooldown.trip(now, retry_after)
