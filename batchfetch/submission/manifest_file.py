"""
The manifest that comes out of a submission: a file that is appended to, or standard output.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from anyio import CancelScope, to_thread
from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.errors import OutputLockedError, SettingsError, StorageError
from batchfetch.hash_table import HashTable
from batchfetch.locks import lock
from batchfetch.report.appending import open_appended
from batchfetch.report.lines import MAX_LINE, is_torn
from batchfetch.report.repair import repair
from batchfetch.settings import Durability
from batchfetch.submission.lines import SubmitResult, manifest_line

# Lines of earlier runs that are written at once.
_BLOCK = 256

# The flag of an id whose line is not in the manifest.
_ACCEPTED = 1

# What every line of a report has that says what became of a task or an image.
_REPORTED = frozenset({"calls", "outcome"})


class ManifestWriter(Protocol):
    """
    Takes a line for each image that was accepted.
    """

    name: str
    """What a checkpoint calls it."""

    async def write(self, results: Iterable[SubmitResult]) -> None:
        """
        Write a line for each of *results*; they are with the system on return.

        Raises `StorageError`.
        """
        ...

    async def complete(self, accepted: Callable[[], Iterator[SubmitResult]]) -> int:
        """
        Write a line for each result of earlier runs that has none yet; return how many.

        *accepted* yields these results, every time anew.  Raises `StorageError`.
        """
        ...

    async def sync(self) -> None:
        """
        Have the disk store what was written, if that is wanted.  Raises `StorageError`.
        """
        ...


class FileManifest:
    """
    Appends to the open *file* at *path*.  Made by `open_manifest`.
    """

    def __init__(
        self, file: int, path: Path, *, is_regular: bool, durability: Durability = Durability.NONE
    ) -> None:
        self._file = file
        self._path = path
        self._is_regular = is_regular
        self._durability = durability
        self._turn = asyncio.Lock()
        self.name = str(path.absolute())

    async def write(self, results: Iterable[SubmitResult]) -> None:
        """
        See `ManifestWriter.write`.
        """
        data = b"".join(map(manifest_line, results))
        async with self._turn:
            if not data:
                return
            if not self._is_regular:
                # A pipe's reader may take hours, and a thread that writes cannot be interrupted.
                work = partial(_write_all, self._file, self._path, data)
                await to_thread.run_sync(work, abandon_on_cancel=True)
                return
            with CancelScope(shield=True):
                await to_thread.run_sync(self._append, data)

    def _append(self, data: bytes) -> None:
        with manifest_errors(self._path):
            size = os.fstat(self._file).st_size
            try:
                _write_whole(self._file, data)
            except OSError:
                with suppress(OSError):  # An append-only file, for instance.
                    os.ftruncate(self._file, size)
                raise
            if self._durability is Durability.FULL:
                os.fsync(self._file)

    async def sync(self) -> None:
        """
        See `ManifestWriter.sync`.
        """
        if self._is_regular and self._durability is not Durability.NONE:
            with manifest_errors(self._path), CancelScope(shield=True):
                await to_thread.run_sync(os.fsync, self._file)

    async def complete(self, accepted: Callable[[], Iterator[SubmitResult]]) -> int:
        """
        See `ManifestWriter.complete`.
        """
        missing = await to_thread.run_sync(self._without_line, accepted)
        count = 0
        while block := await to_thread.run_sync(list, islice(missing, _BLOCK)):
            await self.write(block)
            count += len(block)
        return count

    def _without_line(
        self, accepted: Callable[[], Iterator[SubmitResult]]
    ) -> Iterator[SubmitResult]:
        if not self._is_regular:
            return accepted()  # What is in a pipe cannot be read back.
        known = HashTable("I")
        for result in accepted():
            known.mark(_key(result.task_id), _ACCEPTED)
        if not known.used:
            return iter(())
        with manifest_errors(self._path), self._path.open("rb") as file:
            while line := file.readline(MAX_LINE):
                if (task_id := task_id_of(row_of(line))) is not None:
                    known.mark(_key(task_id), 0, clear=_ACCEPTED)
        return (each for each in accepted() if known.get(_key(each.task_id))[0])


@asynccontextmanager
async def open_manifest(
    path: Path, durability: Durability, *, to_stdout: bool
) -> AsyncIterator[FileManifest]:
    """
    Open the manifest at *path* for appending, with its folder if missing, or standard output.

    A file is locked until the block is left, and its torn last line is cut off.  With *durability*
    `full` every line is synced.

    What is there has passed `require_manifest`.  Raises `OutputLockedError` if another run has it,
    `StorageError` if it cannot be opened.
    """
    if to_stdout:
        # A file that stdout was redirected to is the shell's: it is not locked, and not read.
        manifest = FileManifest(1, Path("standard output"), is_regular=False)
        manifest.name = "-"
        yield manifest
        return
    with CancelScope(shield=True):
        file = await to_thread.run_sync(_open, path, durability)
    try:
        is_regular = stat.S_ISREG(os.fstat(file).st_mode)
        yield FileManifest(file, path, is_regular=is_regular, durability=durability)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(os.close, file)


def require_manifest(path: Path) -> None:
    """
    Raise `SettingsError` if *path* is a folder, or a file that has lines and the first is none of a
    manifest's, or one of a report's.

    Raises `StorageError` if it is there and cannot be read.
    """
    with manifest_errors(path):
        if path.is_dir():
            raise SettingsError(f"{path} is a folder; name a file with --output")
        if not path.is_file():
            return
        with path.open("rb") as file:
            first = b""
            while not first.strip():
                if not (first := file.readline(MAX_LINE)):
                    return
    row = row_of(first)
    if row.keys() >= _REPORTED:
        raise SettingsError(f"{path} is a report, so it stays as it is; choose another --output")
    if task_id_of(row) is None and not is_torn(first):
        raise SettingsError(
            f"{path} has lines and the first is none of a manifest in JSON Lines, so it stays as it"
            " is; choose another --output"
        )


def _open(path: Path, durability: Durability) -> int:
    def prepare(file: int) -> None:
        _lock(file, path)
        repair(file, path, follows="it is written again if the report has its task")

    with manifest_errors(path):
        return open_appended(path, durability, prepare)


def _lock(file: int, path: Path) -> None:
    try:
        lock(file, path)
    except BlockingIOError:
        raise OutputLockedError(
            f"another run is writing the manifest {path}; wait for it or choose another --output"
        ) from None


def _key(task_id: str | None) -> str:
    return (task_id or "").casefold()


def row_of(line: bytes) -> Mapping[str, JsonValue]:
    """
    Return the object that *line* is; an empty one if it is none.
    """
    with suppress(ValueError):
        row: JsonValue = from_json(line)
        if isinstance(row, dict):
            return row
    return {}


def task_id_of(row: Mapping[str, JsonValue]) -> str | None:
    """
    Return the id of the task that *row* is about; None if it has none.
    """
    task_id = row.get("task_id")
    return task_id if isinstance(task_id, str) else None


def _write_all(file: int, path: Path, data: bytes) -> None:
    with manifest_errors(path):
        _write_whole(file, data)


def _write_whole(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


@contextmanager
def manifest_errors(path: Path) -> Iterator[None]:
    """
    Raise what the disk of the manifest at *path* says as `StorageError`.
    """
    try:
        yield
    except BrokenPipeError:
        raise StorageError(
            f"{path}: the program that read the manifest has ended; run again with one that goes on"
        ) from None
    except OSError as exc:
        raise StorageError(
            f"the manifest {path} cannot be used: {exc.strerror or exc}; see to the disk, or choose"
            " another --output, and run again"
        ) from exc
