"""
Write the report of a submission: intents before anything is sent, results before all else.
"""

import asyncio
import secrets
from contextlib import suppress

from anyio import CancelScope
from pydantic import BaseModel

from batchfetch.errors import ReportError
from batchfetch.report import ReportWriter
from batchfetch.report.lines import encode
from batchfetch.settings import Durability
from batchfetch.submission.lines import Intent


class Journal:
    """
    Appends lines to the report; those that come together are written, and synced, in one go.
    """

    def __init__(self, report: ReportWriter, durability: Durability) -> None:
        self._report = report
        self._syncs = durability is not Durability.NONE
        # asyncio's, as everything here that is used for each image.
        self._turn = asyncio.Lock()
        self._waiting: list[bytes] = []
        self._written = 0
        self._handed_over = 0

    async def write(self, *lines: BaseModel) -> None:
        """
        Write *lines*, to the end even if cancelled; they are with the system on return.

        Raises `ReportError`.  Lines that could not be written are tried again with the next.
        """
        await self._write_all(list(map(encode, lines)))

    async def intend(self, intent: Intent) -> None:
        """
        Write *intent*.  One that cannot be written is dropped: nothing is sent for it.

        Raises `ReportError`.
        """
        line = encode(intent)
        try:
            await self._write_all([line])
        except ReportError:
            if line in self._waiting and not (self._report.is_torn and self._waiting[0] == line):
                self._waiting.remove(line)
                self._handed_over -= 1
            raise

    async def _write_all(self, lines: list[bytes]) -> None:
        self._waiting += lines
        self._handed_over += len(lines)
        mine = self._handed_over
        with CancelScope(shield=True):
            async with self._turn:
                if self._written < mine:  # Else the one before has taken ours along.
                    await self._write()

    async def flush(self) -> None:
        """
        Try once more to write what could not be written; a disk that was full may have room again.
        """
        with suppress(ReportError), CancelScope(shield=True):
            async with self._turn:
                if self._waiting:
                    await self._write()

    async def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        try:
            await self._report.write_lines(lines, sync=self._syncs)
        except ReportError as exc:
            self._written += exc.written
            self._waiting = [*lines[exc.written :], *self._waiting]
            raise
        self._written += len(lines)


def new_intent() -> str:
    """
    Return what tells one POST from all others in the report.
    """
    return secrets.token_hex(8)
