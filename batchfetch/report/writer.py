"""
Append to the report, in whole lines and by one run at a time.
"""

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import aiofiles
from aiofiles.os import wrap as in_thread
from anyio import CancelScope, to_thread

from batchfetch.errors import OutputLockedError, ReportError
from batchfetch.locks import lock
from batchfetch.models import Outcome
from batchfetch.report.advice import report_error
from batchfetch.report.appending import open_appended
from batchfetch.report.lines import encode
from batchfetch.report.reader import outcome_from, require_report
from batchfetch.report.repair import repair
from batchfetch.report.runs import holder_of
from batchfetch.settings import Durability

# Bytes read at once: most lines are shorter.
_BLOCK = 2**12

Inline = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a little blocking work without delaying the event loop, to its end even if cancelled."""


async def _in_thread(work: Callable[[], None]) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(work)


class _AsyncFile(Protocol):
    # What is used of an aiofiles file without a buffer: `write` may take a part.
    async def write(self, data: memoryview, /) -> int: ...

    def fileno(self) -> int: ...


class ReportWriter:
    """
    Appends outcomes to the report.  Made by `open_report`.
    """

    def __init__(
        self, file: _AsyncFile, path: Path, durability: Durability, inline: Inline
    ) -> None:
        self._file = file
        self._path = path
        self.is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        """Whether it is a file, and no pipe or device."""

        self._syncs = durability is Durability.FULL
        self._inline = inline
        # The beginning of a line that stands at the report's end and could not be cut off.
        self._torn = b""

    @property
    def is_torn(self) -> bool:
        """
        Whether the next write has to begin with the line at which the last one broke off.
        """
        return bool(self._torn)

    async def write(self, outcomes: Sequence[Outcome]) -> Sequence[int]:
        """
        Append a line for each of *outcomes*, in one go; they are with the system on return.

        Returns the byte at which each line begins, for `read`; nothing if the report is a pipe or a
        device.

        Raises `ReportError`, whose `written` says how many of *outcomes* are in the report all the
        same.  The next write has to begin with the first that is not: where the beginning of its
        line cannot be cut off, only the rest is written.
        """
        return await self.write_lines(list(map(encode, outcomes)), sync=self._syncs)

    async def write_lines(self, lines: Sequence[bytes], *, sync: bool) -> Sequence[int]:
        """
        Do the same with *lines* as they are; *sync* says whether the disk is to store them.
        """
        append = _Append(b"".join(lines), len(self._torn))
        file = self._file.fileno()
        try:
            with _mapped(self._path, "written"):
                if self.is_regular:
                    await self._inline(partial(append.to_file, file, sync=sync))
                else:
                    await append.to_pipe(self._file)
        except ReportError as exc:
            exc.written, self._torn = append.whole_lines, append.torn
            raise
        self._torn = b""
        if not self.is_regular:
            return ()
        starts = accumulate(map(len, lines[:-1]), initial=append.end - len(append.data))
        return list(starts)

    async def append(self, lines: bytes) -> None:
        """
        Append whole *lines* of another report.  Raises `ReportError`.
        """
        append = _Append(lines, 0)
        with _mapped(self._path, "written"):
            await self._inline(partial(append.to_file, self._file.fileno(), sync=self._syncs))

    async def sync(self) -> None:
        """
        Have the disk store what was written.  Raises `ReportError`.
        """
        if self.is_regular:
            with _mapped(self._path, "synced"), CancelScope(shield=True):
                await to_thread.run_sync(os.fsync, self._file.fileno())

    async def read(self, starts: Sequence[int]) -> list[Outcome]:
        """
        Return the outcomes whose lines begin at *starts*.

        Raises `ReportError` if the report cannot be read, or was changed by another program.
        """
        with _mapped(self._path, "read"):
            return await to_thread.run_sync(self._read, starts)

    def _read(self, starts: Sequence[int]) -> list[Outcome]:
        file = self._file.fileno()
        outcomes = [outcome_from(_line_at(file, start)) for start in starts]
        found = [outcome for outcome in outcomes if outcome is not None]
        if len(found) < len(outcomes):
            raise ReportError(
                f"the report {self._path} was changed by another program during the run; "
                "what the run wrote there cannot be read back"
            )
        return found


@dataclass(slots=True)
class _Append:
    """
    One write to the report: *data*, of which the first *written* bytes are there.
    """

    data: bytes
    written: int
    end: int = 0
    """The size of the report after it."""

    @property
    def whole_lines(self) -> int:
        return self.data.count(b"\n", 0, self.written)

    @property
    def torn(self) -> bytes:
        """
        The beginning of the line in which the write broke off.
        """
        return self.data[self.data.rfind(b"\n", 0, self.written) + 1 : self.written]

    def to_file(self, file: int, *, sync: bool) -> None:
        rest = memoryview(self.data)
        try:
            while self.written < len(rest):
                self.written += os.write(file, rest[self.written :])
            # What was written stays if this fails: to write it again would be to write it twice.
            if sync:
                os.fsync(file)
        except OSError:
            if torn := len(self.torn):
                with suppress(OSError):  # An append-only file, for instance.
                    os.ftruncate(file, os.fstat(file).st_size - torn)
                    self.written -= torn
            raise
        self.end = os.fstat(file).st_size

    async def to_pipe(self, file: _AsyncFile) -> None:
        # The reader of a pipe may take hours, and a thread that writes cannot be interrupted.
        rest = memoryview(self.data)
        with CancelScope(shield=True):
            while self.written < len(rest):
                self.written += await file.write(rest[self.written :])


def _line_at(file: int, start: int) -> bytes:
    line = b""
    size = _BLOCK
    while piece := os.pread(file, size, start + len(line)):
        line += piece
        if (end := line.find(b"\n")) >= 0:
            return line[:end]
        size *= 2
    return line


@asynccontextmanager
async def open_report(
    path: Path,
    durability: Durability,
    *,
    follow_link: bool = True,
    inline: Inline = _in_thread,
    require: Callable[[Path], None] = require_report,
) -> AsyncIterator[ReportWriter]:
    """
    Open the report at *path* for appending, with its folder if missing, and repair its end.

    It is locked until the block is left or the process ends.  A pipe or a device is written to as
    it is.  With *durability* `full` every write is synced.  Without *follow_link* a symbolic link
    at *path* is refused: it may have been planted.  *inline* does the writing.  *require* raises
    what is to be raised if the file that is there is no report of its kind.

    Raises `OutputLockedError` if another run has it, `SettingsError` if what is there is no report,
    `ReportError` if it cannot be opened.
    """
    with CancelScope(shield=True), _mapped(path, "opened"):
        file = await aiofiles.open(
            await in_thread(_open)(path, durability, follow_link, require), "ab", buffering=0
        )
    try:
        yield ReportWriter(file, path, durability, inline)
    finally:
        with CancelScope(shield=True), _mapped(path, "closed"):
            await file.close()


def _open(
    path: Path,
    durability: Durability,
    follow_link: bool,  # noqa: FBT001 - one call
    require: Callable[[Path], None],
) -> int:
    def prepare(file: int) -> None:
        _lock(file, path)
        require(path)
        repair(file, path)

    return open_appended(path, durability, prepare, follow_link=follow_link)


def _lock(file: int, path: Path) -> None:
    try:
        lock(file, path)
    except BlockingIOError:
        raise OutputLockedError(
            f"another run{holder_of(path)} is writing the report {path};"
            " wait for it or choose another --report"
        ) from None


@contextmanager
def _mapped(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise report_error(path, what, exc) from exc
