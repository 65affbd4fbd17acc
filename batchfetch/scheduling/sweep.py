"""
Where the ready tasks end.
"""

import math

from batchfetch.scheduling.policy import LONGEST_WAIT, SHORTEST_WAIT, PollingPolicy


class Sweep:
    """
    Where, in a line of tasks, the ready ones end: when to look for it, and how far to go.

    A sweep begins with little credit.  A ready task adds the policy's tolerance to it, one that is
    unfinished takes 1, and below 0 the sweep ends.

    What is in flight when the front is reached is asked in vain.  So as many questions may be in
    flight as tasks must have become ready since the last sweep, at the rate seen so far; from there
    on a sweep goes carefully, and faster the more it finds.
    """

    _FIRST = 4
    """Questions in flight at first and for each ready task, until the first one is unfinished."""
    _GROWTH = 1 / 16
    """More questions in flight for each task found beyond what was expected, at least."""
    _CREDIT = 1.0
    """What a sweep begins with."""
    _MOST_CREDIT = 4.0
    """What it cannot save more than: a long run of ready tasks pays for no long run of others."""

    def __init__(self, policy: PollingPolicy) -> None:
        self._policy = policy
        self.is_open = True
        self.opens_at = -math.inf
        self.in_flight = 0
        self._credit = self._CREDIT
        self._found = self._missed = 0
        self._sweep = 1
        self._foreseen = 0.0
        # Of past sweeps.
        self._rate = 0.0
        self._misses = 2.0
        self._wait = self._limit = 1.5
        self._closed_at: float | None = None
        self._span = 0.0

    def asked(self, now: float) -> int:
        """
        Count a question about the next task of the line; return the number of the sweep.
        """
        self.in_flight += 1
        if self._closed_at is None:
            self._closed_at = now
        return self._sweep

    def answered(
        self, sweep: int, now: float, price: float, length: int, *, ready: bool | None
    ) -> None:
        """
        Take in an answer to *sweep*: the task is *ready*, or not, or that was not learned.

        *length* is how many tasks are still in the line.
        """
        if sweep != self._sweep:
            return  # So late that it says nothing of the front any more.
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
        End the sweep.
        """
        self.is_open = False
        self._span = max(now - (self._closed_at or 0.0), 0.1)
        self._closed_at = now
        self._limit = 2 * self._wait  # Careful at first: nothing is known about this service.
        self.plan(price, length)

    def plan(self, price: float, length: int) -> None:
        """
        Say when the next sweep begins, by what is known now.
        """
        if self.is_open or self._closed_at is None:
            return
        rate, misses = self._measured()
        # At least the next one is on its way, and all of them should be ready within the patience.
        policy = self._policy
        rate = max(rate, policy.hazards.hazard(0.0), length / policy.patience)
        wait = math.sqrt(2 * misses / (price * rate))
        self._wait = min(max(wait, SHORTEST_WAIT), self._limit, LONGEST_WAIT)
        self.opens_at = self._closed_at + self._wait

    def opens(self, now: float) -> bool:
        """
        Begin a sweep if it is time; return whether one began.
        """
        if self.is_open or now < self.opens_at:
            return False
        self._rate, self._misses = self._measured()
        self.is_open = True
        self._sweep += 1
        self.in_flight = 0
        self._credit = self._CREDIT
        self._found = self._missed = 0
        self._foreseen = self._expected(now)
        return True

    def admits(self, now: float, price: float) -> bool:
        """
        Whether one more task of the line may be asked about.
        """
        if not self.is_open:
            return False
        if self._sweep == 1 and not self._missed:
            return self.in_flight < self._FIRST * (1 + self._found)
        if self._found + self._missed + self.in_flight < self._expected(now):
            return True
        growth = min(max(self._policy.tolerance(price), self._GROWTH), 1.0)
        return self.in_flight < 1 + growth * max(0.0, self._found - self._foreseen)

    def _measured(self) -> tuple[float, float]:
        """
        Return tasks that became ready per second, and unfinished ones met per sweep.
        """
        rate, misses = self._found / self._span, (self._misses + self._missed) / 2
        # What the first sweep finds has gathered for an unknown time: no rate to average with.
        return (rate if self._sweep <= 2 else (self._rate + rate) / 2), misses

    def _expected(self, now: float) -> float:
        """
        Return how many tasks became ready since the last sweep, less one standard deviation.
        """
        if self._sweep < 3 or self._closed_at is None:
            return 0.0
        mean = self._rate * (now - self._closed_at)
        return mean - math.sqrt(mean)
