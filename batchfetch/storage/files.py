"""
Write files below the output: whole, claimed, synced.

Everything here blocks.
"""

import os
from collections.abc import Sequence

from batchfetch.settings import Durability
from batchfetch.sharding import Shard
from batchfetch.storage.claims import Claims
from batchfetch.storage.folder import Folder
from batchfetch.storage.os_errors import ImageErrors
from batchfetch.storage.part import Part, write


class Files:
    """
    Files below *folder*, as durable as *durability* says; those under construction carry the
    *shard*.
    """

    def __init__(
        self, folder: Folder, claims: Claims, durability: Durability, shard: Shard | None = None
    ) -> None:
        self.folder = folder
        self.claims = claims
        self._durability = durability
        self._shard = shard

    @property
    def waits_for_disk(self) -> bool:
        """
        Whether to end a file takes as long as the disk does.
        """
        return self._durability is not Durability.NONE

    def errors(self, name: str) -> ImageErrors:
        """
        Return what turns an `OSError` about the file *name* into an error of ours.
        """
        return ImageErrors(self.folder.path, name)

    def save(self, name: str, owner: str | None, data: Sequence[bytes]) -> None:
        """
        Write the file *name*, of *owner*, in one go.  Blocks; raises `OSError`, `UnsafeNameError`.
        """
        with self.folder.parent_of(name, make=True) as (parent, last):
            part = Part(parent, last, self._shard)
            try:
                write(part.file, data)
                self.publish(part, parent, name, owner)
            except BaseException:
                part.discard()
                raise
            finally:
                os.close(part.file)

    def begin(self, name: str) -> tuple[Part, int]:
        """
        Begin the file *name*; also return a descriptor of its folder, to be closed at its end.

        Blocks; raises `OSError` and `UnsafeNameError`.
        """
        with self.folder.parent_of(name, make=True) as (parent, last):
            folder = os.dup(parent)
        try:
            return Part(folder, last, self._shard), folder
        except BaseException:
            os.close(folder)
            raise

    def publish(self, part: Part, parent: int, name: str, owner: str | None) -> None:
        """
        Give *part*, which is whole, its *name* in the open folder *parent*.

        Blocks; raises `OSError`.
        """
        if self._durability is not Durability.NONE:
            os.fsync(part.file)
        if owner is None or name.rpartition(".")[0] == owner:
            part.publish()
        else:
            self.claims.release(
                self.folder, [name]
            )  # An older one, on the file that is replaced now.
            claim = part.claim_name(self.claims.text(name, owner))
            part.publish(claim)
            self.claims.add(name, claim)
        if self._durability is Durability.FULL:
            self.folder.sync(parent)
