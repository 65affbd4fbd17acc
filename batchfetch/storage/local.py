"""
Image bytes in, a whole file below the output or none.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

from anyio import CancelScope, to_thread

from batchfetch.models import Image
from batchfetch.settings import Durability
from batchfetch.storage.folder import Folder, ImageErrors
from batchfetch.storage.part import Decoder, PartFile
from batchfetch.storage.writers import Writers

log = logging.getLogger(__name__)

# The one place that decides how big a write is: bytes of text collected before a thread is
# bothered.  A visit to a thread costs about 40 µs, as long as this takes into the page cache; twice
# as much is no faster, and costs memory for each image in flight.  A page of 200 KB fits in one.
WRITE_SIZE = 320 * 1024


class LocalStorage:
    """
    Images below one folder of this machine.
    """

    def __init__(self, folder: Folder, writers: Writers, durability: Durability) -> None:
        self.folder = folder
        self.writers = writers
        self.durability = durability

    def create(self, filename: str, decoder: Decoder) -> "ImageFile":
        """
        Begin the image *filename*, whose text *decoder* turns into bytes.
        """
        return ImageFile(self, filename, decoder)


class ImageFile:
    """
    An image that is being written: a context whose end without a `commit` leaves no trace.

    Nothing is opened before there is a bufferful or a `commit`: most answers hold no image.
    """

    def __init__(self, storage: LocalStorage, filename: str, decoder: Decoder) -> None:
        self._storage = storage
        self._filename = filename
        self._decoder = decoder
        self._pieces: list[bytes | memoryview] = []
        self._collected = 0
        self._part: PartFile | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: object
    ) -> None:
        await self.close()

    async def write(self, text: bytes | memoryview) -> None:
        """
        Take the next piece of *text*.  Raises `StorageError`, and what the decoder raises.
        """
        self._pieces.append(text)
        self._collected += len(text)
        if self._collected >= WRITE_SIZE:
            with self._errors():
                await self._flush()

    async def commit(self) -> Image:
        """
        Check the image, put it in its place and return what it is.

        Raises `StorageError`, and what the decoder raises if the image is not whole and sound.
        """
        writers = self._storage.writers
        with self._errors():
            if self._part is None:
                return await writers.run_small(self._save)
            await self._flush()
            return await writers.run(partial(self._finish, self._part))

    async def close(self) -> None:
        """
        Let go of the file; without a `commit` nothing is left of it.
        """
        if self._part is not None and not self._part.closed:
            with self._errors():
                await self._storage.writers.run(self._part.close)

    async def _flush(self) -> None:
        if self._part is None:
            self._part = await self._storage.writers.run(self._open)
        pieces, self._pieces, self._collected = self._pieces, [], 0
        # To its end: the file must not be closed while a thread still writes to it.
        with CancelScope(shield=True):
            await self._storage.writers.file(self._part).writelines(pieces)

    def _open(self) -> PartFile:
        with self._storage.folder.parent_of(self._filename, make=True) as (parent, name):
            return PartFile(parent, name, self._decoder)

    def _save(self) -> Image:
        part = self._part = self._open()
        part.writelines(self._pieces)
        return self._finish(part)

    def _finish(self, part: PartFile) -> Image:
        image = part.commit(self._storage.durability)
        part.close()
        return image

    def _errors(self) -> ImageErrors:
        return ImageErrors(self._storage.folder.path, self._filename)


@asynccontextmanager
async def open_storage(root: Path, durability: Durability) -> AsyncIterator[LocalStorage]:
    """
    Hold the folder *root*, made if missing, for one run.

    Raises `StorageError` if it cannot be used, `OutputLockedError` if another run is in it.
    """
    folder = await to_thread.run_sync(Folder, root)
    writers = Writers(durable=durability is not Durability.NONE)
    try:
        folder.lock()
        if swept := await to_thread.run_sync(folder.sweep):
            log.info("removed %d unfinished files of an earlier run", swept)
        yield LocalStorage(folder, writers, durability)
    finally:
        writers.close()
        folder.close()
