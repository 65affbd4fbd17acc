"""
Write outcomes to the report, then hand them to the caller who iterates over the batch.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from anyio import CancelScope

from batchfetch.errors import ReportError
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report.unread import Unread

# Outcomes that may wait to be written.  While there are as many, no new question is asked.
_MOST_WAITING = 256


class Recorder:
    """
    Writes outcomes as they come, those that came together with one *write*, and passes them on.

    Writing does not wait for the reader: what it has not taken is in an `Unread` queue, most of
    which is the report itself.  *write* returns the byte at which each line begins, if it can be
    read back with *read*; *locate* does so for the last line of a task that was settled earlier.
    *tell* is told of each outcome that was written.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Outcome]], Awaitable[Sequence[int]]],
        *,
        read: Callable[[Sequence[int]], Awaitable[list[Outcome]]] | None = None,
        locate: Callable[[str], int | None] | None = None,
        tell: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._write = write
        self._locate = locate
        self._tell = tell
        self._waiting: list[Outcome] = []
        self._unread = Unread(read)
        self._ended = False
        self._has_reader = True
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        # How many were handed over and how many of them are written.
        self._handed = self._done = 0
        self._wrote = asyncio.Event()
        self.outcomes: Counter[OutcomeStatus] = Counter()
        """How many were written, by what became of the task."""

        self.reasons: Counter[str] = Counter()
        """How many of them have which reason."""

        self.adopted = 0
        """Images among them that were in their place already."""

        self.bytes = 0
        """Of the images among them that were fetched."""

    async def record(self, outcome: Outcome) -> None:
        """
        Hand over *outcome*; waits while too many others wait, even if cancelled: it was paid for.
        """
        while len(self._waiting) >= _MOST_WAITING and not self._ended:
            self._room.clear()
            with CancelScope(shield=True):
                await self._room.wait()
        self._waiting.append(outcome)
        self._handed += 1
        self._changed.set()

    async def until_written(self) -> bool:
        """
        Wait until all that was handed over by now is written, and return whether it is.
        """
        handed = self._handed
        while self._done < handed and not self._ended:
            self._wrote.clear()
            await self._wrote.wait()
        return self._done >= handed

    def pass_on(self, outcome: Outcome) -> None:
        """
        Hand *outcome*, which an earlier run has written, to the reader.
        """
        start = None
        if self._locate is not None and outcome.task_id is not None:
            start = self._locate(outcome.task_id)
        if self._has_reader:
            self._unread.put(outcome, start)

    def close(self) -> None:
        """
        Declare that no outcome will follow.
        """
        self._ended = True
        self._changed.set()
        self._wrote.set()

    async def written(self) -> list[Outcome]:
        """
        Return the next outcomes that were written, once there are any; nothing at the end.

        Raises `ReportError` if they cannot be read back from the report.
        """
        return await self._unread.take()

    def close_reader(self) -> None:
        """
        Read no longer: what is written from now on is not kept.
        """
        self._has_reader = False
        self._unread.clear()

    async def run(self) -> None:
        """
        Write and pass on until `close`.

        Raises `ReportError`; then `flush_after_error` is what ends the reader's iteration.
        """
        try:
            while self._waiting or not self._ended:
                await self._changed.wait()
                self._changed.clear()
                await self._record()
        finally:
            self.close()
            self._room.set()
        self._unread.end()

    async def flush_after_error(self) -> None:
        """
        After a failed `run`: try once more to write what it left, as far as that goes.

        A disk that was full may have room by then: what was in flight has been given up.
        """
        with suppress(ReportError):
            await self._record()
        self._unread.end()

    async def _record(self) -> None:
        outcomes, self._waiting = self._waiting, []
        self._room.set()
        if not outcomes:
            return
        try:
            starts = await self._write(outcomes)
        except ReportError as exc:
            self._waiting = [*outcomes[exc.written :], *self._waiting]
            self._count(outcomes[: exc.written])
            raise
        self._count(outcomes, starts)

    def _count(self, outcomes: Sequence[Outcome], starts: Sequence[int] = ()) -> None:
        """
        Count *outcomes*, which are in the report, and pass them on.
        """
        for number, outcome in enumerate(outcomes):
            self.outcomes[outcome.status] += 1
            if outcome.reason is not None:
                self.reasons[outcome.reason] += 1
            if outcome.is_adopted:
                self.adopted += 1
            else:
                self.bytes += outcome.bytes or 0
            if self._has_reader:
                self._unread.put(outcome, starts[number] if starts else None)
            if self._tell is not None:
                self._tell(outcome)
        self._done += len(outcomes)
        self._wrote.set()
