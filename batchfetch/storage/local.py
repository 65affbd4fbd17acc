"""
Files below one folder of this machine.
"""

import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import aiofiles
from anyio import CancelScope, to_thread

from batchfetch.errors import JobError, OutOfDescriptorsError, UnsafeNameError
from batchfetch.settings import Durability
from batchfetch.storage.base import Found
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.folder import Folder, ImageErrors
from batchfetch.storage.part import Part, save
from batchfetch.tuning import HOP, SHORT_BODY

log = logging.getLogger(__name__)


class _AsyncFile(Protocol):
    # What is used of a file of aiofiles.
    async def writelines(self, lines: Iterable[bytes], /) -> None: ...

    async def flush(self) -> None: ...

    async def close(self) -> None: ...


class LocalStorage:
    """
    Files below *folder*; None stands for one that is not there yet and is not to be made.
    """

    def __init__(
        self, folder: Folder | None, executor: FileExecutor, durability: Durability
    ) -> None:
        self.folder = folder
        self.executor = executor
        self.durability = durability

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """
        See `Storage.lock`.
        """
        folder = self._made
        folder.lock()
        if swept := await to_thread.run_sync(folder.sweep):
            log.info("removed %d unfinished files of an earlier run", swept)
        yield

    def open(self, name: str, size_hint: int | None = None) -> "LocalTarget":
        """
        See `Storage.open`.
        """
        return LocalTarget(self, name, size_hint)

    async def stat(self, names: Sequence[str]) -> list[Found]:
        """
        See `Storage.stat`.
        """
        if self.folder is None:
            return [None] * len(names)
        return await self.executor.inline(partial(_sizes, self.folder, names))

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """
        See `Storage.read`.
        """
        folder = self._made
        with ImageErrors(folder.path, name):
            async with aiofiles.open(name, "rb", buffering=0, opener=folder.open_to_read) as file:
                while piece := await file.read(HOP):
                    yield piece

    @property
    def _made(self) -> Folder:
        if self.folder is None:
            raise FileNotFoundError("the output is not there")
        return self.folder

    def errors(self, name: str) -> ImageErrors:
        """
        Return what turns an `OSError` about the file *name* into an error of ours.
        """
        return ImageErrors(self._made.path, name)

    def save(self, name: str, data: Sequence[bytes]) -> None:
        """
        Write the file *name* in one go.  Blocks; raises `OSError` and `UnsafeNameError`.
        """
        with self._made.parent_of(name, make=True) as (parent, last):
            save(parent, last, data, self.durability)

    def begin(self, name: str) -> tuple[Part, int]:
        """
        Begin the file *name*; also return a descriptor of its folder, to be closed at its end.

        Blocks; raises `OSError` and `UnsafeNameError`.
        """
        with self._made.parent_of(name, make=True) as (parent, last):
            folder = os.dup(parent)
        try:
            return Part(folder, last), folder
        except BaseException:
            os.close(folder)
            raise


class LocalTarget:
    """
    A file under construction.

    What is short is kept in memory, then written in one go; most answers hold no image at all, and
    open no file.  What is long streams through aiofiles.
    """

    __slots__ = ("_file", "_folder", "_held", "_is_long", "_name", "_part", "_size", "_storage")

    def __init__(self, storage: LocalStorage, name: str, size_hint: int | None) -> None:
        self._storage = storage
        self._name = name
        self._is_long = (size_hint or 0) > SHORT_BODY
        self._held: list[bytes] = []
        self._size = 0
        self._part: Part | None = None
        self._folder: int | None = None
        self._file: _AsyncFile | None = None

    async def write(self, chunks: Iterable[bytes]) -> None:
        """
        See `Target.write`.
        """
        if not self._is_long:
            for chunk in chunks:
                self._held.append(chunk)
                self._size += len(chunk)
            self._is_long = self._size > SHORT_BODY
            chunks, self._held = (self._held, []) if self._is_long else ((), self._held)
        if self._is_long:
            with self._storage.errors(self._name):
                await self._stream(chunks)

    async def commit(self) -> None:
        """
        See `Target.commit`.
        """
        with self._storage.errors(self._name):
            if self._part is None or self._file is None:
                await self._end(partial(self._storage.save, self._name, self._held))
                return
            # A commit that has begun is seen through.
            with CancelScope(shield=True):
                await self._file.flush()
                await self._end(partial(self._part.publish, self._storage.durability))
                self._part = None
                await self._close()

    async def abort(self) -> None:
        """
        See `Target.abort`.
        """
        self._held.clear()
        if self._folder is not None:
            with CancelScope(shield=True), self._storage.errors(self._name):
                await self._close()

    async def _stream(self, chunks: Iterable[bytes]) -> None:
        # To its end, also if cancelled: until then neither file nor chunks may go.
        with CancelScope(shield=True):
            if self._file is None:
                executor = self._storage.executor
                part, folder = await executor.inline(partial(self._storage.begin, self._name))
                self._part, self._folder = part, folder
                self._file = await aiofiles.open(part.file, "wb", executor=executor.cpu_pool)
            # One hop to a thread: there the chunks are made and written.
            await self._file.writelines(chunks)

    async def _end(self, work: partial[None]) -> None:
        """
        Do the *work* that ends a file: only what waits for the disk by design needs a thread.
        """
        executor = self._storage.executor
        if self._storage.durability is Durability.NONE:
            await executor.inline(work)
        else:
            await executor.run(work)

    async def _close(self) -> None:
        part, folder, file = self._part, self._folder, self._file
        self._part = self._folder = self._file = None
        try:
            if file is not None:
                await file.close()
            elif part is not None:
                os.close(part.file)
        finally:
            if part is not None:
                part.discard()
            if folder is not None:
                os.close(folder)


def _sizes(folder: Folder, names: Sequence[str]) -> list[Found]:
    return [_size(folder, name) for name in names]


def _size(folder: Folder, name: str) -> int | JobError | None:
    try:
        return folder.size_of(name)
    except (UnsafeNameError, OutOfDescriptorsError) as exc:
        return exc


@asynccontextmanager
async def open_storage(
    root: Path, durability: Durability, executor: FileExecutor, *, make: bool = True
) -> AsyncIterator[LocalStorage]:
    """
    Open the folder *root*; with *make*, make it if missing.

    Raises `StorageError` if it cannot be used.
    """
    is_there = make or await to_thread.run_sync(root.exists)
    folder = await to_thread.run_sync(partial(Folder, root, make=make)) if is_there else None
    try:
        yield LocalStorage(folder, executor, durability)
    finally:
        if folder is not None:
            folder.close()
