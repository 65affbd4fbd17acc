"""
Objects of a store, as a storage: nothing appears under a name unless it is whole.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing

from batchfetch.errors import UnsafeNameError
from batchfetch.sharding import Shard
from batchfetch.storage.base import Found
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.keys import OWN, is_label_of, require_possible
from batchfetch.storage.store.listing import Listing
from batchfetch.storage.store.lock import EXPIRY, RENEWAL, held
from batchfetch.storage.store.target import Gates, StoreTarget
from batchfetch.storage.store.tenure import Tenure

_SEGMENTS = f"{OWN}/report"


class StoreStorage:
    """
    The objects below the prefix of *bucket*, which a *shard* has together with others.

    Its lock is renewed every *renewal* seconds, and is no more if that failed for *expiry* seconds.
    """

    def __init__(
        self,
        bucket: Bucket,
        executor: FileExecutor,
        shard: Shard | None = None,
        *,
        renewal: float = RENEWAL,
        expiry: float = EXPIRY,
    ) -> None:
        self._bucket = bucket
        self._shard = shard
        self._executor = executor
        self._listing = Listing(bucket)
        self._gates = Gates()
        self._tenure = Tenure()
        self._renewal = renewal
        self._expiry = expiry

    def lock(self) -> AbstractAsyncContextManager[None]:
        """
        See `Storage.lock`.
        """
        return held(
            *(self._bucket, self._tenure, self._shard),
            renewal=self._renewal,
            expiry=self._expiry,
        )

    def lock_left(self) -> float:
        """
        See `LockKeeper.lock_left`.
        """
        return self._tenure.left

    def rely_on_lock(self, seconds: float) -> None:
        """
        See `LockKeeper.rely_on_lock`.
        """
        self._tenure.extend(self._tenure.now() + seconds)

    def open(
        self, name: str, size_hint: int | None = None, *, owner: str | None = None
    ) -> StoreTarget:
        """
        See `Storage.open`.
        """
        return StoreTarget(
            *(self._bucket, self._executor, self._gates, name, size_hint, owner, self._tenure),
            on_commit=self._listing.note,
        )

    def is_claimed(self, name: str) -> bool:  # noqa: ARG002 - the interface's
        """
        See `Storage.is_claimed`: whose an object is, it says itself.
        """
        return False

    async def is_owned_by(self, name: str, owner: str) -> bool | None:
        """
        See `Storage.is_owned_by`.
        """
        found = await self._bucket.find(name)
        return None if found is None else is_label_of(found.labels, owner)

    async def release(self, names: Sequence[str]) -> None:
        """
        See `Storage.release`: there is nothing to forget.
        """

    async def stat(self, names: Sequence[str]) -> list[Found]:
        """
        See `Storage.stat`.
        """
        refused: dict[str, Found] = {}
        for name in names:
            try:
                require_possible(name, self._bucket.prefix)
            except UnsafeNameError as exc:
                refused[name] = exc
        possible = [name for name in names if name not in refused]
        sizes = dict(zip(possible, await self._listing.sizes(possible), strict=True))
        return [refused[name] if name in refused else sizes[name] for name in names]

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """
        See `Storage.read`.
        """
        return self._bucket.read(name)

    async def segments(self) -> dict[str, int]:
        """
        See `ReportKeeper.segments`.
        """
        async with aclosing(self._bucket.list(_SEGMENTS)) as pages:
            return {key.rpartition("/")[2]: size async for page in pages for key, size in page}

    async def read_segment(self, name: str) -> bytes:
        """
        See `ReportKeeper.read_segment`.
        """
        async with aclosing(self._bucket.read(f"{_SEGMENTS}/{name}")) as pieces:
            return b"".join([piece async for piece in pieces])

    async def write_segment(self, name: str, data: bytes) -> None:
        """
        See `ReportKeeper.write_segment`.
        """
        await self._bucket.put(f"{_SEGMENTS}/{name}", data)
