"""
Truncated exponential back-off with full jitter; nothing here sleeps or reads a clock.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

Spread = Callable[[float, float], float]
"""Draws a number between two others; `random.uniform`, or a fixed choice in tests."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How often to repeat a failed request, and after which delays.

    Truncated exponential back-off with full jitter: for `initial=1`, `maximum=5`, `multiplier=2`
    the ceilings are `1, 2, 4, 5, 5, …` seconds, and each delay is drawn between zero and its
    ceiling.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    attempts: int = 5
    initial: float = 1.0
    maximum: float = 60.0
    multiplier: float = 2.0
    spread: Spread = random.uniform

    def gives_up(self, faults: int) -> bool:
        """
        Whether a request that failed *faults* times in a row is not repeated.
        """
        return faults >= self.attempts

    def delay(self, faults: int) -> float:
        """
        Return the seconds to wait after *faults* failures in a row (at least 1).
        """
        return self.spread(0.0, self.ceiling(faults))

    def ceiling(self, faults: int) -> float:
        """
        Return the most seconds to wait after *faults* failures in a row (at least 1).
        """
        ceiling = min(self.initial, self.maximum)
        for _ in range(faults - 1):  # Multiplied step by step, because a power could overflow.
            if ceiling >= self.maximum:
                break
            ceiling = min(ceiling * self.multiplier, self.maximum)
        return ceiling
