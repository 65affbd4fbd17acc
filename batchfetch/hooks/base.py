"""
What a run tells its listeners: events, and the interface of a hook.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from batchfetch.models import Job, Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A question about *job* begins.
    """

    job: Job


@dataclass(frozen=True, slots=True)
class Answered:
    """
    A question about *job* is over.
    """

    job: Job

    result: str
    """The service's word, `Pending` say, or the reason that there is no usable answer."""

    seconds: float
    """Since the question began."""


@dataclass(frozen=True, slots=True)
class Settled:
    """
    A task has an *outcome*, and the report a line about it.
    """

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Paused:
    """
    All questions are held back, because the service has asked for it.
    """

    seconds: float
    """From now on, at least."""

    reason: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Held:
    """
    No questions but probes are asked any more, because the service cannot be reached.
    """

    seconds: float
    """From now on, at most: then the run ends."""

    reason: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """
    The run is held no longer: the service answers again, or only tasks are left that fail always.
    """

    seconds: float
    """For which it was held."""


Event = Asked | Answered | Settled | Paused | Held | Resumed


class Hook(Protocol):
    """
    Listens to a run.  Called in the event loop, so it must be quick; what it raises ends the run.
    """

    def __call__(self, event: Event, /) -> None: ...


def tell_all(hooks: Iterable[Hook]) -> Hook | None:
    """
    Return one hook that calls all of *hooks* in their order; None if there are none.
    """
    listeners = tuple(hooks)
    if len(listeners) <= 1:
        return listeners[0] if listeners else None

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
