"""
Polling policy: the price of a call, and when to poll a task known to be unfinished.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from batchfetch.models import JobState
from batchfetch.scheduling.hazard import HazardEstimator
from batchfetch.settings import Polling

_PRICES: Mapping[Polling, float] = MappingProxyType({Polling.THRIFTY: 0.005, Polling.PROMPT: 2.0})
"""λ₀: the calls it is worth to fetch one image one second earlier."""

_BATCH_PRICE = 4.0
"""Λ: the calls it is worth to finish the whole batch one second earlier."""

_LEAST_TOLERANCE = 0.05
"""Unfinished tasks per ready task at which a sweep never ends, at any price."""

SHORTEST_WAIT = 0.5
"""Seconds.  A shorter wait gains little, because a call itself takes some tenths of a second."""

LONGEST_WAIT = 45.0
"""The most seconds between sweeps, so that ready images are fetched within about a minute."""

_DOUBLING = 20.0
"""Seconds that are added to a task's age to get the longest wait until its next poll."""

_EXPIRY_INTERVAL = 15.0
"""The shortest interval, in seconds, between polls of a task whose result is soon deleted."""

_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of the golden ratio conjugate, modulo 1, are spread evenly for any number of them."""


class PollingPolicy:
    """
    Computes the price λ, and from it the time of the next poll of an unfinished task.

    *patience* is the seconds from a task's first request to its last poll.
    """

    def __init__(self, polling: Polling, *, patience: float) -> None:
        self._price = _PRICES[polling]
        self.patience = patience
        self.hazards = HazardEstimator()

    def price(self, left: float, *, scarce: bool = False) -> float:
        """
        Return λ, in calls per second, when *left* tasks are left.

        If calls are *scarce*, it is the lowest price there is.
        """
        if scarce:
            return min(_PRICES.values())
        return max(self._price, _BATCH_PRICE / max(left, 1.0))

    def due(
        self,
        state: JobState,
        price: float,
        *,
        expires: float = math.inf,
        since: float | None = None,
        within: float = math.inf,
    ) -> float:
        """
        Return when to poll the unfinished task of *state* again.

        *expires* is the time at which the service deletes its result, *since* the one from which
        the task's age counts if that is not its first request, and *within* the longest wait.  All
        times are seconds on the run's monotonic clock.
        """
        last = state.unfinished_at or 0.0
        first = last if state.first_asked is None else state.first_asked
        age = max(last - (first if since is None else since), 0.0)
        wait = math.sqrt(2 / (price * self.hazards.hazard(age)))
        # The hazard may be outdated; at most doubling the age limits the delay if it is.
        wait = min(wait, _DOUBLING + age, within)
        # Tasks with the same wait are spread evenly, so that the later ones learn from the first.
        wait *= 0.75 + 0.5 * (state.ordinal * _GOLDEN % 1)
        if last < expires:
            wait = min(wait, max((expires - last) / 2, _EXPIRY_INTERVAL))
        return max(last, min(last + max(wait, SHORTEST_WAIT), first + self.patience))

    def tolerance(self, price: float) -> float:
        """
        Return the number of unfinished tasks per ready task up to which a sweep continues.

        It is λ / h: waiting one second saves h calls, the hazard, for each unfinished task, and
        costs λ for each ready one.
        """
        return max(_LEAST_TOLERANCE, price / self.hazards.hazard(0.0))
