"""
What an HTTP status means for a question about a task.
"""

from enum import Enum, auto


class StatusMeaning(Enum):
    """
    What follows from an answer's HTTP status.
    """

    RESULT = auto()
    """The body holds the answer."""

    NO_CONTENT = auto()
    """There is no file for the task: documented as "expired"."""

    REDIRECT = auto()
    """The service points elsewhere; the token is not carried there."""

    UNAUTHORIZED = auto()
    """The token is refused."""

    NOT_FOUND = auto()
    """The endpoint is not there: a task that is unknown is answered with 200."""

    TURNED_AWAY = auto()
    """Forbidden, to be paid for, or not offered here, whatever the task."""

    THROTTLED = auto()
    """Too many requests: meant for everyone who asks."""

    OVERLOADED = auto()
    """One server's trouble, unless it says how long to wait."""

    FAILING = auto()
    """The server, or one behind it, failed or took too long."""

    PASSING = auto()
    """What a proxy or an overloaded server says in passing."""

    LASTING = auto()
    """It will be said again."""


def meaning_of(status: int) -> StatusMeaning:  # noqa: C901, PLR0911 - one match for all
    """
    Return what the HTTP *status* means.

    Source: RFC 9110, section 15, and the service's documentation of `GetResultFile` for 204.
    """
    match status:
        case 204:
            return StatusMeaning.NO_CONTENT
        case _ if 200 <= status < 300:
            return StatusMeaning.RESULT  # 202 for a task that is not ready, say.
        case 301 | 302 | 303 | 307 | 308:
            return StatusMeaning.REDIRECT
        case 401:
            return StatusMeaning.UNAUTHORIZED
        case 404:
            return StatusMeaning.NOT_FOUND
        case 402 | 403 | 405 | 407 | 410 | 501:
            return StatusMeaning.TURNED_AWAY
        case 429:
            return StatusMeaning.THROTTLED
        case 503:
            return StatusMeaning.OVERLOADED
        case 425:
            return StatusMeaning.PASSING
        case 408:
            return StatusMeaning.FAILING
        case _ if status >= 500:
            return StatusMeaning.FAILING
        case _:
            return StatusMeaning.LASTING


TRANSIENT = frozenset(
    {
        StatusMeaning.THROTTLED,
        StatusMeaning.OVERLOADED,
        StatusMeaning.FAILING,
        StatusMeaning.PASSING,
    }
)
"""Meanings after which asking again may succeed."""
