"""
A hook that shows how far a run is, for notebooks and scripts.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batchfetch.hooks.base import Asked, Event, Settled
from batchfetch.models import OutcomeStatus


@dataclass(frozen=True, slots=True)
class Tally:
    """
    What a run has done so far.
    """

    asked: int
    """Questions that began."""

    outcomes: Mapping[OutcomeStatus, int]
    bytes: int
    """Of the images fetched."""

    @property
    def settled(self) -> int:
        """
        Tasks with an outcome.
        """
        return sum(self.outcomes.values())


class ProgressHook:
    """
    Calls *show* with a `Tally` when a task is settled, but no more than once in *every* seconds.

    The last tasks may fall into the pause: call `show_now` at the end.
    """

    def __init__(
        self,
        show: Callable[[Tally], object],
        *,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._every = every
        self._clock = clock
        self._shown_at = float("-inf")
        self._asked = 0
        self._outcomes: Counter[OutcomeStatus] = Counter()
        self._bytes = 0

    def __call__(self, event: Event, /) -> None:
        match event:
            case Asked():
                self._asked += 1
            case Settled(outcome=outcome):
                self._outcomes[outcome.status] += 1
                self._bytes += 0 if outcome.is_adopted else outcome.bytes or 0
                if self._clock() - self._shown_at >= self._every:
                    self.show_now()

    def show_now(self) -> None:
        """
        Show the tally as it stands.
        """
        self._shown_at = self._clock()
        self._show(Tally(self._asked, dict(self._outcomes), self._bytes))
