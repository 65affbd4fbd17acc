"""
A run: rows of a manifest in, outcomes out, and a report with all of them.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from math import inf
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
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.redaction import Redactor
from batchfetch.report import Interruption, Recorder
from batchfetch.run.fetcher import Fetcher
from batchfetch.run.intake import Earlier, Intake
from batchfetch.run.summary import Progress, Summary
from batchfetch.settings import Settings

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

    def __init__(
        self,
        intake: Intake,
        recorder: Recorder,
        fetcher: Fetcher,
        settings: Settings,
        *,
        deadline: float = inf,
    ) -> None:
        self._intake = intake
        self._recorder = recorder
        self._fetcher = fetcher
        self._price = settings.price_per_call
        self._fail_on = settings.fail_on
        self._started = anyio.current_time()
        self._deadline = deadline
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
        fetcher = self._fetcher
        return Progress(
            tasks=self._intake.tasks,
            all_read=self._intake.all_read,
            outcomes={status: count for status in OutcomeStatus if (count := counts[status])},
            already=already,
            waiting=self._intake.tasks - already - self._decided_unasked - fetcher.asked,
            unfinished=max(0, fetcher.asked - fetcher.settled - fetcher.in_flight),
            in_flight=fetcher.in_flight,
            calls=fetcher.calls,
            bytes=self._recorder.bytes,
            seconds=self._elapsed(),
            interruption=self._fetcher.interruptions.present(self._started + self._elapsed()),
        )

    @property
    def interruptions(self) -> Sequence[Interruption]:
        """
        The outages and pauses of the run, in the order of time; to be read once it has ended.
        """
        return self._fetcher.interruptions.record(self._started + self._elapsed())

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
        stopped_by = self._told_by or self._fetcher.stopped_by
        if stopped_by in {"max-calls", "max-runtime"} and progress.all_read and not left:
            stopped_by = None  # It was over before the limit could matter.
        fetched = progress.outcomes.get(OutcomeStatus.COMPLETED, 0) - self._recorder.adopted
        failed = any(progress.outcomes.get(s) or self._intake.already[s] for s in self._fail_on)
        summary = Summary(
            tasks=progress.tasks,
            outcomes=progress.outcomes,
            reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            adopted=self._recorder.adopted,
            already=progress.already,
            left=left,
            repeated=self._intake.repeated,
            calls=progress.calls,
            calls_per_image=round(progress.calls / fetched, 3) if fetched else None,
            asked_too_early=self._fetcher.too_early,
            cost=None if self._price is None else round(progress.calls * self._price, 6),
            token_requests=self._fetcher.token_requests,
            bytes=progress.bytes,
            seconds=round(progress.seconds, 3),
            exit_code=code_of_run(self._failure, stopped_by, done=not left and not failed),
            stopped_by=stopped_by,
        )
        return self._fetcher.complete(summary)

    @property
    def secrets(self) -> Redactor:
        """
        The credentials and tokens of this run, as what removes them from text.
        """
        return self._fetcher.secrets

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
                        self._intake.stop_waiting()
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
            self._fetcher.stop("abandoned")
        self._asking.cancel()
        self._reading.cancel()
        self._recorder.close_reader()

    async def _ask(self) -> None:
        async with create_task_group() as asking:
            asking.start_soon(self._watch)
            await self._fetcher.run(self._fail)
            asking.cancel_scope.cancel()

    async def _watch(self) -> None:
        await anyio.sleep_until(self._deadline)
        self._end("max-runtime")

    def _end(self, by: str) -> None:
        self._fetcher.stop(by)
        self._asking.deadline = min(
            self._asking.deadline, anyio.current_time() + self._fetcher.grace
        )

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
                self._fetcher.stop("credentials")
            case UnreachableError():
                self._end(error.stopped_by)
            case UnavailableError():
                self._fetcher.stop(error.stopped_by)
            case StorageError():  # At once: nothing that is in flight could be stored.
                self._fetcher.stop("storage")
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
                    self._fetcher.notify()
                    await self._fetcher.room()
        except (ManifestError, StorageError) as exc:
            self._fail(exc)
        self._fetcher.close()
        self._fetcher.notify()

    async def _read(self) -> None:
        """
        Read a slab of the manifest.
        """
        decisions = await self._intake.chunk()
        await anyio.lowlevel.checkpoint()  # Those who ask have their turn between two chunks.
        for decision in decisions:
            match decision:
                case JobState():
                    if self._fetcher.stopped_by is None:
                        self._fetcher.offer(decision)
                case Earlier(outcome=outcome):
                    self._recorder.pass_on(outcome)
                case Outcome():
                    self._decided_unasked += 1
                    await self._recorder.record(decision)
