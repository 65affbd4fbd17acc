"""
Interfaces of what `Workers` work on: the jobs that are due, and what makes a request about one.
"""

from typing import Protocol

from batchfetch.models import JobState
from batchfetch.run.poller import Verdict


class Agenda(Protocol):
    """
    The jobs that are to be asked about, and when; `Scheduler` says what each member means.
    """

    @property
    def waiting(self) -> int: ...

    @property
    def known_unfinished(self) -> int: ...

    @property
    def wants_more(self) -> bool: ...

    @property
    def is_idle(self) -> bool: ...

    @property
    def are_others_left(self) -> bool: ...

    @property
    def failing(self) -> list[JobState]: ...

    @property
    def is_closed(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    def next(self, now: float, budget_left: int | None = None) -> JobState | float | None: ...

    def last(self, *, but_of: str | None) -> JobState | None: ...

    def again(self, state: JobState, due: float) -> None: ...

    def set_aside(self, state: JobState, now: float) -> None: ...

    def unfinished(self, state: JobState, now: float) -> None: ...

    def settled(self, state: JobState, now: float) -> None: ...


class Asker(Protocol):
    """
    Makes one request about one job and says what came of it.
    """

    async def ask(self, state: JobState, token: str) -> Verdict: ...
