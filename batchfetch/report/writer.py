"""
Append to the report, in whole lines and by one run at a time.
"""

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import aiofiles
from aiofiles.os import wrap as in_thread
from anyio import CancelScope, to_thread

from batchfetch.errors import OutputLockedError, ReportError
from batchfetch.locks import lock, sync_folder
from batchfetch.models import Outcome
from batchfetch.report.lines import encode
from batchfetch.report.reader import require_report
from batchfetch.report.repair import repair
from batchfetch.settings import Durability

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
        self._is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        self._syncs = durability is Durability.FULL
        self._inline = inline

    async def write(self, outcomes: Sequence[Outcome]) -> None:
        """
        Append a line for each of *outcomes*, in one go; they are with the system on return.

        Raises `ReportError`; what then is in the report is whole lines, as far as the disk allows.
        """
        data = b"".join(map(encode, outcomes))
        with _mapped(self._path, "written"):
            if self._is_regular:
                await self._inline(partial(_append, self._file.fileno(), data, sync=self._syncs))
            else:
                await self._pass_on(data)

    async def sync(self) -> None:
        """
        Have the disk store what was written.  Raises `ReportError`.
        """
        if self._is_regular:
            with _mapped(self._path, "synced"), CancelScope(shield=True):
                await to_thread.run_sync(os.fsync, self._file.fileno())

    async def _pass_on(self, data: bytes) -> None:
        # The reader of a pipe may take hours, and a thread that writes cannot be interrupted.
        rest = memoryview(data)
        with CancelScope(shield=True):
            while rest:
                rest = rest[await self._file.write(rest) :]


def _append(file: int, data: bytes, *, sync: bool) -> None:
    written = 0
    try:
        while written < len(data):
            written += os.write(file, memoryview(data)[written:])
    except OSError:
        if torn := written - (data.rfind(b"\n", 0, written) + 1):
            # Best effort: if it fails, the next run finds a torn line and repairs it.
            with suppress(OSError):
                os.ftruncate(file, os.fstat(file).st_size - torn)
        raise
    if sync:
        os.fsync(file)


@asynccontextmanager
async def open_report(
    path: Path,
    durability: Durability,
    *,
    follow_link: bool = True,
    inline: Inline = _in_thread,
) -> AsyncIterator[ReportWriter]:
    """
    Open the report at *path* for appending, with its folder if missing, and repair its end.

    It is locked until the block is left or the process ends.  A pipe or a device is written to as
    it is.  With *durability* `full` every write is synced.  Without *follow_link* a symbolic link
    at *path* is refused: it may have been planted.  *inline* does the writing.

    Raises `OutputLockedError` if another run has it, `SettingsError` if what is there is no report,
    `ReportError` if it cannot be opened.
    """
    with CancelScope(shield=True), _mapped(path, "opened"):
        file = await aiofiles.open(
            await in_thread(_open)(path, durability, follow_link), "ab", buffering=0
        )
    try:
        yield ReportWriter(file, path, durability, inline)
    finally:
        with CancelScope(shield=True), _mapped(path, "closed"):
            await file.close()


def _open(path: Path, durability: Durability, follow_link: bool) -> int:  # noqa: FBT001 - one call
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    is_regular = is_new or path.is_file()
    # Without O_NONBLOCK a pipe without a reader would block here for ever.
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    flags |= 0 if follow_link else os.O_NOFOLLOW
    file = os.open(path, flags | (os.O_RDWR if is_regular else os.O_WRONLY), 0o666)
    try:
        os.set_blocking(file, True)
        if is_regular:
            _lock(file, path)
            require_report(path)
            repair(file, path)
        if is_new and durability is Durability.FULL:
            _sync_folder(path.parent)
    except BaseException:
        os.close(file)
        raise
    return file


def _lock(file: int, path: Path) -> None:
    try:
        lock(file, path)
    except BlockingIOError:
        raise OutputLockedError(f"another run is writing the report {path}") from None


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_folder(file, folder)
    finally:
        os.close(file)


@contextmanager
def _mapped(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ReportError(f"the report {path} cannot be {what}: {exc.strerror or exc}") from exc
