"""
Image bytes in, a whole file below the output or none.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

from aiofiles.threadpool.binary import AsyncFileIO
from anyio import to_thread

from batchfetch.models import Image
from batchfetch.settings import Durability
from batchfetch.storage.folder import Folder, ImageErrors
from batchfetch.storage.part import Decoder, PartFile, Text, save
from batchfetch.storage.writers import Writers

log = logging.getLogger(__name__)


# Bytes of text up to which an image is decoded and written right where it arrives.  What is known
# to be longer goes to a thread, what turns out to be longer does so from there on.  To wake it, and
# to take turns with it, takes as long as a page of 200 KB.
_RIGHT_HERE = 768 * 1024


class LocalStorage:
    """
    Images below one folder of this machine.
    """

    def __init__(self, folder: Folder, writers: Writers, durability: Durability) -> None:
        self.folder = folder
        self.writers = writers
        self.durability = durability

    def create(self, filename: str, decoder: Decoder, *, announced: int = 0) -> "ImageFile":
        """
        Begin the image *filename*, whose text, of *announced* bytes if that is known, *decoder*
        turns into its own.
        """
        return ImageFile(self, filename, decoder, announced)


class ImageFile:
    """
    An image that is being written: a context whose end without a `commit` leaves no trace.

    Nothing is opened before the first `write` or a `commit`: most answers hold no image.
    """

    __slots__ = ("_beside", "_decoder", "_filename", "_part", "_right_here", "_storage")

    def __init__(
        self, storage: LocalStorage, filename: str, decoder: Decoder, announced: int
    ) -> None:
        self._storage = storage
        self._filename = filename
        self._decoder = decoder
        self._part: PartFile | None = None
        self._beside: AsyncFileIO | None = None
        self._right_here = 0 if announced > _RIGHT_HERE else _RIGHT_HERE

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: object
    ) -> None:
        if self._part is not None and not self._part.closed:
            # Waits for a thread that still writes: until then neither file nor pieces may go.
            with self._errors():
                await self._storage.writers.run(self._part.close)

    async def write(self, pieces: Sequence[Text]) -> None:
        """
        Take the next *pieces* of text, which are used no more afterwards.

        They are decoded, checked, hashed and written here if the image is not large, else in a
        thread, beside the network.  Raises `StorageError`, and what the decoder raises.
        """
        if not pieces:
            return
        writers = self._storage.writers
        with self._errors():
            if self._part is None:
                self._part = await writers.inline(self._open)
            self._right_here -= sum(map(len, pieces))
            if self._right_here >= 0:
                await writers.inline(partial(self._part.writelines, pieces))
                return
            if self._beside is None:
                self._beside = writers.file(self._part)
            await self._beside.writelines(pieces)

    async def commit(self, pieces: Sequence[Text] = ()) -> Image:
        """
        Take the last *pieces*, check the image, put it in its place and return what it is.

        Raises `StorageError`, and what the decoder raises if the image is not whole and sound.
        """
        if self._part is None:
            data = [*map(self._decoder.decode, pieces)]
            work = partial(self._save, data)
        else:
            await self.write(pieces)
            work = partial(self._part.commit, self._storage.durability)
        image = self._decoder.flush()
        with self._errors():
            await self._ended(work)
        return image

    async def _ended(self, work: Callable[[], None]) -> None:
        """
        Do the *work* that ends a file: only what waits for the disk by design needs a thread.
        """
        writers = self._storage.writers
        if self._storage.durability is Durability.NONE:
            await writers.inline(work)
        else:
            await writers.run(work)

    def _open(self) -> PartFile:
        with self._storage.folder.parent_of(self._filename, make=True) as (parent, name):
            return PartFile(parent, name, self._decoder)

    def _save(self, data: list[bytes]) -> None:
        with self._storage.folder.parent_of(self._filename, make=True) as (parent, name):
            save(parent, name, data, self._storage.durability)

    def _errors(self) -> ImageErrors:
        return ImageErrors(self._storage.folder.path, self._filename)


@asynccontextmanager
async def open_storage(root: Path, durability: Durability) -> AsyncIterator[LocalStorage]:
    """
    Hold the folder *root*, made if missing, for one run.

    Raises `StorageError` if it cannot be used, `OutputLockedError` if another run is in it.
    """
    folder = await to_thread.run_sync(Folder, root)
    writers = Writers()
    try:
        folder.lock()
        if swept := await to_thread.run_sync(folder.sweep):
            log.info("removed %d unfinished files of an earlier run", swept)
        yield LocalStorage(folder, writers, durability)
    finally:
        writers.close()
        folder.close()
