"""
Estimator of the odds that an overtaken task becomes ready by waiting, from the run's own answers.
"""

import math

_PRIOR_ODDS = 0.25
"""The odds without observations."""

_MOST_OBSERVED = 32.0
"""Observations at which they are halved, so that the odds follow changes in the service."""

_RATES = tuple(0.001 * 2.0**k for k in range(10))
"""Rates per second at which tasks may have become ready since the start, equally probable."""

_LEAST_FACTOR, _MOST_FACTOR = 0.5, 100.0
"""Limits of the evidence from sampled tasks: the first keeps one lucky sample from deciding."""

_FEWEST_SAMPLES = 8
"""Samples below which they do not raise the odds."""

_SAMPLES = 256
"""Samples after which the rest is not evaluated: they would only confirm the first ones."""

_SCOUTS = 32
"""Overtaken tasks that are polled again early, so that the others learn from them."""

_SCOUTS_WITHIN = 6.0
"""Seconds over which the second requests of the scouts are spread."""

_MOST_WATCHED = 64
"""Overtaken tasks whose second answers are awaited at the same time."""


class OvertakenOdds:
    """
    Estimates the odds that a task with ready ones after it becomes ready if it is given time.

    High odds mean that the order of the queue is that of readiness, or that tasks become ready
    without order: waiting saves calls.  Low odds mean that such a task is stuck, and that it holds
    back the ready ones after it.  The odds are, as a ratio of counts,

        (prior · F + ready) / (1 + Σ p(w))

    Each overtaken task that was ready when polled again adds 1 to the ready ones.  One that was
    still unfinished after *w* seconds adds p(w), the probability that one that is not stuck would
    have been ready by then.  *F* is the Bayes factor between two explanations of the tasks that a
    survey polled at times *t* since the start: their ready share is 1 - exp(-rate · t), averaged
    over rates, or it is the same at all times.
    """

    def __init__(self) -> None:
        self._ready = 0.0
        self._stuck = 1.0
        self._factor = 1.0
        self._started: float | None = None
        # Numbers of unfinished and of ready samples, and the logarithms of the likelihoods.
        self._samples = [0, 0]
        self._constant = 0.0
        self._rising = [0.0] * len(_RATES)
        # Overtaken tasks, by ordinal, and the longest wait until the second request of each.
        self._watched: dict[int, float] = {}
        self._scouts = 0

    @property
    def value(self) -> float:
        """
        The odds, at most 1.
        """
        return min((_PRIOR_ODDS * self._factor + self._ready) / self._stuck, 1.0)

    def watch(self, ordinal: int) -> None:
        """
        Await the second answer to a task that was overtaken when it was polled for the first time.
        """
        if len(self._watched) >= _MOST_WATCHED:
            return
        self._scouts += 1
        early = self._scouts <= _SCOUTS
        self._watched[ordinal] = _SCOUTS_WITHIN * self._scouts / _SCOUTS if early else math.inf

    def longest_wait(self, ordinal: int) -> float:
        """
        Return the most seconds until the next request of a task; infinity if any wait will do.
        """
        return self._watched.get(ordinal, math.inf)

    def polled_again(self, ordinal: int, seconds: float, *, ready: bool | None) -> None:
        """
        Record the second answer to a watched task, *seconds* after the first; others are ignored.

        *ready* is None if the answer tells nothing.
        """
        if self._watched.pop(ordinal, None) is None or ready is None:
            return
        if ready:
            self._ready += 1
        else:
            self._stuck += _probability_ready(seconds)
            self._rising = [
                likelihood - rate * seconds
                for likelihood, rate in zip(self._rising, _RATES, strict=True)
            ]
            self._weigh()
        total = self._ready + self._stuck
        if total > _MOST_OBSERVED:
            self._ready *= _MOST_OBSERVED / 2 / total
            self._stuck *= _MOST_OBSERVED / 2 / total

    def sampled(self, now: float, *, ready: bool) -> None:
        """
        Record the first answer to a task of a survey, or a task that overtook others in a sweep.
        """
        if self._started is None:
            self._started = now
        count = sum(self._samples)
        if count >= _SAMPLES:
            return
        seconds = max(now - self._started, 0.1)
        self._constant += math.log((self._samples[ready] + 0.5) / (count + 1))
        self._samples[ready] += 1
        for k, rate in enumerate(_RATES):
            self._rising[k] += math.log(-math.expm1(-rate * seconds)) if ready else -rate * seconds
        self._weigh()

    def _weigh(self) -> None:
        most = max(self._rising)
        mean = sum(math.exp(each - most) for each in self._rising) / len(_RATES)
        logarithm = most + math.log(mean) - self._constant
        few = sum(self._samples) < _FEWEST_SAMPLES
        low, high = math.log(_LEAST_FACTOR), 0.0 if few else math.log(_MOST_FACTOR)
        self._factor = math.exp(min(max(logarithm, low), high))


def _probability_ready(seconds: float) -> float:
    """
    Return the probability that a task which is not stuck is ready *seconds* after its first poll.

    It is that of the hazard 3 / (10 + age), which `HazardEstimator` assumes without observations.
    """
    return 1 - (1 + seconds / 10) ** -3
