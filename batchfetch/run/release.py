"""
Release the claims on images once their lines in the report will outlive a power cut.
"""

from collections.abc import Sequence
from typing import Protocol

from anyio import CancelScope

from batchfetch.errors import ReportError
from batchfetch.models import Outcome
from batchfetch.settings import Durability
from batchfetch.storage import Storage

# Claims that wait for one sync of the report.
_MOST = 256


class Report(Protocol):
    """
    Where outcomes are written; see `ReportWriter`.
    """

    async def write(self, outcomes: Sequence[Outcome]) -> Sequence[int]: ...

    async def read(self, starts: Sequence[int]) -> list[Outcome]: ...

    async def sync(self) -> None: ...


class ReleasingWriter:
    """
    Writes outcomes to *report* and releases the claims on their images in *storage*.

    A line that a power cut takes would leave an image that belongs to no task, if its claim were
    gone already.  So claims wait until the report is synced: every few hundred, and at `close`.
    """

    def __init__(self, report: Report, storage: Storage, durability: Durability) -> None:
        self._report = report
        self._storage = storage
        self._durability = durability
        self._claimed: list[str] = []

    async def write(self, outcomes: Sequence[Outcome]) -> Sequence[int]:
        """
        See `ReportWriter.write`.
        """
        starts = await self._report.write(outcomes)
        is_claimed = self._storage.is_claimed
        self._claimed += [o.path for o in outcomes if o.path is not None and is_claimed(o.path)]
        if len(self._claimed) >= _MOST or self._durability is not Durability.FILE:
            await self.release()
        return starts

    async def read(self, starts: Sequence[int]) -> list[Outcome]:
        """
        See `ReportWriter.read`.
        """
        return await self._report.read(starts)

    async def sync(self) -> None:
        """
        See `ReportWriter.sync`.
        """
        await self._report.sync()

    async def close(self) -> None:
        """
        Release what is left.  Raises `ReportError`.
        """
        with CancelScope(shield=True):
            await self.release()

    async def release(self) -> None:
        """
        Release the claims on all images whose lines are written.  Raises `ReportError`.
        """
        claimed, self._claimed = self._claimed, []
        if not claimed:
            return
        try:
            if self._durability is Durability.FILE:
                await self._report.sync()
        except ReportError:
            self._claimed = claimed + self._claimed
            raise
        await self._storage.release(claimed)
