"""
Choose the storage for an output: a folder of this machine, or a store by the scheme of its URL.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchfetch.errors import SettingsError
from batchfetch.settings import Durability
from batchfetch.sharding import Shard
from batchfetch.storage.base import Storage
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.local import open_folder
from batchfetch.storage.marks import FolderMarks, Marks
from batchfetch.text import needs_extra

if TYPE_CHECKING:
    from batchfetch.storage.store import Bucket


@asynccontextmanager
async def open_storage(
    output: Path | str,
    durability: Durability,
    executor: FileExecutor,
    *,
    make: bool = True,
    shard: Shard | None = None,
) -> AsyncIterator[Storage]:
    """
    Open *output*, a folder or the URL of a prefix in a store, for one *shard* of a run; with
    *make*, make the folder if missing.

    Raises `StorageError` if it cannot be used, `SettingsError` if what a store needs is missing.
    """
    if isinstance(output, Path):
        async with open_folder(output, durability, executor, make=make, shard=shard) as folder:
            yield folder
        return
    bucket = await _open_bucket(output)
    from batchfetch.storage.store import StoreStorage  # noqa: PLC0415 - an extra

    yield StoreStorage(bucket, executor, shard)


async def open_marks(output: Path | str) -> Marks:
    """
    Return the marks in *output*, a folder or the URL of a prefix in a store.

    Raises `StorageError` if it cannot be used, `SettingsError` if what a store needs is missing.
    """
    if isinstance(output, Path):
        return FolderMarks(output)
    bucket = await _open_bucket(output)
    from batchfetch.storage.store import StoreMarks  # noqa: PLC0415 - an extra

    return StoreMarks(bucket)


async def _open_bucket(output: str) -> "Bucket":
    try:
        from batchfetch.storage.store import Bucket  # noqa: PLC0415 - an extra
    except ImportError as exc:
        if exc.name != "obstore":
            raise
        raise SettingsError(needs_extra(output, "store")) from None
    bucket = Bucket(output)
    await bucket.require_access()
    return bucket
