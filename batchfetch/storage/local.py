"""
Files below one folder of this machine.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiofiles
from anyio import to_thread

from batchfetch.errors import JobError, OutOfDescriptorsError, UnsafeNameError
from batchfetch.settings import Durability
from batchfetch.sharding import Shard
from batchfetch.storage.base import Found
from batchfetch.storage.claims import Claims
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.files import Files
from batchfetch.storage.folder import Folder
from batchfetch.storage.os_errors import ImageErrors, storage_errors
from batchfetch.storage.sweep import sweep
from batchfetch.storage.target import LocalTarget
from batchfetch.tuning import HOP

log = logging.getLogger(__name__)


class LocalStorage:
    """
    Files below *folder*; None stands for one that is not there yet and is not to be made.

    A *shard* has it together with others.
    """

    def __init__(
        self,
        folder: Folder | None,
        executor: FileExecutor,
        durability: Durability,
        shard: Shard | None = None,
    ) -> None:
        self.folder = folder
        self.executor = executor
        self._shard = shard
        self._claims = Claims()
        self._files = None if folder is None else Files(folder, self._claims, durability, shard)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """
        See `Storage.lock`.
        """
        folder = self._made.folder
        await to_thread.run_sync(folder.lock, self._shard)
        if swept := await self._sweep(remove=True):
            log.info("removed %d unfinished files of an earlier run", swept)
        yield

    async def look(self) -> None:
        """
        Note what a dead run left under construction, and touch nothing.
        """
        if self._files is not None:
            await self._sweep(remove=False)

    async def _sweep(self, *, remove: bool) -> int:
        folder = self._made.folder
        work = partial(sweep, folder, self._claims, remove=remove, shard=self._shard)
        return await to_thread.run_sync(work)

    def open(
        self, name: str, size_hint: int | None = None, *, owner: str | None = None
    ) -> LocalTarget:
        """
        See `Storage.open`.
        """
        return LocalTarget(self._made, self.executor, name, size_hint, owner)

    def is_claimed(self, name: str) -> bool:
        """
        See `Storage.is_claimed`.
        """
        return name in self._claims

    async def is_owned_by(self, name: str, owner: str) -> bool | None:
        """
        See `Storage.is_owned_by`.
        """
        return self._claims.is_for(name, owner)

    async def release(self, names: Sequence[str]) -> None:
        """
        See `Storage.release`.
        """
        if self._claims:
            folder = self._made.folder
            await self.executor.inline(partial(self._claims.release, folder, names))

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
        folder = self._made.folder

        def opener(*_: object) -> int:
            # The path that `open` asks for is passed over: the locale may have no such name.
            return folder.open_to_read(name)

        with ImageErrors(folder.path, name):
            async with aiofiles.open(folder.path, "rb", buffering=0, opener=opener) as file:
                while piece := await file.read(HOP):
                    yield piece

    @property
    def _made(self) -> Files:
        if self._files is None:
            raise FileNotFoundError("the output is not there")
        return self._files


def _sizes(folder: Folder, names: Sequence[str]) -> list[Found]:
    return [_size(folder, name) for name in names]


def _size(folder: Folder, name: str) -> int | JobError | None:
    try:
        size = folder.size_of(name)
        if size is None and folder.is_locked:
            folder.require_possible(name)
    except (UnsafeNameError, OutOfDescriptorsError) as exc:
        return exc
    return size


@asynccontextmanager
async def open_folder(
    root: Path,
    durability: Durability,
    executor: FileExecutor,
    *,
    make: bool = True,
    shard: Shard | None = None,
) -> AsyncIterator[LocalStorage]:
    """
    Open the folder *root*, for one *shard* of a run; with *make*, make it if missing.

    Raises `StorageError` if it cannot be used.
    """
    with storage_errors(root):
        is_there = make or await to_thread.run_sync(root.exists)
    folder = await to_thread.run_sync(partial(Folder, root, make=make)) if is_there else None
    try:
        storage = LocalStorage(folder, executor, durability, shard)
        if not make:
            await storage.look()
        yield storage
    finally:
        if folder is not None:
            folder.close()
