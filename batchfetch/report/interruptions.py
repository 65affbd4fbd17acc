"""
The times of a run in which nothing was asked: outages and pauses.

Nothing here reads a clock: callers pass the current time, in seconds on a monotonic clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

from pydantic import AwareDatetime, BaseModel, ConfigDict

# The most interruptions of a kind that are recorded; beyond it neighbours are put together.
_MOST = 100


class Cause(StrEnum):
    """
    Why nothing is asked: the service cannot be reached, or has asked for fewer requests.
    """

    OUTAGE = "outage"
    PAUSE = "pause"


class Interruption(BaseModel):
    """
    A time in which a run asked nothing, but for the probes of an outage.
    """

    model_config = ConfigDict(frozen=True)

    cause: Cause
    began_at: AwareDatetime
    ended_at: AwareDatetime
    seconds: float
    """How long it lasted: less than from beginning to end where neighbours were put together."""

    reason: str
    """What the last failure was, or what the service has said."""


@dataclass(frozen=True, slots=True)
class Present:
    """
    The interruption of a run that is interrupted now.
    """

    cause: Cause
    began_at: datetime
    until: datetime
    """When it is over: an outage at the latest, because then the run ends."""

    left: float
    """Seconds until then."""

    reason: str


@dataclass(slots=True)
class _Span:
    began: float
    ends: float
    seconds: float
    reason: str


class Interruptions:
    """
    The interruptions of one run.  *epoch* is the Unix time at which its clock was 0.
    """

    def __init__(self, *, epoch: float) -> None:
        self._epoch = epoch
        self._outages: list[_Span] = []
        self._pauses: list[_Span] = []
        self._is_held = False

    def pause(self, now: float, until: float, reason: str) -> None:
        """
        Record that from *now* to *until* nothing is asked, because the service has asked for it.
        """
        last = self._pauses[-1] if self._pauses else None
        if last is None or last.ends < now:
            _add(self._pauses, _Span(now, until, until - now, reason))
        elif last.ends < until:
            last.seconds += until - last.ends
            last.ends, last.reason = until, reason

    def hold(self, now: float, until: float, reason: str) -> None:
        """
        Record that the run is held from *now* on, and ends at *until* without an answer.
        """
        self._is_held = True
        _add(self._outages, _Span(now, until, until - now, reason))

    def shorten(self, until: float) -> None:
        """
        Record that the present hold ends at *until* already.
        """
        last = self._outages[-1]
        last.seconds += until - last.ends
        last.ends = until

    def resume(self, now: float) -> None:
        """
        Record that the hold is over.
        """
        self._is_held = False
        self.shorten(now)

    def present(self, now: float) -> Present | None:
        """
        Return what interrupts the run *now*; None if nothing does.
        """
        if self._is_held:
            return self._present(Cause.OUTAGE, self._outages[-1], now)
        if self._pauses and now < self._pauses[-1].ends:
            return self._present(Cause.PAUSE, self._pauses[-1], now)
        return None

    def record(self, now: float) -> Sequence[Interruption]:
        """
        Return all interruptions up to *now*, which is the end of the run, in the order of time.
        """
        outages = [*self._outages[:-1], *(_cut(span, now) for span in self._outages[-1:])]
        pauses = [*self._pauses[:-1], *(_cut(span, now) for span in self._pauses[-1:])]
        found = [self._interruption(Cause.OUTAGE, span) for span in outages]
        found += [self._interruption(Cause.PAUSE, span) for span in pauses]
        return sorted(found, key=lambda interruption: interruption.began_at)

    def _interruption(self, cause: Cause, span: _Span) -> Interruption:
        return Interruption(
            cause=cause,
            began_at=self._instant(span.began),
            ended_at=self._instant(span.ends),
            seconds=round(span.seconds, 3),
            reason=span.reason,
        )

    def _present(self, cause: Cause, span: _Span, now: float) -> Present:
        return Present(
            cause=cause,
            began_at=self._instant(span.began),
            until=self._instant(span.ends),
            left=max(0.0, span.ends - now),
            reason=span.reason,
        )

    def _instant(self, at: float) -> datetime:
        return datetime.fromtimestamp(self._epoch + at, UTC)


def _cut(span: _Span, now: float) -> _Span:
    beyond = max(0.0, span.ends - now)
    return replace(span, ends=span.ends - beyond, seconds=span.seconds - beyond)


def _add(spans: list[_Span], span: _Span) -> None:
    """
    Append *span*; if that makes too many, put the two together that are nearest to each other.
    """
    spans.append(span)
    if len(spans) <= _MOST:
        return
    gaps = [later.began - earlier.ends for earlier, later in pairwise(spans[:-1])]
    at = gaps.index(min(gaps))
    earlier, later = spans[at], spans.pop(at + 1)
    earlier.ends, earlier.reason = later.ends, later.reason
    earlier.seconds += later.seconds
