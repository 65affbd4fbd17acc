"""
A run of `submit`: sources in, images out, a manifest with the ids of their tasks.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf
from time import time

import anyio
from anyio import create_task_group

from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    ReportError,
    StorageError,
    UnavailableError,
    UnreachableError,
)
from batchfetch.exception_groups import unwrapped
from batchfetch.exit_codes import gravity
from batchfetch.redaction import Redactor
from batchfetch.report import Interruption, Interruptions
from batchfetch.run.client import Client
from batchfetch.run.setbacks import Setbacks
from batchfetch.run.supervisor import Supervisor
from batchfetch.run.workers import Workers
from batchfetch.scheduling import Outage
from batchfetch.service import Submitter
from batchfetch.submission.agenda import SubmitAgenda
from batchfetch.submission.image import Sending
from batchfetch.submission.intake import Decision, SubmitIntake
from batchfetch.submission.journal import Journal
from batchfetch.submission.lines import Checkpoint, Intent, SubmitResult
from batchfetch.submission.manifest_file import ManifestWriter
from batchfetch.submission.sender import Sender
from batchfetch.submission.summary import SubmitProgress, SubmitSummary
from batchfetch.submission.tally import SubmitTally
from batchfetch.submit_settings import SubmitSettings, SubmitStatus

log = logging.getLogger(__name__)

# Seconds that images on their way have left when the caller or the time stops a run: the answer to
# one that was sent is worth waiting for.
_GRACE = 10.0

# Seconds for which a person has to watch a run that is held and has had no answer yet.
_ATTENDED = 60.0

# Seconds spent on counting the rest of the sources of a run that was stopped.
_COUNTING = 2.0

Tell = Callable[[SubmitResult], None]
"""Is told of each image whose result is in the report."""


class Submission:
    """
    A run under way; `run` does the work.  Made by `open_submission`.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        intake: SubmitIntake,
        journal: Journal,
        manifest: ManifestWriter,
        client: Client,
        submitter: Submitter,
        settings: SubmitSettings,
        *,
        unfinished: Iterable[Intent],
        accepted: Callable[[], Iterator[SubmitResult]],
        skipped: Callable[[], int] = lambda: 0,
        tell: Tell | None = None,
        attended: bool = False,
    ) -> None:
        self._intake = intake
        self._journal = journal
        self._manifest = manifest
        self._client = client
        self._tally = SubmitTally(
            intake, client.pace, skipped=skipped, price=settings.price_per_call
        )
        self._unfinished = unfinished
        self._accepted = accepted
        self._tell = tell
        clock = asyncio.get_running_loop().time
        self._started = clock()
        self._deadline = self._started + (settings.max_runtime or inf)
        pace, tokens = client.pace, client.tokens
        interruptions = self._interruptions = Interruptions(epoch=time() - self._started)
        self._agenda = SubmitAgenda(lookahead=2 * pace.slots)
        self._supervisor = Supervisor(
            *(pace, tokens),
            Outage(
                limit=settings.outage,
                first_limit=_ATTENDED if attended else inf,
                slots=pace.slots,
                pauses=client.retries,
            ),
            interruptions=interruptions,
            clock=clock,
        )
        setbacks = Setbacks(pace, client.retries, interruptions=interruptions, clock=clock)
        sender = Sender(
            *(submitter, journal, setbacks, pace),
            self._decided,
            redact=tokens.redactor,
            clock=clock,
        )
        self._workers = Workers(
            *(self._agenda, sender, tokens, pace, self._supervisor, sender.record),
            patience=inf,
            deadline=self._deadline,
            clock=clock,
        )
        self._without_line = 0
        self._has_written = False
        self._sending = anyio.CancelScope()
        self._reading = anyio.CancelScope()
        self._failure: BatchFetchError | None = None
        self._told_by: str | None = None
        self._seconds: float | None = None

    @property
    def secrets(self) -> Redactor:
        """
        The credentials and tokens of this run, as what removes them from text.
        """
        return self._client.tokens.redactor

    @property
    def progress(self) -> SubmitProgress:
        """
        A snapshot of where the run stands.
        """
        present = self._interruptions.present(self._started + self._elapsed())
        return replace(self._tally.progress(self._elapsed()), interruption=present)

    @property
    def interruptions(self) -> Sequence[Interruption]:
        """
        The outages and pauses of the run, in the order of time; to be read once it has ended.
        """
        return self._interruptions.record(self._started + self._elapsed())

    @property
    def summary(self) -> SubmitSummary:
        """
        What the run came to; final once `run` has ended.
        """
        stopped_by = self._told_by or self._workers.stopped_by
        return self._tally.summary(self._elapsed(), self._failure, stopped_by)

    def stop(self, by: str) -> None:
        """
        Send nothing new, and give what is in flight a short grace.

        *by* is what the summary will say: the name of a signal, or a word of the caller's.
        """
        self._told_by = self._told_by or by
        self._end(by)

    async def run(self) -> None:
        """
        Submit the images of all sources.

        Raises the `CredentialsError`, `UnavailableError`, `StorageError` or `ManifestError` that
        ended the run, if one did; the summary stands all the same.
        """
        try:
            with unwrapped():
                async with create_task_group() as reading:
                    with self._sending:
                        await self._begin()
                        reading.start_soon(self._feed)
                        await self._send()
                    counting = _COUNTING if self._failure is None else 0.0
                    self._reading.deadline = anyio.current_time() + counting
        except StorageError as exc:
            self._fail(exc)
        self._seconds = self._elapsed()
        await self._conclude()
        if self._failure is not None:
            raise self._failure

    async def _begin(self) -> None:
        """
        Finish what a run that died has left: tell what is uncertain, complete the manifest.
        """
        results = self._intake.begin(self._unfinished)
        if results:
            await self._journal.write(*results)
            log.warning(
                "images that were on their way when an earlier run ended, and may have been"
                " accepted: %d",
                len(results),
            )
            if self._intake.counts_unfinished:
                for result in results:
                    self._count(result)
        added = await self._manifest.complete(self._accepted)
        self._has_written = added > 0
        if added and self._manifest.name != "-":
            log.warning(
                "%s: lines of earlier runs that were missing, and are written now: %d",
                *(self._manifest.name, added),
            )

    async def _conclude(self) -> None:
        """
        Note that the manifest is complete, if it is.
        """
        await self._journal.flush()
        if isinstance(self._failure, StorageError) or self._without_line or not self._has_written:
            return
        try:
            await self._manifest.sync()
            await self._journal.write(Checkpoint(checkpoint=self._manifest.name))
        except StorageError as exc:
            self._fail(exc)

    def _elapsed(self) -> float:
        return anyio.current_time() - self._started if self._seconds is None else self._seconds

    async def _send(self) -> None:
        async with create_task_group() as sending:
            sending.start_soon(self._watch)
            async with create_task_group() as workers:
                for _ in range(self._client.pace.slots):
                    workers.start_soon(self._work)
            sending.cancel_scope.cancel()
        if self._workers.stopped_by is None and self._supervisor.hint is not None:
            log.warning("every request was turned away: %s", self._supervisor.hint)

    async def _watch(self) -> None:
        await anyio.sleep_until(self._deadline)
        self._end("max-runtime")

    async def _work(self) -> None:
        try:
            await self._workers.work()
        except (CredentialsError, StorageError, UnavailableError) as exc:
            self._fail(exc)

    def _end(self, by: str) -> None:
        self._workers.stop(by)
        self._sending.deadline = min(self._sending.deadline, anyio.current_time() + _GRACE)

    def _fail(self, error: BatchFetchError) -> None:
        if isinstance(error, StorageError) and not isinstance(error, ReportError) and self._told_by:
            return  # Its reader was stopped as well; the next run writes these lines again.
        # Of several the gravest counts, of equals the first.
        if self._failure is None or gravity(error) < gravity(self._failure):
            self._failure = error
        match error:
            case CredentialsError():
                self._workers.stop("credentials")
            case UnreachableError():
                self._end(error.stopped_by)
            case UnavailableError():
                self._workers.stop(error.stopped_by)
            case ReportError():  # At once: what becomes of what is in flight could not be noted.
                self._workers.stop("storage")
                self._sending.cancel()
            case StorageError():
                self._end("storage")
            case _:
                pass  # What was read of the sources is worth finishing all the same.

    async def _feed(self) -> None:
        """
        Read the sources as fast as images are sent; once stopped, only to count them.
        """
        try:
            with self._reading:
                while not self._intake.all_read:
                    if self._workers.stopped_by is not None:
                        await self._intake.count()
                        break
                    await self._apply(await self._intake.next())
                    self._workers.notify()
                    await self._workers.room()
        except (ManifestError, StorageError) as exc:
            self._fail(exc)
        self._agenda.close()
        self._workers.notify()

    async def _apply(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Sending):
                if self._workers.stopped_by is None:
                    self._agenda.offer(decision)
            else:
                await self._journal.write(decision)
                self._count(decision)

    async def _decided(self, result: SubmitResult, state: Sending) -> None:
        """
        Take the *result* of an image that was on its way; it is in the report.
        """
        self._count(result)
        await self._apply(self._intake.decided(state.image, result.status))
        if result.status is SubmitStatus.SUBMITTED:
            await self._write_manifest([result])

    async def _write_manifest(self, results: list[SubmitResult]) -> None:
        # What is cut off here is in the report, and the next run writes it.
        self._without_line += len(results)
        await self._manifest.write(results)
        self._without_line -= len(results)
        self._has_written = True

    def _count(self, result: SubmitResult) -> None:
        self._tally.count(result)
        if self._tell is not None:
            self._tell(result)
