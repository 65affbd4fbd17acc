"""
Where a submission is wired: defaults are made here, and everything can be handed in.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Unpack

import anyio
from anyio import CancelScope, to_thread

from batchfetch.errors import SettingsError
from batchfetch.report import RunLog, open_report
from batchfetch.run.client import open_client
from batchfetch.scheduling import Pace, RetryPolicy
from batchfetch.service import Credentials, Submitter, Transport
from batchfetch.sources import Sources
from batchfetch.submission.intake import SubmitIntake
from batchfetch.submission.journal import Journal
from batchfetch.submission.ledger import load_submit_report
from batchfetch.submission.lines import require_submit_report
from batchfetch.submission.manifest_file import open_manifest
from batchfetch.submission.plan import checked_sources
from batchfetch.submission.submission import Submission, Tell
from batchfetch.submission.summary import SubmitSummary
from batchfetch.submit_settings import SubmitOptions, SubmitSettings


@asynccontextmanager
async def open_submission(
    sources: Iterable[str | Path] | Sources,
    settings: SubmitSettings | None = None,
    *,
    credentials: Credentials | None = None,
    transport: Transport | None = None,
    pace: Pace | None = None,
    retries: RetryPolicy | None = None,
    tell: Tell | None = None,
    attended: bool = False,
) -> AsyncIterator[Submission]:
    """
    Get ready to submit the images of *sources*; nothing is sent before `Submission.run`.

    *transport*, which has to be a `Submitter`, *pace* and *retries* stand in for the service over
    HTTP, the limits of *settings*, and the pauses between the tries of a request.  *tell* is told
    of each image that is decided.  *attended* says that a person watches: a service that cannot be
    reached from the start is waited for a minute at most.

    Raises `ManifestError` and `SettingsError` before anything is sent, `OutputLockedError` if
    another run has the report or the manifest, `StorageError` if one of them cannot be used.
    """
    settings = settings or SubmitSettings()
    if not isinstance(sources, Sources):
        sources = list(sources)
    names = [] if isinstance(sources, Sources) else [str(source) for source in sources]
    sources = await to_thread.run_sync(checked_sources, sources, settings)
    opened = open_client(
        settings.client, credentials=credentials, transport=transport, pace=pace, retries=retries
    )
    async with opened as client:
        submitter = client.transport
        if not isinstance(submitter, Submitter):
            raise SettingsError("the transport that was handed in cannot submit images")
        report_path = settings.report_path
        report = open_report(report_path, settings.durability, require=require_submit_report)
        manifest = open_manifest(
            settings.output, settings.durability, to_stdout=settings.is_to_stdout
        )
        async with report as writer, manifest as written:
            ledger = await to_thread.run_sync(load_submit_report, report_path)
            submission = Submission(
                SubmitIntake(sources, ledger, settings),
                Journal(writer, settings.durability),
                written,
                client,
                submitter,
                settings,
                unfinished=await to_thread.run_sync(ledger.unfinished, report_path),
                accepted=partial(ledger.accepted, report_path, recent=settings.is_to_stdout),
                skipped=lambda: sources.skipped,
                tell=tell,
                attended=attended,
            )
            async with _logged(submission, RunLog(settings, names)):
                yield submission


@asynccontextmanager
async def _logged(submission: Submission, run_log: RunLog) -> AsyncIterator[None]:
    """
    Log that *submission* begins, and at the end of the block what it came to.
    """
    await to_thread.run_sync(run_log.begin)
    try:
        yield
    finally:
        with CancelScope(shield=True):
            summary = submission.summary.model_dump(mode="json")
            interruptions = [each.model_dump(mode="json") for each in submission.interruptions]
            await to_thread.run_sync(run_log.end, summary, interruptions)


def submit(
    *sources: str | Path,
    credentials: Credentials | None = None,
    **settings: Unpack[SubmitOptions],
) -> SubmitSummary:
    """
    Submit the images of *sources*, and return what the run came to, however it ended.

    *settings* are the fields of `SubmitSettings`.  Not to be called from a running event loop; use
    `open_submission` there.

    Raises what `open_submission` raises, and `CredentialsError`, `UnavailableError`,
    `StorageError` or `ManifestError` if one of them ended the run.
    """
    chosen = SubmitSettings(**settings)
    if _has_loop():
        raise SettingsError(
            "submit() was called from a running event loop, a notebook perhaps; use"
            " open_submission() there"
        )

    async def run() -> SubmitSummary:
        async with open_submission(sources, chosen, credentials=credentials) as submission:
            await submission.run()
        return submission.summary

    return anyio.run(run)


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
