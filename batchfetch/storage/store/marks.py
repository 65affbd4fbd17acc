"""
Marks in an object store: see `batchfetch.storage.marks`.
"""

from contextlib import aclosing

from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.errors import MissingObjectError
from batchfetch.storage.store.keys import OWN


class StoreMarks:
    """
    Marks below the prefix of *bucket*.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def write(self, name: str, data: bytes) -> None:
        """
        See `Marks.write`.
        """
        await self._bucket.put(_key(name), data)

    async def read(self, name: str) -> bytes | None:
        """
        See `Marks.read`.
        """
        try:
            async with aclosing(self._bucket.read(_key(name))) as pieces:
                return b"".join([piece async for piece in pieces])
        except MissingObjectError:
            return None

    async def remove(self, name: str) -> None:
        """
        See `Marks.remove`.
        """
        await self._bucket.delete(_key(name))


def _key(name: str) -> str:
    return f"{OWN}/{name}"
