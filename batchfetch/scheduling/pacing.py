"""
Pacing within one process: rate limit, cooldown, concurrency limit and call budget.

Nothing here sleeps or reads a clock: callers pass the current time, in seconds on a monotonic
clock, and get the time from which they may go on.
"""

from collections.abc import Callable

from batchfetch.scheduling.retry import RetryPolicy


class RateLimit:
    """
    Spaces requests evenly: at most *rate* per second in all; None is no limit.

    Source: the generic cell rate algorithm (ITU-T I.371), which stores a single time.
    """

    # Seconds of a late wake-up that are caught up on; more would allow a burst.
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
        Record that a request starts at *now*.
        """
        self._next = max(self._next, now - self._SLACK) + self._interval

    def give_back(self) -> None:
        """
        Let the time of a request that was recorded and did not start be taken by another.
        """
        self._next -= self._interval


class Cooldown:
    """
    The wait of all requests after one was answered with "too many requests".
    """

    LONGEST = 3600.0
    """The most seconds to wait, even if the service asks for more."""

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
        Start or extend the cooldown because a request was refused at *now*.

        It lasts *retry_after* seconds, or if that is None a time that grows with each cooldown.
        Refusals without a *retry_after* that arrive during a cooldown do not change it.
        """
        if retry_after is None:
            if now < self._until:
                return
            self._refusals += 1
            # At least half of the ceiling: full jitter could give a cooldown of almost zero.
            ceiling = self._policy.ceiling(self._refusals)
            retry_after = self._policy.spread(ceiling / 2, ceiling)
        self._until = max(self._until, now + min(retry_after, self.LONGEST))

    def reset(self) -> None:
        """
        Record a regular answer: the next cooldown starts at the shortest wait again.
        """
        self._refusals = 0


class ConcurrencyLimit:
    """
    Limit of the requests in flight, by additive increase and multiplicative decrease (AIMD).

    An overload halves the limit.  As many answers as the limit increase it by one, up to *maximum*.
    Source: RFC 5681, section 3.1.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = float(maximum)
        self._shrunk_at = float("-inf")
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """
        The highest number of requests in flight that is allowed at present.
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
        Record a regular answer.
        """
        if self._limit < self._maximum:
            self._limit = min(self._limit + 1 / self._limit, self._maximum)

    def shrink(self, asked_at: float, now: float) -> None:
        """
        Record an overload that was reported to a request started at *asked_at*.

        It is ignored if the request started before the last decrease: that one was for the same
        overload.
        """
        if asked_at >= self._shrunk_at:
            self._limit = max(1.0, min(self._limit, self.in_flight) / 2)
            self._shrunk_at = now


class Budget:
    """
    Counter of a run's API calls, with an optional limit; *maximum* is None for no limit.
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
        Whether no more call may be made.
        """
        return self._maximum is not None and self.calls >= self._maximum

    def take(self) -> None:
        """
        Count a call.
        """
        self.calls += 1

    def give_back(self) -> None:
        """
        Take back a call that was counted but not made.
        """
        self.calls -= 1


class LocalPace:
    """
    The `Pace` of one process: concurrency limit, cooldown, rate limit and call budget.

    *slots* is the most requests in flight, *rate* the most requests per second, *max_calls* the
    most calls of the run; None is no limit.
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
        See `Pace.listen`.  Never calls *changed*: only the caller's own calls change the state.
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
