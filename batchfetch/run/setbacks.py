"""
What follows from a request without a usable answer: a slower pace, and when to try again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from batchfetch.errors import (
    BlockedError,
    JobError,
    OutOfDescriptorsError,
    StaleConnectionError,
    StatusError,
    StorageError,
    TransportError,
)
from batchfetch.hooks import Hook, Paused
from batchfetch.models import JobState
from batchfetch.report import Interruptions
from batchfetch.scheduling import Pace, RetryPolicy
from batchfetch.statuses import StatusMeaning

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """
    No usable answer came back, and asking again may help.
    """

    error: JobError

    delay: float
    """Seconds to wait before the next try."""


class Setbacks:
    """
    Slows *pace* down, and repeats requests by *retries*; *tell* is told of pauses, and
    *interruptions* record them.
    """

    def __init__(
        self,
        pace: Pace,
        retries: RetryPolicy,
        *,
        tell: Hook | None = None,
        interruptions: Interruptions,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._pace = pace
        self._retries = retries
        self._tell = tell
        self._interruptions = interruptions
        self._clock = clock

    def slow_down(self, error: JobError, asked_at: float, detail: str) -> None:
        """
        Slow down if the *error* of a request begun at *asked_at* asks for that; *detail* is what
        the log says of it.
        """
        now = self._clock()
        match error:
            case OutOfDescriptorsError():
                self._pace.overloaded(asked_at, now)
            case StatusError(meaning=StatusMeaning.OVERLOADED, retry_after=None):
                self._pace.overloaded(asked_at, now)  # One server's trouble.
            case StatusError(meaning=StatusMeaning.THROTTLED | StatusMeaning.OVERLOADED):
                self._pace.overloaded(asked_at, now)
                before = max(self._pace.cooling_until, now)
                self._pace.cool_down(now, error.retry_after)
                self._say_pause(now, before, detail)
            case _:
                pass

    def _say_pause(self, now: float, before: float, reason: str) -> None:
        """
        Say that a pause began, or that one that was to end at *before* lasts twice as long now.

        The other requests in flight are mostly told the same, which is the same pause.
        """
        until = self._pace.cooling_until
        self._interruptions.pause(now, until, reason)
        seconds = until - now
        if seconds <= 2 * (before - now):
            return
        log.warning("pausing for %g s: %s", round(seconds, 1), reason)
        if self._tell is not None:
            self._tell(Paused(seconds, reason))

    def retry(self, state: JobState, error: JobError, *, was_sent: bool) -> Retry | None:
        """
        Return when to try again after *error*, and count it; None if it decides about the job.

        Raises `StorageError` if this machine cannot open a single file more.
        """
        match error:
            case StatusError(meaning=StatusMeaning.UNAUTHORIZED):
                state.count_refusal()
                return Retry(error, 0.0)
            case OutOfDescriptorsError():
                return self._after_shortage(state, error)
        if (delay := self._delay_without_attempt(error, was_sent=was_sent)) is not None:
            return Retry(error, delay)
        faults = state.count_fault()
        if error.transient and not self._retries.gives_up(faults):
            return Retry(error, self._retries.delay(faults))
        return None

    def _delay_without_attempt(self, error: JobError, *, was_sent: bool) -> float | None:
        """
        Return the seconds to wait after an *error* that is no fault of the task and costs it no
        attempt; None if it is not of that kind.
        """
        match error:
            case StaleConnectionError() | BlockedError():
                return 0.0
            case TransportError(transient=True) if not was_sent:
                return self._retries.delay(1)
            case _:
                return None

    def _after_shortage(self, state: JobState, error: OutOfDescriptorsError) -> Retry:
        """
        Try again with fewer in flight: it is this machine's fault, and no task fails of it.
        """
        if self._pace.limit == 1 and self._retries.gives_up(state.count_fault()):
            raise StorageError(f"{error}; allow more open files (ulimit -n) and run again")
        return Retry(error, self._retries.delay(max(1, state.faults)))
