"""
Sweep over a queue: polls tasks in order until too many are unfinished.
"""

import math

from batchfetch.scheduling.policy import LONGEST_WAIT, SHORTEST_WAIT, PollingPolicy


class Sweep:
    """
    Decides when the sweeps of a queue begin, how many requests each has in flight, and its end.

    A sweep begins with a small credit.  A ready task adds the policy's tolerance to the credit, an
    unfinished one subtracts 1, and the sweep ends when the credit is below 0.

    The requests in flight when a sweep reaches its end are wasted.  Their number is therefore
    limited to the tasks that must have become ready since the last sweep, at the measured rate.
    Beyond that number a sweep continues with few requests in flight, and more the more it finds.
    """

    _FIRST = 4
    """Requests in flight at the start, and more for each ready task, until the first unfinished."""
    _GROWTH = 1 / 16
    """The least increase of the requests in flight for each ready task beyond the expected ones."""
    _CREDIT = 1.0
    """The credit at the start of a sweep."""
    _MOST_CREDIT = 4.0
    """The highest credit, so that many ready tasks do not pay for many unfinished ones."""

    def __init__(self, policy: PollingPolicy) -> None:
        self._policy = policy
        self.is_open = True
        self.opens_at = -math.inf
        self.in_flight = 0
        self._credit = self._CREDIT
        self._found = self._missed = 0
        self._sweep = 1
        self._expected_at_start = 0.0
        # Measured in past sweeps: ready tasks per second, and unfinished tasks per sweep.
        self._rate = 0.0
        self._misses = 2.0
        self._wait = self._limit = 1.5
        self._closed_at: float | None = None
        self._span = 0.0

    @property
    def ended(self) -> float:
        """
        When the last sweep ended.
        """
        return -math.inf if self._closed_at is None else self._closed_at

    def asked(self, now: float) -> int:
        """
        Record a request for the next task of the queue, and return the number of the sweep.
        """
        self.in_flight += 1
        if self._closed_at is None:
            self._closed_at = now
        return self._sweep

    def answered(
        self, sweep: int, now: float, price: float, length: int, *, ready: bool | None
    ) -> None:
        """
        Record the answer to a request of the sweep numbered *sweep*.

        *ready* is None if the answer does not tell whether the task is ready.  *length* is the
        number of tasks in the queue.
        """
        if sweep != self._sweep:
            return  # The request belongs to an earlier sweep, whose end is known already.
        self.in_flight -= 1
        if ready is None:
            return
        if ready:
            self._found += 1
            if self._credit < self._MOST_CREDIT:
                self._credit += self._policy.tolerance(price)
        else:
            self._missed += 1
            self._credit -= 1
        if not self.is_open:
            self.plan(price, length)
        elif self._credit < 0:
            self.close(now, price, length)

    def close(self, now: float, price: float, length: int) -> None:
        """
        End the sweep, and plan the next one.
        """
        self.is_open = False
        self._span = max(now - (self._closed_at or 0.0), 0.1)
        self._closed_at = now
        self._limit = 2 * self._wait  # At first the rate is not known, so waits at most double.
        self.plan(price, length)

    def plan(self, price: float, length: int) -> None:
        """
        Set the time at which the next sweep begins, from the current estimates.
        """
        if self.is_open or self._closed_at is None:
            return
        rate, misses = self._measured()
        # Lower bounds: the hazard of the next task, and all tasks becoming ready within patience.
        policy = self._policy
        rate = max(rate, policy.hazards.hazard(0.0), length / policy.patience)
        wait = math.sqrt(2 * misses / (price * rate))
        self._wait = min(max(wait, SHORTEST_WAIT), self._limit, LONGEST_WAIT)
        self.opens_at = self._closed_at + self._wait

    def opens(self, now: float) -> bool:
        """
        Begin a sweep if it is due, and return whether one began.
        """
        if self.is_open or now < self.opens_at:
            return False
        self._rate, self._misses = self._measured()
        self.is_open = True
        self._sweep += 1
        self.in_flight = 0
        self._credit = self._CREDIT
        self._found = self._missed = 0
        self._expected_at_start = self._expected(now)
        return True

    def admits(self, now: float, price: float) -> bool:
        """
        Whether one more task of the queue may be polled.
        """
        if not self.is_open:
            return False
        if self._sweep == 1 and not self._missed:
            return self.in_flight < self._FIRST * (1 + self._found)
        if self._found + self._missed + self.in_flight < self._expected(now):
            return True
        growth = min(max(self._policy.tolerance(price), self._GROWTH), 1.0)
        return self.in_flight < 1 + growth * max(0.0, self._found - self._expected_at_start)

    def _measured(self) -> tuple[float, float]:
        """
        Return the tasks that became ready per second, and the unfinished tasks polled per sweep.
        """
        rate, misses = self._found / self._span, (self._misses + self._missed) / 2
        # Tasks found by the first sweep became ready over an unknown time, so they give no rate.
        return (rate if self._sweep <= 2 else (self._rate + rate) / 2), misses

    def _expected(self, now: float) -> float:
        """
        Return the expected number of tasks that became ready since the last sweep, less one
        standard deviation (that of a Poisson distribution).
        """
        if self._sweep < 3 or self._closed_at is None:
            return 0.0
        mean = self._rate * (now - self._closed_at)
        return mean - math.sqrt(mean)
