"""
What becomes of a job after a request, and what the end of a request says about the service.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from batchfetch.errors import (
    BlockedError,
    JobError,
    OutOfDescriptorsError,
    StaleConnectionError,
    StatusError,
    TransportError,
)
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.run.poller import Unfinished, Verdict
from batchfetch.run.setbacks import Retry
from batchfetch.statuses import StatusMeaning, meaning_of
from batchfetch.text import sanitize


@dataclass(frozen=True, slots=True)
class Again:
    """
    Ask about the job again as soon as that is possible.
    """


@dataclass(frozen=True, slots=True)
class Aside:
    """
    Keep the job undecided until other answers tell what is wrong.
    """


Ruling = Verdict | Again | Aside
Ruled = tuple[JobState, Ruling]

AGAIN, ASIDE = Again(), Aside()


class Sign(Enum):
    """
    What the end of a request says about the service.
    """

    ANSWERED = auto()
    TURNED_AWAY = auto()
    FAILED = auto()
    """It had the request, and gave no answer or a failure."""

    UNCONNECTED = auto()
    """There was no connection to send the request on."""

    BLOCKED = auto()
    """There will be none until a setting is changed."""

    UNAUTHORIZED = auto()
    REACHED = auto()
    """It can be reached, and more is not known."""

    NOTHING = auto()


REACHED = frozenset({Sign.ANSWERED, Sign.TURNED_AWAY, Sign.UNAUTHORIZED, Sign.REACHED})
"""What shows that the service can be reached."""


def sign_of(verdict: Verdict, *, was_sent: bool) -> Sign:
    """
    Return what *verdict* says about the service; *was_sent* says whether the request was sent.
    """
    match verdict:
        case Outcome(status=OutcomeStatus.FAILED, reason=str(reason)):
            return _sign_of_reason(reason)
        case Outcome() | Unfinished():
            return Sign.ANSWERED
        case Retry(error=error):
            return _sign_of_error(error, was_sent=was_sent)


def _sign_of_error(error: JobError, *, was_sent: bool) -> Sign:
    match error:
        case BlockedError():
            return Sign.BLOCKED
        case OutOfDescriptorsError() | StaleConnectionError():
            return Sign.NOTHING
        case StatusError(meaning=StatusMeaning.UNAUTHORIZED):
            return Sign.UNAUTHORIZED
        case TransportError() if not was_sent:
            return Sign.UNCONNECTED
        case _:
            return _sign_of_reason(error.reason)


def _sign_of_reason(reason: str) -> Sign:
    kind, _, status = reason.partition("_")
    if kind == "http":
        return _MEANINGS.get(meaning_of(int(status)), Sign.ANSWERED)
    return _REASONS.get(reason, Sign.ANSWERED)


_MEANINGS = {
    StatusMeaning.NOT_FOUND: Sign.TURNED_AWAY,
    StatusMeaning.TURNED_AWAY: Sign.TURNED_AWAY,
    StatusMeaning.FAILING: Sign.FAILED,
    StatusMeaning.OVERLOADED: Sign.FAILED,
    StatusMeaning.THROTTLED: Sign.REACHED,
    StatusMeaning.PASSING: Sign.REACHED,
}
_REASONS = {
    "connection": Sign.FAILED,
    "timeout": Sign.FAILED,
    "redirect": Sign.TURNED_AWAY,
    "bad_response": Sign.REACHED,
    # Of a submission, whose file could not be sent.
    "changed": Sign.NOTHING,
    "unreadable": Sign.NOTHING,
}


def words_of(verdict: Verdict, redact: Callable[[str], str]) -> str:
    """
    Return what *verdict* says of its error, without what *redact* removes.
    """
    match verdict:
        case Outcome(detail=str(detail)):
            return detail
        case Retry(error=error):
            return sanitize(redact(str(error)))
        case _:
            return ""
