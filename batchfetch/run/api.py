"""
The front door: open a batch, or fetch one in a single call.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from anyio import create_task_group, to_thread
from pydantic import ValidationError

from batchfetch.errors import SettingsError
from batchfetch.exception_groups import unwrapped
from batchfetch.manifest import Manifest
from batchfetch.report import load_report, open_report
from batchfetch.report.ledger import Ledger
from batchfetch.report.recorder import Recorder
from batchfetch.run.batch import Batch
from batchfetch.run.intake import Intake, Row
from batchfetch.run.summary import Summary
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.service import Credentials, TokenSource, find_credentials, open_transport
from batchfetch.settings import Durability, Settings
from batchfetch.storage import open_storage


@asynccontextmanager
async def open_batch(
    jobs: Iterable[Row],
    settings: Settings | None = None,
    *,
    credentials: Credentials | None = None,
    retries: RetryPolicy | None = None,
) -> AsyncIterator[Batch]:
    """
    Fetch the images of *jobs* and hand out what becomes of each.

    *jobs* is a `Manifest`, or any iterable of `Job`s or bare task ids; it is read in a thread, no
    faster than needed, and may be endless.  Without *credentials* those of the environment are
    used (see `find_credentials`).  *retries* replaces the pauses between the tries of a request.

    Leaving the block early gives up what is in flight; everything decided is in the report.

    Raises `ManifestError` and `SettingsError` before anything is asked, `OutputLockedError` if
    another run is on, `StorageError` if the output or the report cannot be used.
    """
    settings = settings or Settings()
    credentials = credentials or find_credentials(os.environ)
    retries = retries or RetryPolicy(attempts=settings.attempts)
    if isinstance(jobs, Manifest):
        await to_thread.run_sync(jobs.check)
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(
            open_storage(settings.output, settings.durability)
        )
        report = await stack.enter_async_context(
            open_report(
                settings.report_path,
                settings.durability,
                follow_link=settings.report is not None,  # Then it is the user's own.
                inline=storage.writers.run
                if settings.durability is Durability.FULL
                else storage.writers.inline,
            )
        )
        ledger = Ledger()
        await to_thread.run_sync(load_report, settings.report_path, ledger)
        transport = await stack.enter_async_context(open_transport(settings))
        batch = Batch(
            Intake(jobs, ledger, storage.folder, settings),
            Recorder(report.write),
            storage,
            transport,
            TokenSource(credentials, transport, retries, clock=asyncio.get_running_loop().time),
            settings,
            retries,
        )
        with unwrapped():
            async with create_task_group() as tasks:
                tasks.start_soon(batch.run)
                try:
                    yield batch
                finally:
                    batch.abandon()


def fetch(
    *manifests: str | Path, credentials: Credentials | None = None, **settings: object
) -> Summary:
    """
    Fetch the images of *manifests* and return what the run came to, however it ended.

    *settings* are the fields of `Settings`.  Not to be called from a running event loop; use
    `open_batch` there.

    Raises what `open_batch` raises, and `CredentialsError`, `StorageError` or `ManifestError` if
    one of them ended the run.
    """

    async def run() -> Summary:
        async with open_batch(Manifest(*manifests), chosen, credentials=credentials) as batch:
            async for _ in batch:
                pass
        return batch.summary

    try:
        chosen = Settings.model_validate(settings)
    except ValidationError as exc:
        raise SettingsError(str(exc)) from None
    return anyio.run(run)
