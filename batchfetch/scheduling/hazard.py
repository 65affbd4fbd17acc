"""
How long unfinished tasks stay unfinished.
"""

import math

_STUCK = 0.001
"""The share of tasks believed to be stuck for good."""


class HazardEstimator:
    """
    How long unfinished tasks stay unfinished: a prior, and what this run has shown.

    The age of a task is seconds since its first question.  Ages are learned in classes of doubling
    width.  The hazard in each is events, tasks that became ready, over the seconds that tasks were
    watched; both begin with what the prior imagines.
    """

    _CLASSES = 24
    _IMAGINED = 2.0
    """Events that the prior is worth."""
    _MEMORY = 64.0
    """Events after which old ones fade, because a service changes its pace."""

    def __init__(self) -> None:
        self._events = [0.0] * self._CLASSES
        self._seconds = [0.0] * self._CLASSES

    def hazard(self, age: float) -> float:
        """
        Return the rate, per second, at which unfinished tasks of *age* become ready.
        """
        k = self._class(age)
        imagined = self._IMAGINED / _prior_hazard(age)
        return (self._IMAGINED + self._events[k]) / (imagined + self._seconds[k])

    def learn(self, age: float, seconds: float, *, ready: bool) -> None:
        """
        Take in whether a task that was unfinished at *age* was *ready* some *seconds* later.

        When it became ready in between is not known, so its mean by what was believed so far stands
        in: the expectation step of the EM algorithm for censored lifetimes.
        """
        k = self._class(age)
        if ready:
            seconds = _mean_lifetime(self.hazard(age), seconds)
            self._events[k] += 1
        self._seconds[k] += seconds
        if self._events[k] > self._MEMORY:
            self._events[k] /= 2
            self._seconds[k] /= 2

    def _class(self, age: float) -> int:
        return min(int(math.log2(1 + age)), self._CLASSES - 1)


def _prior_hazard(age: float) -> float:
    """
    Return what is believed of the hazard at *age* before anything is known.

    "Up to several seconds", says the documentation: a third a second at first and less with age, as
    3 / (10 + age).  But a few tasks are stuck for good, and an old one is likely to be one of them.
    """
    alive = (1 + age / 10) ** -3  # The share of sound tasks that take longer, by that hazard.
    return 3 / (10 + age) * alive / (alive + _STUCK)


def _mean_lifetime(hazard: float, limit: float) -> float:
    """
    Return the mean of an exponential lifetime known to be below *limit*.
    """
    x = hazard * limit
    if x < 1e-3:  # The difference below would be rounding errors.
        return limit / 2
    return 1 / hazard - (limit / math.expm1(x) if x < 500 else 0.0)
