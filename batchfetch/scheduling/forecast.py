"""
Estimate of a batch's calls, time and cost before its first request.
"""

import math
from dataclasses import dataclass

from batchfetch.settings import Polling, Settings

_WASTE_PER_TASK = {Polling.THRIFTY: 0.03, Polling.PROMPT: 1.6}
"""Wasted calls for each task that is unfinished at the start."""

_WASTE_PER_ROOT = 2.0
"""Further wasted calls for each unit of √tasks: for learning, and for polling the last tasks more
often."""

_SECONDS_PER_CALL = 0.1
"""Assumed duration of a call."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    Estimated calls, time and cost of a batch.
    """

    tasks: int
    """Tasks to fetch."""

    least_calls: int
    """Calls if every image is ready when its task is first polled."""

    expected_calls: int
    """Calls if no task has been processed at the start."""

    expected_seconds: float
    """Duration of the expected calls, if the service processes the tasks fast enough."""

    least_cost: float | None
    """Cost of `least_calls`, in the currency of the price per call; None without a price."""

    expected_cost: float | None
    """Cost of `expected_calls`, in the same currency; None without a price."""


def estimate(tasks: int, settings: Settings) -> Forecast:
    """
    Estimate the calls, time and cost of fetching a number of *tasks* with *settings*.

    Source of the coefficients: simulated batches of all sizes behind a queue (see
    `tests/support/simulation.py`).  The actual numbers depend on the speed of the service, which is
    not known before the run.
    """
    waste = _WASTE_PER_TASK[settings.polling] * tasks + _WASTE_PER_ROOT * math.sqrt(tasks)
    calls = tasks + round(waste)
    calls_per_second = settings.concurrency / _SECONDS_PER_CALL
    price = settings.price_per_call
    return Forecast(
        tasks=tasks,
        least_calls=tasks,
        expected_calls=calls,
        expected_seconds=calls / min(calls_per_second, settings.rate_share or math.inf),
        least_cost=None if price is None else price * tasks,
        expected_cost=None if price is None else price * calls,
    )
