"""
Tell what is wrong with one task from what is wrong with all: refused requests, refused tokens.

Nothing here sleeps or reads a clock: callers pass the current time, in seconds on a monotonic
clock.
"""

from enum import Enum, auto
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST_REFUSALS = 30
"""Requests turned away in a row, after which one about another task decides."""


class Refusals:
    """
    Requests turned away in a row, for a reason that need not be the task.

    After the thirtieth only one more may be made, about a task from further on: if it is turned
    away as well, so will all others be.
    """

    def __init__(self) -> None:
        self._since = inf
        self._row = 0
        self._is_probing = False
        self._was_answered = False

    @property
    def is_confirming(self) -> bool:
        """
        Whether the next request decides.
        """
        return self._row >= _MOST_REFUSALS

    @property
    def is_probing(self) -> bool:
        """
        Whether the request that decides is in flight.
        """
        return self._is_probing

    @property
    def is_row(self) -> bool:
        """
        Whether the last request was turned away.
        """
        return self._row > 0

    @property
    def are_all(self) -> bool:
        """
        Whether every request was turned away.
        """
        return self.is_row and not self._was_answered

    def refused(self, asked_at: float, *, is_probe: bool) -> bool:
        """
        Record that a request was turned away; return whether all others will be, too.
        """
        if is_probe:
            return True
        if not self._row:
            self._since = asked_at
        self._row += 1
        return False

    def answered(self, asked_at: float) -> None:
        """
        Record another answer.  One asked for before the row began does not end it.
        """
        self._was_answered = True
        if asked_at >= self._since:
            self._row = 0
            self._since = inf
            self._is_probing = False

    def probe(self) -> None:
        """
        Record that the request that decides begins.
        """
        self._is_probing = True

    def probed(self) -> None:
        """
        Record that it brought no answer; another one decides.
        """
        self._is_probing = False


class Suspicion(Enum):
    """
    What a refused token says.
    """

    TASK = auto()
    """The token is good for others: it is the task that is refused."""

    OPEN = auto()
    """Not known yet; the task is to be set aside."""

    TOKEN = auto()
    """The token is dead."""

    RENEWED = auto()
    """Nothing: another token has taken its place."""


class TokenTrial(Generic[T]):
    """
    Tells a dead token from a task that is refused with any token.

    A task of type *T* that is refused is a suspect.  If another one that was asked about after it
    is answered with the same token, it is the task that is refused; if another one is refused as
    well, it is the token.
    """

    def __init__(self) -> None:
        self._token: str | None = None
        self._suspect: T | None = None
        self._suspected = (inf, inf)  # When it was asked about, and when it was refused.
        # When the last question with this token was asked that was answered, and its answer came.
        self._good_for = -inf
        self._answered_at = -inf
        self._barren = 0
        self.was_answered = False
        """Whether any token has brought an answer."""

    @property
    def token(self) -> str | None:
        """
        The token under trial.
        """
        return self._token

    @property
    def suspect(self) -> T | None:
        """
        The task that is set aside.
        """
        return self._suspect

    @property
    def is_refused_again(self) -> bool:
        """
        Whether two tokens in a row were refused without having brought an answer.
        """
        return self._barren > 1

    def begin(self, token: str) -> T | None:
        """
        Try *token* from now on; return the task that was set aside with the one before.
        """
        self._token = token
        self._good_for = self._answered_at = -inf
        return self.release()

    def release(self) -> T | None:
        """
        Return the suspect, which is none any more.
        """
        suspect, self._suspect = self._suspect, None
        self._suspected = (inf, inf)
        return suspect

    def answered(self, asked_at: float, now: float) -> T | None:
        """
        Record an answer; return the suspect if it is the task that is refused.
        """
        self.was_answered = True
        self._barren = 0
        self._answered_at = now
        self._good_for = max(self._good_for, asked_at)
        return self.release() if asked_at >= self._suspected[0] else None

    def refused(self, token: str, task: T, asked_at: float, now: float) -> Suspicion:
        """
        Record that *token* was refused to *task*.  If that sets it aside, it is the suspect.
        """
        if token != self._token:
            return Suspicion.RENEWED
        if asked_at <= self._good_for:
            return Suspicion.TASK
        if self._suspect is None:
            self._suspect = task
            self._suspected = (asked_at, now)
            return Suspicion.OPEN
        self._end()
        return Suspicion.TOKEN

    def conclude(self, *, renewable: bool, tokens_refused: int) -> Suspicion:
        """
        Return what is to be assumed when no other task is left to be asked about.

        *renewable* says whether there can be another token, *tokens_refused* how many were refused
        to the suspect.
        """
        is_good = self._answered_at >= self._suspected[1]
        if is_good or (self.was_answered and (tokens_refused > 1 or not renewable)):
            return Suspicion.TASK
        self._end()
        return Suspicion.TOKEN

    def _end(self) -> None:
        self._token = None
        if self._answered_at == -inf:
            self._barren += 1
