"""
Say in the log, and to hooks, that a run is held and that it goes on.
"""

import logging

from batchfetch.hooks import Hook, Paused

log = logging.getLogger(__name__)


class HoldNotices:
    """
    The words about a hold; *tell* is told of each of its pauses.
    """

    def __init__(self, tell: Hook | None) -> None:
        self._tell = tell

    def begin(self, failure: str, limit: float) -> None:
        """
        Say that a run is held for *limit* seconds at most, because of *failure*.
        """
        log.warning(
            "no usable answer from the service (%s): the run is held, and one task at a time is"
            " asked about, for %s at most (--outage)",
            *(failure, duration(limit)),
        )

    def pause(self, failure: str, seconds: float) -> None:
        """
        Say that nothing is asked for some *seconds*.
        """
        if self._tell is not None:
            self._tell(Paused(max(0.0, seconds), failure))

    def end(self, held: float) -> None:
        """
        Say that the run goes on, after it was held for *held* seconds in all.
        """
        log.warning(
            "the service answers again: the run goes on, held for %s so far", duration(held)
        )


def duration(seconds: float) -> str:
    """
    Return *seconds* as a person says it.
    """
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.3g} s"
