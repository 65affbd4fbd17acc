"""
Have tasks with one name follow each other within a run: one waits until the other is decided.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from batchfetch.models import Job, JobState, Outcome, OutcomeStatus
from batchfetch.report import Ledger

T = TypeVar("T")


class Turns(Generic[T]):
    """
    Rows whose tasks take the name of another one of the run, and which of these are decided.

    A task that has waited comes after *release*, which is to release the claim on the image of the
    other one.  Without it nothing is asked, and no task waits for an answer.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.release: Callable[[], Awaitable[None]] | None = None
        self._ledger = ledger
        self._waiting: dict[str, list[T]] = {}
        self._ready: deque[T] = deque()
        self._changed = anyio.Event()

    @property
    def is_pending(self) -> bool:
        """
        Whether any row waits, or is ready.
        """
        return bool(self._waiting or self._ready)

    @property
    def ready(self) -> int:
        """
        How many rows have waited for long enough.
        """
        return len(self._ready)

    def note(self, decision: object) -> None:
        """
        Note that the task of *decision* is asked, or that its image is still to be reported.
        """
        match decision:
            case JobState(job=Job(task_id=task_id)):
                self._ledger.begin_asking(task_id)
            case Outcome(status=OutcomeStatus.COMPLETED, task_id=str(task_id)):
                self._ledger.begin_asking(task_id)
            case _:
                pass

    def wait(self, row: T, task_id: str, *, after: str) -> bool:
        """
        Have *row*, about *task_id*, come after the task *after* if this run asks about that, or has
        asked; return whether it has.
        """
        if not self._ledger.is_asked(after):
            return False
        self._ledger.begin_asking(task_id)  # Others may wait for this one.
        if self.release is None or self._ledger.is_decided(after):
            self._ready.append(row)
        else:
            self._waiting.setdefault(after.casefold(), []).append(row)
        return True

    def decided(self, outcome: Outcome) -> None:
        """
        Note that *outcome* is in the report: what waits for its task is ready.
        """
        if outcome.task_id is not None:
            self._ledger.end_asking(outcome.task_id)
            self._let_go(outcome.task_id.casefold())

    def stop(self) -> None:
        """
        Have nothing wait any longer: no task will be decided from now on.
        """
        self.release = None
        for key in list(self._waiting):
            self._let_go(key)

    async def next(self) -> T | None:
        """
        Return the next row that is ready.  If there is none, wait for one and return None.

        Raises `ReportError`.
        """
        if not self._ready:
            self._changed = anyio.Event()
            await self._changed.wait()
            return None
        if self.release is not None:
            await self.release()
        return self._ready.popleft()

    def _let_go(self, key: str) -> None:
        self._ready += self._waiting.pop(key, ())
        self._changed.set()
