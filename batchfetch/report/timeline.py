"""
Counts over time in bounded memory: the longer the time, the wider the steps.
"""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

_MOST_STEPS = 1024

# Places in the counts of a step.
_IMAGES, _OTHERS, _CALLS = range(3)


class Step(NamedTuple):
    """
    What happened from *at* (Unix time) on, until the next step.
    """

    at: float
    images: int
    others: int
    """Tasks that ended in another way."""

    calls: int


class Timeline:
    """
    Images, other outcomes and calls by time.  A step is one second wide, then two, four …
    """

    def __init__(self) -> None:
        self.width = 1
        """Seconds of a step."""

        self.counts: dict[int, list[int]] = {}
        """Images, others and calls, by the step's time divided by the width."""

        self.first = float("inf")
        self.last = float("-inf")
        self.silence = 0.0
        """The longest time between two outcomes, in seconds."""

        self.silent_from: float | None = None
        """When that began."""

        self._previous: float | None = None

    def add(self, asked: float, ended: float, *, calls: int, is_image: bool) -> None:
        """
        Add a task that was asked about first at *asked* and decided at *ended*; NaN if not known.

        The first of its calls was made at *asked*.  When the others were is in no report; they
        count as made at the end.
        """
        if isnan(ended):
            return
        begin = ended if isnan(asked) or asked > ended else asked
        self._note_silence(ended)
        self.first, self.last = min(self.first, begin), max(self.last, ended)
        self._count(ended, _IMAGES if is_image else _OTHERS, 1)
        if calls:
            self._count(begin, _CALLS, 1)
        if calls > 1:
            self._count(ended, _CALLS, calls - 1)
        if len(self.counts) > _MOST_STEPS:
            self.widen()

    def merge(self, other: "Timeline") -> None:
        """
        Add what *other* has, which was at the same time.
        """
        for at, images, others, calls in other.steps():
            self._count(at, _IMAGES, images)
            self._count(at, _OTHERS, others)
            self._count(at, _CALLS, calls)
        while self.width < other.width:
            self.widen()
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)

    def steps(self) -> Sequence[Step]:
        """
        Return what happened in the steps in which something did, in order.
        """
        return [Step(float(step * self.width), *self.counts[step]) for step in sorted(self.counts)]

    def widen(self) -> None:
        """
        Make the steps twice as wide.
        """
        self.width *= 2
        counts, self.counts = self.counts, {}
        for step, added in counts.items():
            found = self.counts.setdefault(step // 2, [0, 0, 0])
            for place, count in enumerate(added):
                found[place] += count

    def _count(self, at: float, what: int, count: int) -> None:
        self.counts.setdefault(int(at) // self.width, [0, 0, 0])[what] += count

    def _note_silence(self, ended: float) -> None:
        # Lines are in the order of time, or nearly so.
        previous = ended if self._previous is None else self._previous
        if ended - previous > self.silence:
            self.silence, self.silent_from = ended - previous, previous
        self._previous = max(previous, ended)
