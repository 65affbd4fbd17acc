"""
Construction of parts of a run as in `open_batch`, for tests of a single part.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from virtual import VirtualLoop

from batchfetch.redaction import Redactor
from batchfetch.run.download import Downloader
from batchfetch.run.poller import Poller
from batchfetch.scheduling import Pace, RetryPolicy
from batchfetch.service import Transport
from batchfetch.settings import Durability, Settings
from batchfetch.storage import FileExecutor, LocalStorage, Storage, open_storage


@asynccontextmanager
async def local_storage(root: Path, durability: Durability) -> AsyncIterator[LocalStorage]:
    """
    Open and lock the folder *root* as a storage.
    """
    with FileExecutor() as files:
        if isinstance(loop := asyncio.get_running_loop(), VirtualLoop):
            loop.mind_threads(files.limiter)
        async with open_storage(root, durability, files) as storage, storage.lock():
            yield storage


def downloader(transport: Transport, storage: Storage, settings: Settings) -> Downloader:
    """
    Return a downloader from *transport* to *storage*.
    """
    return Downloader(
        transport,
        storage,
        checksum=settings.checksum,
        max_bytes=settings.max_image_bytes,
    )


def poller(
    transport: Transport,
    storage: Storage,
    settings: Settings,
    pace: Pace,
    retries: RetryPolicy,
    **options: Any,
) -> Poller:
    """
    Return a poller of *transport* that stores images in *storage*.
    """
    return Poller(
        downloader(transport, storage, settings),
        pace,
        retries,
        endpoint=settings.endpoint,
        **{"redact": Redactor("a-token"), **options},
    )
