"""
When an unfinished task is asked again.
"""

from random import Random

from batchfetch.models import Inquiry
from batchfetch.settings import Polling


class PollingPolicy:
    """
    Decide when an unfinished task is asked again.

    *patience* is in seconds from a task's first question; a task is never scheduled beyond it.
    """

    def __init__(self, polling: Polling, *, patience: float, random: Random) -> None:
        self._polling = polling
        self._patience = patience
        self._random = random

    def again(self, inquiry: Inquiry, now: float) -> float:
        """
        Return when to ask about *inquiry* again, unfinished at *now*.
        """
        first = now if inquiry.first_asked is None else inquiry.first_asked
        ceiling = min(30.0, max(2.0, now - first))
        due = now + ceiling * (0.75 + 0.5 * self._random.random())
        return max(now, min(due, first + self._patience))
