"""
The public API, and the only place where a run is wired: defaults are made here, and everything can
be handed in.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from math import inf
from pathlib import Path
from typing import Unpack

import anyio
from anyio import CancelScope, to_thread

from batchfetch.errors import SettingsError
from batchfetch.exception_groups import unwrapped
from batchfetch.hooks import Hook, Settled, tell_all
from batchfetch.manifest import Manifest
from batchfetch.models import Outcome
from batchfetch.report import (
    LastLines,
    Ledger,
    ReadBack,
    Recorder,
    Reports,
    RunLog,
    load_report,
    open_report,
    reports_of,
)
from batchfetch.run.batch import Batch
from batchfetch.run.client import open_client
from batchfetch.run.download import Downloader
from batchfetch.run.fetcher import Fetcher, LocalFetcher, Parts, Wiring
from batchfetch.run.intake import Intake, Row
from batchfetch.run.release import ReleasingWriter
from batchfetch.run.segments import kept_report
from batchfetch.run.summary import Summary
from batchfetch.scheduling import Pace, RetryPolicy
from batchfetch.service import (
    Credentials,
    Transport,
)
from batchfetch.settings import Durability, Settings, SettingsOptions
from batchfetch.storage import FileExecutor, ReportKeeper, Storage, open_storage
from batchfetch.text import sanitize

log = logging.getLogger(__name__)

# Characters of a wrong value that an error shows.
_MAX_SHOWN = 80


@asynccontextmanager
async def open_batch(  # noqa: PLR0913 - everything can be handed in
    jobs: Iterable[Row],
    settings: Settings | None = None,
    *,
    credentials: Credentials | None = None,
    transport: Transport | None = None,
    storage: Storage | None = None,
    pace: Pace | None = None,
    retries: RetryPolicy | None = None,
    hooks: Iterable[Hook] = (),
    include_settled: bool = False,
    attended: bool = False,
    fetch_with: Callable[[Wiring], AbstractAsyncContextManager[Fetcher]] | None = None,
) -> AsyncIterator[Batch]:
    """
    Fetch the images of *jobs* and hand out what becomes of each.

    *jobs* is a `Manifest`, or any iterable of `Job`s or bare task ids; it is read in a thread, no
    faster than needed, and may be endless.  Without *credentials* those of the environment are
    used (see `find_credentials`).  *transport*, *storage*, *pace* and *retries* stand in for the
    service over HTTP, the output of *settings*, their limits, and the pauses
    between the tries of a request.  *hooks* are told what goes on.  With *include_settled* tasks
    that earlier runs have settled are handed out, too, as their last line in the report has them.
    *attended* says that a person watches: a service that cannot be reached from the start is waited
    for a minute at most, however long `settings.outage` is.  *fetch_with* opens what fetches in the
    place of this process, such as a cluster (see `batchfetch.cluster`).

    Outcomes are written whether they are read or not; those not read yet wait in the report, see
    `Batch`.  Leaving the block early gives up what is in flight; everything decided is in the
    report.

    Raises `ManifestError` and `SettingsError` before anything is asked, `OutputLockedError` if
    another run is on, `StorageError` if the output or the report cannot be used.
    """
    _require_rows(jobs)
    settings = settings or Settings()
    tell = tell_all(hooks)
    async with AsyncExitStack() as stack:
        files = stack.enter_context(FileExecutor())
        client = await stack.enter_async_context(
            open_client(
                settings,
                credentials=credentials,
                transport=transport,
                pace=pace,
                retries=retries,
            )
        )
        if isinstance(jobs, Manifest):
            jobs.name_columns(settings.id_column, settings.name_column)
            await to_thread.run_sync(jobs.check)
        if storage is None:
            storage = await stack.enter_async_context(
                open_storage(settings.output, settings.durability, files, shard=settings.shard)
            )
        await stack.enter_async_context(storage.lock())
        reports = await to_thread.run_sync(reports_of, settings)
        report = await _open_report(stack, settings, storage, files, reports)
        earlier = await to_thread.run_sync(LastLines, reports) if include_settled else None
        intake = await _open_intake(jobs, settings, storage, files, reports, report, earlier)
        recorder = Recorder(
            report.write,
            read=ReadBack(reports, report.read).read,
            locate=None if earlier is None else earlier.place_of,
            tell=_decided(intake, tell),
        )
        downloader = Downloader(
            client.transport,
            storage,
            checksum=settings.checksum,
            max_bytes=settings.max_image_bytes,
        )
        deadline = anyio.current_time() + (settings.max_runtime or inf)
        parts = Parts(
            *(downloader, client.tokens, client.pace, client.retries, settings, recorder.record),
            tell=tell,
            attended=attended,
            deadline=deadline,
        )
        wiring = Wiring(parts, intake, recorder, report, storage)
        fetcher = await stack.enter_async_context((fetch_with or _open_local)(wiring))
        batch = Batch(intake, recorder, fetcher, settings, deadline=deadline)
        manifests = jobs.sources if isinstance(jobs, Manifest) else ()
        async with _logged(batch, RunLog(settings, manifests), files):
            with unwrapped():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(batch.run)
                    try:
                        yield batch
                    finally:
                        batch.abandon()


@asynccontextmanager
async def _open_local(wiring: Wiring) -> AsyncIterator[Fetcher]:
    yield LocalFetcher(wiring.parts)


@asynccontextmanager
async def _logged(batch: Batch, run_log: RunLog, files: FileExecutor) -> AsyncIterator[None]:
    """
    Log that *batch* begins, and at the end of the block what it came to.
    """
    await files.inline(run_log.begin)
    try:
        yield
    finally:
        with CancelScope(shield=True):
            await files.inline(lambda: _end(run_log, batch))


def _end(run_log: RunLog, batch: Batch) -> None:
    interruptions = [each.model_dump(mode="json") for each in batch.interruptions]
    run_log.end(batch.summary.model_dump(mode="json"), interruptions)


async def _open_report(
    stack: AsyncExitStack,
    settings: Settings,
    storage: Storage,
    files: FileExecutor,
    reports: Reports,
) -> ReleasingWriter:
    """
    Open the report, for as long as *stack*, and return what writes to it.
    """
    report = await stack.enter_async_context(
        open_report(
            settings.report_path,
            settings.durability,
            follow_link=settings.report is not None,  # Then it is the user's own.
            inline=files.run if settings.durability is Durability.FULL else files.inline,
        )
    )
    if isinstance(storage, ReportKeeper):
        kept = kept_report(storage, report, settings.report_path, beside=reports.others)
        await stack.enter_async_context(kept)
    writer = ReleasingWriter(report, storage, settings.durability)
    stack.push_async_callback(writer.close)
    return writer


async def _open_intake(
    jobs: Iterable[Row],
    settings: Settings,
    storage: Storage,
    files: FileExecutor,
    reports: Reports,
    report: ReleasingWriter,
    earlier: LastLines | None,
) -> Intake:
    """
    Read what earlier runs reported, and return what decides about *jobs*.
    """
    ledger = Ledger()
    await to_thread.run_sync(load_report, reports, ledger)
    intake = Intake(
        *(jobs, ledger, storage, settings), inline=files.inline, reports=reports, earlier=earlier
    )
    intake.take_turns(report.release)
    return intake


def fetch(
    *manifests: str | Path,
    jobs: Iterable[Row] | None = None,
    credentials: Credentials | None = None,
    hooks: Iterable[Hook] = (),
    **settings: Unpack[SettingsOptions],
) -> Summary:
    """
    Fetch the images of *manifests*, or of *jobs*, and return what the run came to, however it
    ended.

    *settings* are the fields of `Settings`.  Not to be called from a running event loop; use
    `open_batch` there.

    Raises what `open_batch` raises, and `CredentialsError`, `UnavailableError`, `StorageError` or
    `ManifestError` if one of them ended the run.
    """
    if (jobs is None) != bool(manifests):
        raise SettingsError("give fetch() manifests, or jobs=[…], and not both")
    rows = Manifest(*manifests) if jobs is None else jobs
    chosen = Settings(**settings)
    _require_no_loop()

    async def run() -> Summary:
        async with open_batch(rows, chosen, credentials=credentials, hooks=hooks) as batch:
            async for _ in batch:
                pass
        return batch.summary

    return anyio.run(run)


def _require_rows(jobs: object) -> None:
    if isinstance(jobs, str | Path):
        text = repr(sanitize(str(jobs), _MAX_SHOWN))
        raise SettingsError(
            f"{text} is text, not jobs; did you mean Manifest({text}), or [{text}] for one task id?"
        )
    if not isinstance(jobs, Iterable):
        value = sanitize(repr(jobs), _MAX_SHOWN)
        raise SettingsError(f"{value} is no jobs; give a Manifest, or a list of task ids or Jobs")


def _require_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SettingsError(
        "fetch() was called from a running event loop, a notebook perhaps; use open_batch() there"
    )


def _decided(intake: Intake, tell: Hook | None) -> Callable[[Outcome], None]:
    def decided(outcome: Outcome) -> None:
        intake.decided(outcome)
        if tell is not None:
            tell(Settled(outcome))

    return decided
