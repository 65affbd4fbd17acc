"""
Say in the log, and to hooks, that a run is held and that it goes on.
"""

import logging

from batchfetch.hooks import Held, Hook, Resumed
from batchfetch.report import Interruptions

log = logging.getLogger(__name__)


class HoldNotices:
    """
    The words about a hold; *tell* is told of it, and *interruptions* record it.
    """

    def __init__(self, tell: Hook | None, interruptions: Interruptions) -> None:
        self._tell = tell
        self._interruptions = interruptions

    def begin(self, failure: str, now: float, until: float) -> None:
        """
        Say that a run is held from *now* to *until* at most, because of *failure*.
        """
        log.warning(
            "no usable answer from the service (%s): the run is held, and tries one request at a"
            " time, for %s at most (--outage)",
            *(failure, duration(until - now)),
        )
        self._interruptions.hold(now, until, failure)
        if self._tell is not None:
            self._tell(Held(until - now, failure))

    def shorten(self, until: float) -> None:
        """
        Record that the present hold ends at *until* already.
        """
        self._interruptions.shorten(until)

    def give_up(self, failure: str, now: float, lasted: float) -> None:
        """
        Say that a hold that *lasted* so many seconds ends *now* without an answer: only tasks are
        left that fail with *failure*.
        """
        log.warning(
            "what is left fails as before (%s), and there is nothing else to try: each is tried"
            " --attempts times more",
            failure,
        )
        self._go_on(now, lasted)

    def end(self, now: float, lasted: float, held: float) -> None:
        """
        Say that the run goes on *now*, after a hold that *lasted* so many seconds; *held* are those
        of all holds.
        """
        log.warning(
            "the service answers again: the run goes on, held for %s so far", duration(held)
        )
        self._go_on(now, lasted)

    def _go_on(self, now: float, lasted: float) -> None:
        self._interruptions.resume(now)
        if self._tell is not None:
            self._tell(Resumed(lasted))


def duration(seconds: float) -> str:
    """
    Return *seconds* as a person says it.
    """
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.3g} s"
