"""
Decide when a run is held because the service cannot be reached, and for how long.

A run is held when three connections in a row could not be made, or when as many requests in a row
as may be in flight (at least ten) were answered with nothing but failures, or when there is no
token.  While it is held one request at a time probes the service, after growing pauses.

A task that failed before others were answered is known to fail by itself: it is no evidence of an
outage when it fails again.  Where no task is left but failing ones, a hold is short.

Nothing here sleeps or reads a clock: callers pass the current time, in seconds on a monotonic
clock.
"""

from collections.abc import Hashable
from dataclasses import replace
from math import inf

from batchfetch.scheduling.retry import RetryPolicy

_CONNECTIONS = 3
"""Connections in a row that could not be made, after which a run is held."""

_LEAST_FAILURES = 10
"""Failures in a row after which a run is held, if not more requests than that may be in flight."""

_LEAST_TASKS = 3
"""Tasks that the failures must belong to: the failures of one or two say little about others."""

_LEFT_ALONE = 60.0
"""The most seconds of a hold when no task is left that has not failed."""

_LONGEST_PAUSE = 30.0
_SHORTEST_PAUSE = 0.1
"""Bounds of the seconds between two probes."""


class Outage:
    """
    The failures in a row, and the hold that follows from them.

    A hold ends after *limit* seconds, or *first_limit* if the service has not answered before.
    *slots* is the most requests in flight, *pauses* gives the times between probes.
    """

    def __init__(
        self, *, limit: float, slots: int, pauses: RetryPolicy, first_limit: float = inf
    ) -> None:
        self._limit = limit
        self._first_limit = first_limit
        self._threshold = max(_LEAST_FAILURES, slots)
        self._pauses = replace(pauses, maximum=min(pauses.maximum, _LONGEST_PAUSE))
        self._was_answered = False
        self._last_good = -inf  # When the last request that was answered was asked.
        # The failures in a row: when the first of them was asked, and what they were.
        self._since: float | None = None
        self._failures = 0
        self._unconnected = 0
        self._tasks: set[Hashable] = set()
        # The hold: when it began and will be over, and its probes.
        self._began_at: float | None = None
        self._is_probing = False
        self._probes = 0
        self._next_probe = inf
        self._is_left_alone = False
        self._held = 0.0
        self.ends_at = inf
        """When the hold is over, answered or not; infinite without a hold."""

        self.answered_at = -inf
        """When the last hold ended."""

    @property
    def is_held(self) -> bool:
        """
        Whether nothing may be asked but a probe.
        """
        return self._began_at is not None

    @property
    def is_suspected(self) -> bool:
        """
        Whether the last request failed.
        """
        return self._since is not None

    @property
    def is_left_alone(self) -> bool:
        """
        Whether the hold is a short one, because no task is left that has not failed.
        """
        return self._is_left_alone

    @property
    def wants_another(self) -> bool:
        """
        Whether the next probe is to be about a task that has not failed: every other one is.
        """
        return self.is_held and self._probes % 2 == 1

    @property
    def next_probe(self) -> float:
        """
        When the next probe may begin.
        """
        return self._next_probe

    def held(self, now: float) -> float:
        """
        Return the seconds for which the run was held by *now*, all holds together.
        """
        return self._held + self.held_for(now)

    def held_for(self, now: float) -> float:
        """
        Return the seconds for which the present hold has lasted; 0 without one.
        """
        return 0.0 if self._began_at is None else now - self._began_at

    def held_until(self, now: float) -> float | None:
        """
        Return the time before which no request may start, or None if one may start *now*.

        The time is infinite if it depends on the answer to a probe.
        """
        if self._began_at is None:
            return None
        if self._is_probing:
            return inf
        return None if now >= self._next_probe else self._next_probe

    def is_over(self, now: float) -> bool:
        """
        Whether the service has not answered for as long as a hold may last.
        """
        return not self._is_probing and now >= self.ends_at

    def failed(
        self,
        task: Hashable,
        asked_at: float,
        now: float,
        *,
        connected: bool,
        before: float | None = None,
    ) -> bool:
        """
        Record that a request about *task* failed; return whether the run is held from now on.

        *connected* says whether the request was sent, *before* when the first one about this task
        was asked that failed, if there was one.
        """
        if self._since is None:
            self._since = asked_at
        self._unconnected += not connected
        if not connected or before is None or before >= self._last_good:
            self._failures += 1
            if len(self._tasks) < _LEAST_TASKS:
                self._tasks.add(task)
        if self._began_at is not None:
            return False
        widespread = self._failures >= self._threshold and len(self._tasks) >= _LEAST_TASKS
        if not widespread and self._unconnected < _CONNECTIONS:
            return False
        self._begin(now)
        return True

    def blocked(self, now: float) -> bool:
        """
        Record that nothing can be asked, for want of a token; return whether the hold is new.
        """
        if self._since is None:
            self._since = now
        if self._began_at is not None:
            return False
        self._begin(now)
        return True

    def answered(self, asked_at: float, now: float) -> bool:
        """
        Record an answer that was no failure; return whether it ends a hold.

        It counts if it was asked for after the first of the failures in a row, or after the hold
        began: one that was on its way before says nothing about the service since.
        """
        self._was_answered = True
        self._last_good = max(self._last_good, asked_at)
        since = self._since if self._began_at is None else self._began_at
        if since is None or asked_at < since:
            return False
        return self._end(now)

    def leave_alone(self, *, failed_earlier: bool) -> None:
        """
        Record that no task is left that has not failed, and make the hold short if that may be
        because of the tasks: if the service was answering others, or if all of them *failed
        earlier*, in another run.
        """
        if self._began_at is None or self._unconnected or self._is_left_alone:
            return
        if self._was_answered or failed_earlier:
            self._is_left_alone = True
            self.ends_at = min(self.ends_at, self._began_at + _LEFT_ALONE)
            self._next_probe = min(self._next_probe, self.ends_at)

    def give_up(self, now: float) -> None:
        """
        End the hold without an answer: from now on the tasks are known to fail by themselves.
        """
        self._last_good = now
        self._end(now)

    def probe(self) -> None:
        """
        Record that a probe begins.
        """
        self._is_probing = True

    def probed(self, now: float) -> None:
        """
        Record that a probe is over and has not ended the hold.
        """
        self._is_probing = False
        self._plan(now)

    def _end(self, now: float) -> bool:
        """
        End the row of failures, and the hold; return whether there was one.
        """
        self._since = None
        self._failures = self._unconnected = 0
        self._tasks.clear()
        if self._began_at is None:
            return False
        self._held = self.held(now)
        self._began_at = None
        self._is_probing = self._is_left_alone = False
        self.ends_at = inf
        self.answered_at = now
        return True

    def _begin(self, now: float) -> None:
        limit = self._limit if self._was_answered else min(self._limit, self._first_limit)
        self._began_at = now
        self.ends_at = now + limit
        self._probes = 0
        self._plan(now)

    def _plan(self, now: float) -> None:
        self._probes += 1
        # At least half of the ceiling: full jitter could give a pause of almost zero.
        ceiling = self._pauses.ceiling(self._probes)
        pause = max(self._pauses.spread(ceiling / 2, ceiling), _SHORTEST_PAUSE)
        # The last one is at the end of the hold.
        self._next_probe = min(now + pause, self.ends_at) if now < self.ends_at else inf
