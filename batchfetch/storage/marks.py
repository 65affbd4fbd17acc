"""
Small files beside the images, by which machines find out that they see the same output.
"""

import os
from pathlib import Path
from typing import Protocol

from anyio import to_thread

from batchfetch.storage.os_errors import storage_errors


class Marks(Protocol):
    """
    Marks by name.
    """

    async def write(self, name: str, data: bytes) -> None:
        """
        Leave *data* as the mark *name*.  Raises `StorageError`.
        """
        ...

    async def read(self, name: str) -> bytes | None:
        """
        Return the mark *name*; None if there is none.  Raises `StorageError`.
        """
        ...

    async def remove(self, name: str) -> None:
        """
        Remove the mark *name*, if it is there.  Raises `StorageError`.
        """
        ...


def mark_name() -> str:
    """
    Return a name for a mark that no other has.

    A run that is killed leaves its marks; the next one removes them as it does unfinished files.
    """
    return f".batchfetch.{os.urandom(8).hex()}.part"


class FolderMarks:
    """
    Marks in *folder*.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, name: str, data: bytes) -> None:
        """
        See `Marks.write`.
        """
        with storage_errors(self._folder):
            await to_thread.run_sync((self._folder / name).write_bytes, data)

    async def read(self, name: str) -> bytes | None:
        """
        See `Marks.read`.
        """
        with storage_errors(self._folder):
            try:
                return await to_thread.run_sync((self._folder / name).read_bytes)
            except FileNotFoundError:
                return None

    async def remove(self, name: str) -> None:
        """
        See `Marks.remove`.
        """
        with storage_errors(self._folder):
            await to_thread.run_sync(lambda: (self._folder / name).unlink(missing_ok=True))
