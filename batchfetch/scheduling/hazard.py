"""
Estimator of the rate at which unfinished tasks become ready, by age.
"""

import math

_STUCK_SHARE = 0.001
"""The assumed share of tasks that never become ready."""


class HazardEstimator:
    """
    Estimates the hazard of unfinished tasks from a prior and the observations of this run.

    The age of a task is the seconds since its first request.  Ages are grouped into classes of
    doubling width.  The hazard of a class is its events (tasks that became ready) divided by the
    seconds during which its tasks were observed, each including the weight of the prior.
    """

    _CLASSES = 24
    _PRIOR_EVENTS = 2.0
    """Weight of the prior, as a number of events."""
    _MAX_EVENTS = 64.0
    """Events at which a class is halved, so that it follows changes in the service's speed."""

    def __init__(self) -> None:
        self._events = [0.0] * self._CLASSES
        self._seconds = [0.0] * self._CLASSES

    def hazard(self, age: float) -> float:
        """
        Return the rate, per second, at which unfinished tasks of *age* become ready.
        """
        k = self._class(age)
        prior_seconds = self._PRIOR_EVENTS / _prior_hazard(age)
        return (self._PRIOR_EVENTS + self._events[k]) / (prior_seconds + self._seconds[k])

    def learn(self, age: float, seconds: float, *, ready: bool) -> None:
        """
        Record whether a task that was unfinished at *age* was *ready* at its next poll, *seconds*
        later.

        The time at which it became ready is not observed and is replaced by its mean under the
        current estimate: the expectation step of the EM algorithm for interval-censored data.
        Source: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM
        Algorithm", Journal of the Royal Statistical Society B 39 (1977).
        """
        k = self._class(age)
        if ready:
            seconds = _mean_lifetime(self.hazard(age), seconds)
            self._events[k] += 1
        self._seconds[k] += seconds
        if self._events[k] > self._MAX_EVENTS:
            self._events[k] /= 2
            self._seconds[k] /= 2

    def _class(self, age: float) -> int:
        return min(int(math.log2(1 + age)), self._CLASSES - 1)


def _prior_hazard(age: float) -> float:
    """
    Return the hazard at *age*, in events per second, that is assumed without observations.

    The service's documentation says that processing takes "up to several seconds": the hazard is
    3 / (10 + age), which starts at 0.3 per second and falls with age.  It is multiplied by the
    probability that the task is not one of the few that never become ready, given its age.
    """
    unfinished = (1 + age / 10) ** -3  # Share of normal tasks older than *age* under that hazard.
    return 3 / (10 + age) * unfinished / (unfinished + _STUCK_SHARE)


def _mean_lifetime(hazard: float, limit: float) -> float:
    """
    Return the mean of an exponential lifetime with rate *hazard*, given that it is below *limit*.
    """
    x = hazard * limit
    if x < 1e-3:  # The difference below would consist of rounding errors.
        return limit / 2
    return 1 / hazard - (limit / math.expm1(x) if x < 500 else 0.0)
