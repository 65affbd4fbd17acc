"""
What a call is worth, and what follows for one task that is known to be unfinished.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from batchfetch.models import JobState
from batchfetch.scheduling.hazard import HazardEstimator
from batchfetch.settings import Polling

_PRICES: Mapping[Polling, float] = MappingProxyType({Polling.THRIFTY: 0.005, Polling.PROMPT: 2.0})
"""λ₀: the calls it is worth to have one image a second earlier."""

_BATCH_PRICE = 4.0
"""Λ: the calls it is worth to have the whole batch a second earlier."""

_NEGLIGIBLE = 0.05
"""A share of unfinished tasks that is not worth waiting for at any price."""

SHORTEST_WAIT = 0.5
"""Seconds.  A call takes some tenths of one anyway."""

LONGEST_WAIT = 45.0
"""Seconds until a front is looked for again: images should not lie for much over a minute."""

_DOUBLING = 20.0
"""Seconds more than a task has been unfinished for, after which it is asked again at any price."""

_LAST_MINUTES = 15.0
"""Seconds between questions about a task whose result is about to be deleted."""

_GOLDEN = (math.sqrt(5) - 1) / 2


class PollingPolicy:
    """
    Prices, and what follows from them for a task that is known to be unfinished.

    *patience* is in seconds from a task's first question; about then it is asked a last time.
    """

    def __init__(self, polling: Polling, *, patience: float) -> None:
        self._price = _PRICES[polling]
        self.patience = patience
        self.hazards = HazardEstimator()

    def price(self, left: float, *, scarce: bool = False) -> float:
        """
        Return λ when *left* tasks are left.  With *scarce* calls nothing is worth hurrying for.
        """
        if scarce:
            return min(_PRICES.values())
        return max(self._price, _BATCH_PRICE / max(left, 1.0))

    def due(self, state: JobState, price: float, *, expires: float = math.inf) -> float:
        """
        Return when to ask about *state* again, which is unfinished and whose result *expires*.
        """
        last = state.unfinished_at or 0.0
        first = last if state.first_asked is None else state.first_asked
        wait = math.sqrt(2 / (price * self.hazards.hazard(last - first)))
        # What was learned may be out of date.  Doubling bounds what that can cost.
        wait = min(wait, _DOUBLING + last - first)
        # Spread evenly, so that what the first of many teach comes in time for the others.
        wait *= 0.75 + 0.5 * (state.ordinal * _GOLDEN % 1)
        if last < expires:
            wait = min(wait, max((expires - last) / 2, _LAST_MINUTES))
        return max(last, min(last + max(wait, SHORTEST_WAIT), first + self.patience))

    def tolerance(self, price: float) -> float:
        """
        Return how many unfinished tasks may be met for every one that is ready.

        To wait a second saves a call for each unfinished one that becomes ready in it, which is the
        hazard, and costs the price for each that is ready already.
        """
        return max(_NEGLIGIBLE, price / self.hazards.hazard(0.0))
