"""
Outcomes in; first into the report, then out to whoever listens.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from anyio import BrokenResourceError, CancelScope, Event, create_memory_object_stream

from batchfetch.errors import ReportError
from batchfetch.models import Outcome, OutcomeStatus

# Outcomes that may wait to be written.  While there are as many, nobody asks on.
_MOST_WAITING = 256


class Recorder:
    """
    Writes outcomes as they come, those that came together with one *write*, and passes them on.
    """

    def __init__(self, write: Callable[[Sequence[Outcome]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[Outcome] = []
        self._ended = False
        # A stream would do for both, at three times the price of an outcome.
        self._changed = Event()
        self._room = Event()
        self._exit, self.recorded = create_memory_object_stream[Sequence[Outcome]](1)
        self.outcomes: Counter[OutcomeStatus] = Counter()
        """How many were written, by what became of the task."""

        self.bytes = 0
        """Of the images among them."""

    async def record(self, outcome: Outcome) -> None:
        """
        Hand over *outcome*; waits while too many others wait, even if cancelled: it was paid for.
        """
        while len(self._waiting) >= _MOST_WAITING and not self._ended:
            with CancelScope(shield=True):
                await self._room.wait()
        self._waiting.append(outcome)
        self._changed.set()

    def close(self) -> None:
        """
        Declare that no outcome will follow.
        """
        self._ended = True
        self._changed.set()

    async def run(self) -> None:
        """
        Write and pass on until `close`.  Raises `ReportError`; what was not written is not counted.
        """
        with self._exit:
            try:
                while self._waiting or not self._ended:
                    await self._changed.wait()
                    self._changed = Event()
                    outcomes = await self._record()
                    with suppress(BrokenResourceError):  # Nobody listens; the report has them.
                        await self._exit.send(outcomes)
            finally:
                self.close()
                self._room.set()

    async def rescue(self) -> None:
        """
        After a failed `run`: try once more to write what it left, as far as that goes.

        A disk that was full may have room by then: what was in flight has been given up.
        """
        with suppress(ReportError):
            await self._record()

    async def _record(self) -> Sequence[Outcome]:
        outcomes, self._waiting = self._waiting, []
        self._room.set()
        self._room = Event()
        if not outcomes:
            return outcomes
        try:
            await self._write(outcomes)
        except ReportError:
            self._waiting = [*outcomes, *self._waiting]
            raise
        for outcome in outcomes:
            self.outcomes[outcome.status] += 1
            self.bytes += outcome.bytes or 0
        return outcomes
