"""
Which objects are there, in as few requests as it takes.
"""

from collections.abc import Sequence
from contextlib import aclosing

from anyio import CapacityLimiter, create_task_group

from batchfetch.exception_groups import unwrapped
from batchfetch.hash_table import HashTable
from batchfetch.storage.store.bucket import Bucket

# Names up to which each is asked about by itself, in a prefix of more objects than one page has.
_FEW = 1000

# Such questions at once.
_AT_ONCE = 32

_THERE = 1


class Listing:
    """
    The sizes of objects in *bucket*, as they were when the run began and as it has put them since.

    One page of the prefix is asked for first: it is all there is if the prefix is new.  Of a long
    one a few names are asked about one by one, and for many it is listed once as a whole.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._sizes = HashTable("Q")
        self._is_complete = False
        self._asked = 0

    async def sizes(self, names: Sequence[str]) -> list[int | None]:
        """
        Return the size of the object at each of *names*; None if there is none.

        Raises `StorageError`.
        """
        if not names:
            return []
        if self._asked == 0:
            await self._list(pages=1)
        self._asked += len(names)
        if not self._is_complete and self._asked <= _FEW:
            return await self._ask(names)
        if not self._is_complete:
            await self._list()
        return [self._listed(name) for name in names]

    def note(self, name: str, size: int) -> None:
        """
        Note that this run has put an object of *size* bytes at *name*.
        """
        self._sizes.mark(name, _THERE, number=size)

    def _listed(self, name: str) -> int | None:
        there, size = self._sizes.get(name)
        return size if there else None

    async def _list(self, pages: int | None = None) -> None:
        """
        Note all that is there; at most *pages* pages, if that is given.
        """
        async with aclosing(self._bucket.list()) as listed:
            async for page in listed:
                if pages == 0:
                    return
                for key, size in page:
                    self._sizes.mark(key, _THERE, number=size)
                pages = None if pages is None else pages - 1
        self._is_complete = True

    async def _ask(self, names: Sequence[str]) -> list[int | None]:
        found: dict[str, int | None] = {}
        limiter = CapacityLimiter(_AT_ONCE)

        async def ask(name: str) -> None:
            async with limiter:
                there = await self._bucket.find(name)
            found[name] = None if there is None else there.size

        with unwrapped():
            async with create_task_group() as tasks:
                for name in names:
                    tasks.start_soon(ask, name)
        return [found[name] for name in names]
