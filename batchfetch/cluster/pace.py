"""
A worker's `Pace`, drawn from the run's account on the scheduler.

It is exact about calls and lets the account be about time: of what is leased it starts what its own
limit of requests in flight allows, and returns what it did not start in time.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from batchfetch.cluster.account import Lease, Request
from batchfetch.scheduling import RetryPolicy
from batchfetch.scheduling.pacing import ConcurrencyLimit, Cooldown

# Seconds after its time in which a leased call may still be made; later it is returned.  Without a
# rate it has no time, and is only not kept from others.
_LATE = 0.1
_IDLE = 1.0

# Seconds of what it does now for which a worker without a rate asks at once.
_AHEAD = 0.2


@dataclass(slots=True)
class _Permits:
    """
    Calls of one lease: *calls*, the first at *start*, the others *every* so many seconds.
    """

    calls: int
    start: float
    every: float


class LeasedPace:
    """
    The `Pace` of a worker, of *slots* requests in flight at most; the rest is leased.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._concurrency = ConcurrencyLimit(slots)
        self._cooldown = Cooldown(RetryPolicy())
        self._permits: deque[_Permits] = deque()
        self._changed: Callable[[], None] = lambda: None
        self._used = self._returned = self._answered = 0
        self._refusals: list[float | None] = []
        self._is_spent = False
        self._left: int | None = None
        self._is_wanting = False
        self._asked_last = (0.0, 0)
        self._retry_at = -inf
        self._report_at = inf
        self.needs_lease = asyncio.Event()
        """Set when the account should be asked or told something at once."""

    @property
    def calls(self) -> int:
        """
        See `Pace.calls`.
        """
        return self._used

    @property
    def calls_left(self) -> int | None:
        """
        See `Pace.calls_left`.  It is 0 only if no call of the whole run will ever be left.
        """
        if self._is_spent:
            return self._held
        return None if self._left is None else max(1, self._left + self._held)

    @property
    def in_flight(self) -> int:
        """
        See `Pace.in_flight`.
        """
        return self._concurrency.in_flight

    @property
    def limit(self) -> int:
        """
        See `Pace.limit`.
        """
        return self._concurrency.limit

    @property
    def cooling_until(self) -> float:
        """
        See `Pace.cooling_until`.
        """
        return self._cooldown.until

    def listen(self, changed: Callable[[], None]) -> None:
        """
        See `Pace.listen`.
        """
        self._changed = changed

    def held_until(self, now: float) -> float | None:
        """
        See `Pace.held_until`.  If nothing is leased, a lease is asked for.
        """
        self._return_late(now)
        if not self._concurrency.is_open:
            return inf
        if self._held <= self.slots // 4:
            self._want(now)
        if not self._permits:
            return inf
        ready_at = max(self._permits[0].start, self._cooldown.until)
        return ready_at if ready_at > now else None

    def start(self, now: float) -> None:
        """
        See `Pace.start`.
        """
        permits = self._permits[0]
        permits.calls -= 1
        permits.start = (permits.start if permits.every else now) + permits.every
        if not permits.calls:
            self._permits.popleft()
        self._used += 1
        self._concurrency.in_flight += 1

    def give_back(self) -> None:
        """
        See `Pace.give_back`.
        """
        self._used -= 1
        self._returned += 1

    def finish(self) -> None:
        """
        See `Pace.finish`.
        """
        self._concurrency.in_flight -= 1

    def answered(self) -> None:
        """
        See `Pace.answered`.
        """
        self._answered += 1
        self._concurrency.grow()
        self._cooldown.reset()

    def overloaded(self, asked_at: float, now: float) -> None:
        """
        See `Pace.overloaded`.
        """
        self._concurrency.shrink(asked_at, now)

    def cool_down(self, now: float, retry_after: float | None) -> None:
        """
        See `Pace.cool_down`.  The account is told at once, for the others.
        """
        self._cooldown.trip(now, retry_after)
        self._refusals.append(retry_after)
        self.needs_lease.set()

    def request(self, now: float) -> Request:
        """
        Return what to report and to ask for at *now*.
        """
        self._return_late(now)
        refusals, self._refusals = tuple(self._refusals), []
        wanted = 0
        if self._is_wanting and now >= self._retry_at:
            since, used = self._asked_last
            speed = (self._used - used) / max(now - since, _AHEAD / 4)
            wanted = max(self.slots, int(speed * _AHEAD))
            self._asked_last = now, self._used
        return Request(
            wanted=wanted,
            used=self._used,
            returned=self._returned,
            answered=self._answered,
            in_flight=self.in_flight,
            refusals=refusals,
        )

    def take(self, lease: Lease, now: float) -> None:
        """
        Take the *lease* that was given for the last request, at *now*.
        """
        self._left, self._is_spent = lease.left, lease.is_spent
        self._report_at = now + lease.report_in
        if lease.pause > 0:
            self._cooldown.trip(now, lease.pause)
        if lease.calls:
            self._permits.append(_Permits(lease.calls, now + lease.start_in, lease.every))
        if lease.calls or lease.is_spent:  # Else what was wanted since then still is.
            self._is_wanting = False
        if lease.retry_in:
            self._retry_at = now + lease.retry_in
        if lease.calls or lease.is_spent:
            # Not otherwise: a worker with nothing to ask would lease again and again.
            self._changed()

    def next_report(self, now: float) -> float:
        """
        Return the seconds from *now* until the account is to be asked or told something.
        """
        at = self._report_at
        if self._is_wanting:
            at = min(at, max(now, self._retry_at))
        for permits in self._permits:
            at = min(at, permits.start + (_LATE if permits.every else _IDLE))
        return max(0.0, at - now)

    def return_all(self) -> None:
        """
        Return what is leased and not used.
        """
        self._returned += self._held
        self._permits.clear()

    @property
    def _held(self) -> int:
        return sum(permits.calls for permits in self._permits)

    def _want(self, now: float) -> None:
        if not self._is_wanting and not self._is_spent:
            self._is_wanting = True
            if now >= self._retry_at:
                self.needs_lease.set()

    def _return_late(self, now: float) -> None:
        late = 0
        while self._permits:
            permits = self._permits[0]
            if not permits.every:
                if now <= permits.start + _IDLE:
                    break
                late += permits.calls
                self._permits.popleft()
                continue
            if now <= permits.start + _LATE:
                break
            permits.calls -= 1
            permits.start += permits.every
            late += 1
            if not permits.calls:
                self._permits.popleft()
        if late:
            self._returned += late
            self.needs_lease.set()
