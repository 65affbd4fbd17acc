"""
Truncated exponential back-off with full jitter.  Pure: nothing here sleeps or reads a clock.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

Spread = Callable[[float, float], float]
"""Draws a number between two others; `random.uniform`, unless a test wants to know which."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How often to ask again after something broke, and after how long.

    Truncated exponential back-off with full jitter: for `initial=1`, `maximum=5`, `multiplier=2`
    the ceilings are `1, 2, 4, 5, 5, …` and each delay is drawn from between zero and its ceiling.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    attempts: int = 5
    initial: float = 1.0
    maximum: float = 60.0
    multiplier: float = 2.0
    spread: Spread = random.uniform

    def gives_up(self, faults: int) -> bool:
        """
        Whether *faults* in a row are enough.
        """
        return faults >= self.attempts

    def delay(self, faults: int) -> float:
        """
        Return the seconds to wait after the last of *faults* in a row (from 1).
        """
        return self.spread(0.0, self.ceiling(faults))

    def ceiling(self, faults: int) -> float:
        """
        Return the most seconds to wait after the last of *faults* in a row (from 1).
        """
        ceiling = min(self.initial, self.maximum)
        for _ in range(faults - 1):  # Multiplied and clamped: a power would overflow.
            if ceiling >= self.maximum:
                break
            ceiling = min(ceiling * self.multiplier, self.maximum)
        return ceiling
