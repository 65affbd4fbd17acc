"""
A run: rows of a manifest in, outcomes out, and a report with all of them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from math import inf
from time import time
from typing import Self

import anyio
import anyio.lowlevel
from anyio import create_task_group

from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    StorageError,
    UnavailableError,
    UnreachableError,
)
from batchfetch.exit_codes import code_of_run, gravity
from batchfetch.hooks import Hook
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.redaction import Redactor
from batchfetch.report import Interruption, Interruptions, Recorder
from batchfetch.run.download import Downloader
from batchfetch.run.intake import Earlier, Intake
from batchfetch.run.poller import Poller
from batchfetch.run.summary import Progress, Summary
from batchfetch.run.supervisor import Supervisor
from batchfetch.run.workers import Workers
from batchfetch.scheduling import Outage, Pace, PollingPolicy, RetryPolicy, Scheduler
from batchfetch.service import TokenSource
from batchfetch.settings import Settings

log = logging.getLogger(__name__)

# Seconds that questions in flight have left when the caller or the time stops a run.  What was paid
# for out of the last of a budget, or is the last thing a dying token is good for, may take its own.
_GRACE = 3.0

# Seconds for which a person has to watch a run that is held and has had no answer yet.
_ATTENDED = 60.0

# Seconds spent on counting the rest of the manifest of a run that was stopped.
_COUNTING = 2.0


class Batch:
    """
    A run under way.  Iterate over it for its outcomes, each of them already in the report.

    The run does not wait for a slow reader: it goes on, and outcomes not read yet are read back
    from the report when their turn comes.  They take some forty bytes each until then, or all of
    their memory if the report is a pipe.

    Iteration ends when every task is decided, or soon after `stop`; at its end it raises the
    `CredentialsError`, `UnavailableError`, `StorageError` or `ManifestError` that ended the run, if
    one did.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        intake: Intake,
        recorder: Recorder,
        downloader: Downloader,
        tokens: TokenSource,
        pace: Pace,
        retries: RetryPolicy,
        settings: Settings,
        *,
        tell: Hook | None = None,
        attended: bool = False,
    ) -> None:
        self._intake = intake
        self._recorder = recorder
        self._tokens = tokens
        self._pace = pace
        self._price = settings.price_per_call
        self._fail_on = settings.fail_on
        # What `anyio.current_time` asks in the end, without looking the loop up on each call.
        clock = asyncio.get_running_loop().time
        self._started = clock()
        self._deadline = self._started + (settings.max_runtime or inf)
        epoch = time() - self._started
        self._scheduler = Scheduler(
            PollingPolicy(settings.polling, patience=settings.patience), epoch=epoch
        )
        self._interruptions = Interruptions(epoch=epoch)
        self._supervisor = Supervisor(
            *(pace, tokens),
            Outage(
                limit=settings.outage,
                first_limit=_ATTENDED if attended else inf,
                slots=pace.slots,
                pauses=retries,
            ),
            clock=clock,
            interruptions=self._interruptions,
            tell=tell,
        )
        self._workers = Workers(
            self._scheduler,
            Poller(
                *(downloader, pace, retries),
                endpoint=settings.endpoint,
                epoch=epoch,
                redact=tokens.redactor,
                found=lambda state: self._scheduler.found(state, clock()),
                tell=tell,
                interruptions=self._interruptions,
                clock=clock,
            ),
            tokens,
            pace,
            self._supervisor,
            recorder.record,
            patience=settings.patience,
            deadline=self._deadline,
            clock=clock,
        )
        self._decided_unasked = 0
        self._recorded: deque[Outcome] = deque()
        self._asking = anyio.CancelScope()
        self._reading = anyio.CancelScope()
        self._failure: BatchFetchError | None = None
        self._told_by: str | None = None
        self._seconds: float | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if not self._recorded:
            self._recorded.extend(await self._recorder.written())
        if self._recorded:
            return self._recorded.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    def stop(self, by: str) -> None:
        """
        Ask nothing new, give what is in flight a short grace, then end the iteration.

        *by* is what `Summary.stopped_by` will say: the name of a signal, or a word of the caller's.
        """
        self._told_by = self._told_by or by
        self._end(by)

    @property
    def progress(self) -> Progress:
        """
        A snapshot of where the run stands.
        """
        counts = self._recorder.outcomes
        already = self._intake.already.total()
        workers, in_flight = self._workers, self._pace.in_flight
        return Progress(
            tasks=self._intake.tasks,
            all_read=self._intake.all_read,
            outcomes={status: count for status in OutcomeStatus if (count := counts[status])},
            already=already,
            waiting=self._intake.tasks - already - self._decided_unasked - workers.asked,
            unfinished=max(0, workers.asked - workers.settled - in_flight),
            in_flight=in_flight,
            calls=self._pace.calls,
            bytes=self._recorder.bytes,
            seconds=self._elapsed(),
            interruption=self._interruptions.present(self._started + self._elapsed()),
        )

    @property
    def interruptions(self) -> Sequence[Interruption]:
        """
        The outages and pauses of the run, in the order of time; to be read once it has ended.
        """
        return self._interruptions.record(self._started + self._elapsed())

    @property
    def settled_earlier(self) -> Mapping[OutcomeStatus, int]:
        """
        How the tasks ended that earlier runs settled and this one leaves alone.
        """
        return dict(self._intake.already)

    @property
    def summary(self) -> Summary:
        """
        What the run came to; final once the iteration has ended.
        """
        progress = self.progress
        left = progress.tasks - progress.decided
        reasons = self._recorder.reasons
        stopped_by = self._told_by or self._workers.stopped_by
        if stopped_by in {"max-calls", "max-runtime"} and progress.all_read and not left:
            stopped_by = None  # It was over before the limit could matter.
        fetched = progress.outcomes.get(OutcomeStatus.COMPLETED, 0) - self._recorder.adopted
        failed = any(progress.outcomes.get(s) or self._intake.already[s] for s in self._fail_on)
        return Summary(
            tasks=progress.tasks,
            outcomes=progress.outcomes,
            reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            adopted=self._recorder.adopted,
            already=progress.already,
            left=left,
            repeated=self._intake.repeated,
            calls=progress.calls,
            calls_per_image=round(progress.calls / fetched, 3) if fetched else None,
            asked_too_early=self._workers.too_early,
            cost=None if self._price is None else round(progress.calls * self._price, 6),
            token_requests=self._tokens.requests,
            bytes=progress.bytes,
            seconds=round(progress.seconds, 3),
            exit_code=code_of_run(self._failure, stopped_by, done=not left and not failed),
            stopped_by=stopped_by,
        )

    @property
    def secrets(self) -> Redactor:
        """
        The credentials and tokens of this run, as what removes them from text.
        """
        return self._tokens.redactor

    def _elapsed(self) -> float:
        return anyio.current_time() - self._started if self._seconds is None else self._seconds

    async def run(self) -> None:
        """
        Do the work; the caller iterates meanwhile.
        """
        # Only `abandon` cuts it short: what is decided when the caller's block ends is still to be
        # written.
        with anyio.CancelScope(shield=True):
            async with create_task_group() as recording:
                recording.start_soon(self._record)
                with closing(self._recorder):
                    async with create_task_group() as reading:
                        reading.start_soon(self._feed)
                        with self._asking:
                            await self._ask()
                        # A run that was stopped only counts the rows that are left.
                        counting = _COUNTING if self._failure is None else 0.0
                        self._reading.deadline = anyio.current_time() + counting
                    self._seconds = self._elapsed()
            await self._recorder.flush_after_error()

    def abandon(self) -> None:
        """
        Stop at once: what is in flight is given up, and outcomes are handed out no longer.
        """
        if self._seconds is None:
            self._workers.stop("abandoned")
        self._asking.cancel()
        self._reading.cancel()
        self._recorder.close_reader()

    async def _ask(self) -> None:
        async with create_task_group() as asking:
            asking.start_soon(self._watch)
            async with create_task_group() as pollers:
                for _ in range(self._pace.slots):
                    pollers.start_soon(self._poll)
            asking.cancel_scope.cancel()
        if self._workers.stopped_by is None and self._supervisor.hint is not None:
            log.warning("every request was turned away: %s", self._supervisor.hint)

    async def _watch(self) -> None:
        await anyio.sleep_until(self._deadline)
        self._end("max-runtime")

    def _end(self, by: str) -> None:
        self._workers.stop(by)
        self._asking.deadline = min(self._asking.deadline, anyio.current_time() + _GRACE)

    async def _poll(self) -> None:
        try:
            await self._workers.work()
        except (CredentialsError, StorageError, UnavailableError) as exc:
            self._fail(exc)

    async def _record(self) -> None:
        try:
            await self._recorder.run()
        except StorageError as exc:
            self._fail(exc)

    def _fail(self, error: BatchFetchError) -> None:
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
            case StorageError():  # At once: nothing that is in flight could be stored.
                self._workers.stop("storage")
                self._asking.cancel()
            case _:
                pass  # What was read of the manifest is worth finishing all the same.

    async def _feed(self) -> None:
        """
        Read the manifest as fast as the scheduler wants it; once stopped, only to count it.
        """
        try:
            with self._reading:
                while not self._intake.all_read:
                    await self._read()
                    self._workers.notify()
                    await self._workers.room()
        except (ManifestError, StorageError) as exc:
            self._fail(exc)
        self._scheduler.close()
        self._workers.notify()

    async def _read(self) -> None:
        """
        Read a slab of the manifest.
        """
        decisions = await self._intake.chunk()
        await anyio.lowlevel.checkpoint()  # Those who ask have their turn between two chunks.
        for decision in decisions:
            match decision:
                case JobState():
                    if self._workers.stopped_by is None:
                        self._scheduler.offer(decision)
                case Earlier(outcome=outcome):
                    self._recorder.pass_on(outcome)
                case Outcome():
                    self._decided_unasked += 1
                    await self._recorder.record(decision)
