"""
The account of a run: who may make how many calls, and when.

Workers draw leases from it: so many calls, from then on, so far apart.  What was leased and neither
reported as used nor returned counts as spent, so that `max_calls` holds whatever dies.

The account dies with the scheduler.  So that the driver can say then how many calls were made at
most, no more are leased in all than it knows: the ceiling, which it is told ahead of time.  Nothing
here sleeps or reads a clock.
"""

from dataclasses import dataclass
from math import ceil, inf

from batchfetch.scheduling import RetryPolicy
from batchfetch.scheduling.pacing import Budget, Cooldown, RateLimit

WORTH = 0.1
"""Seconds that a lease is worth at the rate of the run."""

# Seconds ahead for which calls are leased.
_HORIZON = 0.5

# Seconds to wait for calls that others may return.
_RETURN_DELAY = 0.1

# Seconds to wait for the driver to know of a higher ceiling.
_CEILING_DELAY = 0.05

# Calls above what is leased that the ceiling has at least, unless the rate allows fewer.
_LEAST_ALLOWANCE = 64

# Seconds between two reports of a worker that needs nothing: so many, and more with many workers,
# of which 200 report in a second.
_HEARTBEAT = 0.5
_REPORTS = 200

# The most calls of one lease.
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a worker reports and asks for.  Counts are totals since it began.
    """

    wanted: int = 0
    """Calls that it could make now; none for a report without a request."""

    used: int = 0
    returned: int = 0
    answered: int = 0
    """Regular answers of the service."""

    asked: int = 0
    settled: int = 0
    too_early: int = 0
    in_flight: int = 0

    refusals: tuple[float | None, ...] = ()
    """For each "too many requests" since the last report the wait it asked for."""


@dataclass(frozen=True, slots=True)
class Lease:
    """
    Calls that a worker may make.  Times are relative to when it is given.
    """

    calls: int = 0
    start_in: float = 0.0
    every: float = 0.0
    """Seconds between two calls."""

    pause: float = 0.0
    """Seconds in which none may be made."""

    retry_in: float = 0.0
    """If there are no calls now: when to ask again."""

    is_spent: bool = False
    """Whether no call will ever be left."""

    left: int | None = None
    """Calls of the run that are left for others; None if they are not limited."""

    report_in: float = _HEARTBEAT
    """Seconds until the next report, if there is nothing to ask for before."""


class Holder:
    """
    What one worker has drawn, and what it reports.
    """

    def __init__(self) -> None:
        self.granted = 0
        self.wanted = 0
        self.last = Request()
        self.is_lost = False

    @property
    def outstanding(self) -> int:
        """
        Calls that are leased, and neither used nor returned as far as is known.
        """
        return self.granted - self.last.used - self.last.returned


class Account:
    """
    Gives leases by *rate* (calls per second) and *max_calls*; None is no limit.
    """

    def __init__(self, *, rate: float | None, max_calls: int | None) -> None:
        self._rate = rate
        self._limit = RateLimit(rate)
        self._budget = Budget(max_calls)
        self._cooldown = Cooldown(RetryPolicy())
        self._holders: dict[int, Holder] = {}
        self._ceiling = inf
        self._announced = 0

    def lease(self, worker: int, request: Request, now: float) -> Lease:
        """
        Take the report of *worker*, and return calls if it wants any.
        """
        holder = self._holders.setdefault(worker, Holder())
        self._take_report(holder, request, now)
        if not request.wanted or holder.is_lost:
            return self._none(now)
        if self._budget.is_spent:
            # Others may still return what they hold.
            waits = any(each.outstanding > 0 for each in self._living if each is not holder)
            return self._none(now, retry_in=_RETURN_DELAY, is_spent=not waits)
        pause = self._cooldown.until - now
        if pause > 0:
            return self._none(now, retry_in=pause)
        ahead = self._limit.ready_at() - now
        if ahead > _HORIZON:
            return self._none(now, retry_in=ahead - _HORIZON)
        room = self._ceiling - self.leased
        if room < 1:
            return self._none(now, retry_in=_CEILING_DELAY)
        calls = int(min(room, self._size(request.wanted)))
        for _ in range(calls):
            self._limit.take(now)
            self._budget.take()
        holder.granted += calls
        return Lease(
            calls=calls,
            start_in=max(0.0, ahead),
            every=1 / self._rate if self._rate else 0.0,
            left=self._budget.left,
            report_in=self._report_in,
        )

    def lose(self, worker: int) -> None:
        """
        Note that *worker* is gone: what it holds is spent.
        """
        self._holders.setdefault(worker, Holder()).is_lost = True

    def announce(self) -> int:
        """
        Return what the ceiling is to be, to be told the driver; it is never lowered.
        """
        self._announced = max(self._announced, self.leased + self._allowance)
        return self._announced

    def allow(self, ceiling: int) -> None:
        """
        Note that the driver knows of *ceiling*.  Without a driver there is none.
        """
        self._ceiling = ceiling

    @property
    def is_near_ceiling(self) -> bool:
        """
        Whether the driver should be told of a higher one before it is reached.
        """
        return self._ceiling - self.leased < self._allowance / 2

    @property
    def calls(self) -> int:
        """
        Calls made; those leased to workers that are gone are taken for made.
        """
        return sum(each.last.used for each in self._holders.values()) + self.unaccounted

    @property
    def leased(self) -> int:
        """
        Calls that were leased and not returned.
        """
        return self._budget.calls

    @property
    def unaccounted(self) -> int:
        """
        Of the calls, those that were leased to workers that are gone, and perhaps not made.
        """
        return sum(each.outstanding for each in self._holders.values() if each.is_lost)

    def total(self, name: str) -> int:
        """
        Return the sum of what workers have reported as *name*, a field of `Request`.
        """
        return sum(getattr(each.last, name) for each in self._holders.values())

    @property
    def in_flight(self) -> int:
        """
        Requests of living workers that have started and not finished.
        """
        return sum(each.last.in_flight for each in self._living)

    @property
    def _living(self) -> list[Holder]:
        return [each for each in self._holders.values() if not each.is_lost]

    @property
    def _allowance(self) -> int:
        """
        Calls that workers may want until the driver is heard again: twice what they did at last.
        """
        wanted = max(_LEAST_ALLOWANCE, 2 * sum(each.wanted for each in self._living))
        if self._rate:
            wanted = min(wanted, ceil(self._rate) + 1)
        left = self._budget.left
        return wanted if left is None else min(wanted, left)

    @property
    def _report_in(self) -> float:
        return max(_HEARTBEAT, len(self._living) / _REPORTS)

    def _take_report(self, holder: Holder, request: Request, now: float) -> None:
        if holder.is_lost:
            return  # What it holds is counted as spent.
        if request.answered > holder.last.answered and now >= self._cooldown.until:
            self._cooldown.reset()
        for _ in range(request.returned - holder.last.returned):
            self._budget.give_back()
            self._limit.give_back()
        for retry_after in request.refusals:
            self._cooldown.trip(now, retry_after)
        holder.wanted = request.wanted or holder.wanted
        holder.last = request

    def _size(self, wanted: int) -> int:
        sharing = max(1, len(self._living))
        calls = min(wanted, _MOST)
        if self._rate:
            calls = min(calls, ceil(self._rate * WORTH / sharing))
        if (left := self._budget.left) is not None:
            calls = min(calls, ceil(left / (2 * sharing)))
        return max(1, calls)

    def _none(self, now: float, *, retry_in: float = 0.0, is_spent: bool = False) -> Lease:
        return Lease(
            pause=max(0.0, self._cooldown.until - now),
            retry_in=retry_in,
            is_spent=is_spent,
            left=self._budget.left,
            report_in=self._report_in,
        )
