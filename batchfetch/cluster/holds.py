"""
Outages and pauses of a run on a cluster, from what its workers tell of theirs.
"""

from collections.abc import Collection
from math import inf

from batchfetch.hooks import Held, Hook, Paused, Resumed
from batchfetch.report import Interruptions


class Holds:
    """
    Records in *interruptions*, and tells *tell*, what stops all workers.

    A pause that one was asked for is kept by all.  Each holds by itself while it cannot reach the
    service; the run is held while all of them are.
    """

    def __init__(self, interruptions: Interruptions, tell: Hook | None) -> None:
        self._interruptions = interruptions
        self._tell = tell
        self._held: set[int] = set()
        self._held_since: float | None = None
        self._paused_until = -inf

    def pause(self, seconds: float, reason: str, now: float) -> None:
        """
        Note that a worker was asked for a pause of *seconds*.

        The others are mostly asked for the same one: it is told when it is new, or twice as long.
        """
        self._interruptions.pause(now, now + seconds, reason)
        before, self._paused_until = self._paused_until, max(self._paused_until, now + seconds)
        if seconds > 2 * (before - now):
            self._say(Paused(seconds, reason))

    def hold(
        self, worker: int, seconds: float, reason: str, now: float, at_work: Collection[int]
    ) -> None:
        """
        Note that *worker*, one of those *at_work*, is held for *seconds* at most.
        """
        self._held.add(worker)
        if self._held_since is None and self._held.issuperset(at_work):
            self._held_since = now
            self._interruptions.hold(now, now + seconds, reason)
            self._say(Held(seconds, reason))

    def resume(self, worker: int, now: float) -> None:
        """
        Note that *worker* goes on.
        """
        self._held.discard(worker)
        if self._held_since is not None:
            lasted, self._held_since = now - self._held_since, None
            self._interruptions.resume(now)
            self._say(Resumed(lasted))

    def forget(self, worker: int) -> None:
        """
        Note that *worker* is gone.
        """
        self._held.discard(worker)

    def _say(self, event: Paused | Held | Resumed) -> None:
        if self._tell is not None:
            self._tell(event)
