"""
What a batch will take, as far as that can be said before anything is asked.
"""

import math
from dataclasses import dataclass

from batchfetch.settings import Polling, Settings

_WASTE = {Polling.THRIFTY: 0.03, Polling.PROMPT: 1.6}
"""Calls that come too early, for each task that the service is still busy with."""

_WASTE_AT_THE_ENDS = 2.0
"""More of them, times the root of the number of tasks: to learn, and to hurry for the last."""

_SECONDS_A_CALL = 0.1


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    What a batch will take.
    """

    tasks: int
    """To be asked about."""

    least_calls: int
    """If every image is ready when it is asked for."""

    expected_calls: int
    """If the service still has them all before it."""

    expected_seconds: float
    """What so many calls take, if the service is not slower than that."""

    least_cost: float | None
    expected_cost: float | None
    """In the currency of the price; None if there is no price."""


def estimate(tasks: int, settings: Settings) -> Forecast:
    """
    Say what fetching *tasks* with *settings* will take.

    The shares are what the policy needs in simulated batches of all sizes behind a queue; what it
    really takes depends on the service, whose pace is not known before the run.
    """
    waste = _WASTE[settings.polling] * tasks + _WASTE_AT_THE_ENDS * math.sqrt(tasks)
    calls = tasks + round(waste)
    pace = settings.concurrency / _SECONDS_A_CALL
    price = settings.price_per_call
    return Forecast(
        tasks=tasks,
        least_calls=tasks,
        expected_calls=calls,
        expected_seconds=calls / min(pace, settings.rate or math.inf),
        least_cost=None if price is None else price * tasks,
        expected_cost=None if price is None else price * calls,
    )
