"""
Outcomes in; first into the report, then out to whoever listens.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from anyio import (
    BrokenResourceError,
    CancelScope,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
)
from anyio.streams.memory import MemoryObjectReceiveStream

from batchfetch.models import Outcome, OutcomeStatus

# Outcomes that may wait to be written, and to be read.  While these are full nobody asks on.
_BUFFER = 256


class Recorder:
    """
    Writes outcomes as they come, those that came together with one *write*, and passes them on.
    """

    def __init__(self, write: Callable[[Sequence[Outcome]], Awaitable[None]]) -> None:
        self._write = write
        self._entrance, self._written = create_memory_object_stream[Outcome](_BUFFER)
        self._exit, self.recorded = create_memory_object_stream[Outcome](_BUFFER)
        self.outcomes: Counter[OutcomeStatus] = Counter()
        """How many were written, by what became of the task."""

        self.bytes = 0
        """Of the images among them."""

    async def record(self, outcome: Outcome) -> None:
        """
        Hand over *outcome*; waits while too many others wait, even if cancelled: it was paid for.
        """
        with CancelScope(shield=True), suppress(BrokenResourceError):  # `run` failed and said so.
            await self._entrance.send(outcome)

    def close(self) -> None:
        """
        Declare that no outcome will follow.
        """
        self._entrance.close()

    async def run(self) -> None:
        """
        Write and pass on until `close`.  Raises `ReportError`; what was not written is not counted.
        """
        with self._exit, self._written:
            async for outcome in self._written:
                outcomes = [outcome, *_waiting(self._written)]
                await self._write(outcomes)
                for written in outcomes:
                    self.outcomes[written.status] += 1
                    self.bytes += written.bytes or 0
                    with suppress(BrokenResourceError):  # Nobody listens; the report has it.
                        await self._exit.send(written)


def _waiting(stream: MemoryObjectReceiveStream[Outcome]) -> list[Outcome]:
    waiting = []
    try:
        while True:
            waiting.append(stream.receive_nowait())
    except (WouldBlock, EndOfStream):
        return waiting
