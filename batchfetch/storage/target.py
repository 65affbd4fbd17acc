"""
One image under construction on this machine's disk.
"""

import os
from collections.abc import Iterable
from functools import partial
from typing import Protocol

import aiofiles
from anyio import CancelScope

from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.files import Files
from batchfetch.storage.part import Part
from batchfetch.tuning import SHORT_BODY


class _AsyncFile(Protocol):
    # What is used of a file of aiofiles.
    async def writelines(self, lines: Iterable[bytes], /) -> None: ...

    async def flush(self) -> None: ...

    async def close(self) -> None: ...


class LocalTarget:
    """
    A file under construction.

    What is short is kept in memory, then written in one go; most answers hold no image at all, and
    open no file.  What is long streams through aiofiles.
    """

    __slots__ = (
        "_executor",
        "_file",
        "_files",
        "_folder",
        "_held",
        "_is_long",
        "_name",
        "_owner",
        "_part",
        "_size",
    )

    def __init__(
        self,
        files: Files,
        executor: FileExecutor,
        name: str,
        size_hint: int | None,
        owner: str | None,
    ) -> None:
        self._files = files
        self._executor = executor
        self._name = name
        self._owner = owner
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
                self._held.append(bytes(chunk))  # No copy, unless it may be filled again.
                self._size += len(chunk)
            self._is_long = self._size > SHORT_BODY
            chunks, self._held = (self._held, []) if self._is_long else ((), self._held)
        if self._is_long:
            with self._files.errors(self._name):
                await self._stream(chunks)

    async def commit(self, *, sha256: str | None = None) -> None:  # noqa: ARG002 - no place for it
        """
        See `Target.commit`.
        """
        with self._files.errors(self._name):
            name, owner = self._name, self._owner
            if self._part is None or self._file is None or self._folder is None:
                await self._end(partial(self._files.save, name, owner, self._held))
                return
            # A commit that has begun is seen through.
            with CancelScope(shield=True):
                await self._file.flush()
                await self._end(partial(self._files.publish, self._part, self._folder, name, owner))
                self._part = None
                await self._close()

    async def abort(self) -> None:
        """
        See `Target.abort`.
        """
        self._held.clear()
        if self._folder is not None:
            with CancelScope(shield=True), self._files.errors(self._name):
                await self._close()

    async def _stream(self, chunks: Iterable[bytes]) -> None:
        # To its end, also if cancelled: until then neither file nor chunks may go.
        with CancelScope(shield=True):
            if self._file is None:
                begin = partial(self._files.begin, self._name)
                part, folder = await self._executor.inline(begin)
                self._part, self._folder = part, folder
                self._file = await aiofiles.open(part.file, "wb", executor=self._executor.cpu_pool)
            # One hop to a thread: there the chunks are made and written.
            await self._file.writelines(chunks)

    async def _end(self, work: partial[None]) -> None:
        """
        Do the *work* that ends a file: only what waits for the disk by design needs a thread.
        """
        if self._files.waits_for_disk:
            await self._executor.run(work)
        else:
            await self._executor.inline(work)

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
