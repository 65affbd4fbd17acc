"""
The pipeline, wired: rows of a manifest in, outcomes out, and a report that has every one of them.
"""

import asyncio
import logging
import os
import resource
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import time
from typing import Self

import anyio
from anyio import create_task_group, to_thread
from pydantic import ValidationError

from batchfetch.dispatch import Dispatch
from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    SettingsError,
    StorageError,
)
from batchfetch.intake import Intake, Row
from batchfetch.ledger import Ledger
from batchfetch.manifest import Manifest
from batchfetch.models import Inquiry, Outcome, OutcomeStatus, Summary
from batchfetch.pacing import Pace, RetryPolicy
from batchfetch.poller import Poller
from batchfetch.polling import PollingPolicy
from batchfetch.recorder import Recorder
from batchfetch.report import load_report, open_report
from batchfetch.scheduler import Scheduler
from batchfetch.service import (
    Credentials,
    TokenSource,
    Transport,
    find_credentials,
    open_transport,
)
from batchfetch.settings import Settings
from batchfetch.storage import LocalStorage, open_storage

log = logging.getLogger(__name__)

# Files that a question in flight has open: its connection, its image, and the folder of that.
_FILES_EACH = 3

# What else is open: streams, report, lock, output, the event loop's own.
_OWN_FILES = 24

# Seconds that questions in flight have left when the caller or the time stops a run.  What was paid
# for out of the last of a budget, or is the last thing a dying token is good for, may take its own.
_GRACE = 3.0

# Seconds spent on counting the rest of the manifest of a run that was stopped.
_COUNTING = 2.0

_SIGNALS = {"SIGINT": 130, "SIGTERM": 143}


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Where a run stands.
    """

    tasks: int
    """Rows of the manifest read so far, repeated ids counted once."""

    all_read: bool
    """Whether the manifest was read to its end."""

    outcomes: dict[OutcomeStatus, int]
    """Decided in this run."""

    already: int
    """Settled by earlier runs."""

    waiting: int
    """Not asked about yet."""

    unfinished: int
    """Known to be unfinished; to be asked about again."""

    in_flight: int
    calls: int
    bytes: int
    """Of the images fetched or adopted."""

    seconds: float

    @property
    def decided(self) -> int:
        """
        Tasks that are settled, in this run or an earlier one.
        """
        return self.already + sum(self.outcomes.values())


class Batch:
    """
    A run under way.  Iterate over it for its outcomes, each of them already in the report.

    Iteration ends when every task is decided, or soon after `stop`; at its end it raises the
    `CredentialsError`, `StorageError` or `ManifestError` that ended the run, if one did.
    """

    def __init__(
        self,
        intake: Intake,
        recorder: Recorder,
        storage: LocalStorage,
        transport: Transport,
        tokens: TokenSource,
        settings: Settings,
        retries: RetryPolicy,
    ) -> None:
        self._intake = intake
        self._recorder = recorder
        self._tokens = tokens
        self._concurrency = _affordable(settings.concurrency)
        # What `anyio.current_time` asks in the end, without looking the loop up on each call.
        clock = asyncio.get_running_loop().time
        self._started = clock()
        self._deadline = self._started + (settings.max_runtime or inf)
        self._pace = Pace(slots=self._concurrency, rate=settings.rate, max_calls=settings.max_calls)
        self._scheduler = Scheduler(
            PollingPolicy(settings.polling, patience=settings.patience),
            epoch=time() - self._started,
        )
        self._dispatch = Dispatch(
            self._scheduler,
            Poller(
                *(transport, storage, settings, self._pace, retries),
                found=lambda inquiry: self._scheduler.found(inquiry, clock()),
                clock=clock,
            ),
            tokens,
            self._pace,
            recorder.record,
            patience=settings.patience,
            deadline=self._deadline,
            clock=clock,
        )
        self._recorded: deque[Outcome] = deque()
        self._asking = anyio.CancelScope()
        self._reading = anyio.CancelScope()
        self._failure: BatchFetchError | None = None
        self._told_by: str | None = None
        self._seconds: float | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        try:
            while not self._recorded:
                self._recorded.extend(await self._recorder.recorded.receive())
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None
        return self._recorded.popleft()

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
        return Progress(
            tasks=self._intake.tasks,
            all_read=self._intake.all_read,
            outcomes=dict(self._recorder.outcomes),
            already=self._intake.already.total(),
            waiting=self._scheduler.waiting,
            unfinished=self._scheduler.known_unfinished,
            in_flight=self._pace.window.in_flight,
            calls=self._pace.budget.calls,
            bytes=self._recorder.bytes,
            seconds=self._elapsed(),
        )

    @property
    def summary(self) -> Summary:
        """
        What the run came to; final once the iteration has ended.
        """
        progress = self.progress
        left = progress.tasks - progress.decided
        stopped_by = self._told_by or self._dispatch.stopped_by
        if stopped_by in {"max-calls", "max-runtime"} and progress.all_read and not left:
            stopped_by = None  # It was over before the limit could matter.
        images = progress.outcomes.get(OutcomeStatus.COMPLETED, 0)
        completed = images + self._intake.already[OutcomeStatus.COMPLETED]
        return Summary(
            tasks=progress.tasks,
            outcomes=progress.outcomes,
            already=progress.already,
            left=left,
            calls=progress.calls,
            calls_per_image=round(progress.calls / images, 3) if images else None,
            asked_too_early=self._dispatch.too_early,
            token_requests=self._tokens.requests,
            bytes=progress.bytes,
            seconds=round(progress.seconds, 3),
            exit_code=_exit_code(self._failure, stopped_by, done=completed == progress.tasks),
            stopped_by=stopped_by,
        )

    def _elapsed(self) -> float:
        return anyio.current_time() - self._started if self._seconds is None else self._seconds

    async def run(self) -> None:
        """
        Do the work, side by side with whoever iterates.
        """
        # Only `abandon` cuts it short: whatever ends the caller's block, what is decided by then is
        # still to be written.
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

    def abandon(self) -> None:
        """
        Stop at once what is not over yet: what is in flight is given up, and nobody iterates on.
        """
        if self._seconds is None:
            self._dispatch.stop("abandoned")
        self._asking.cancel()
        self._reading.cancel()
        self._recorder.recorded.close()

    async def _ask(self) -> None:
        async with create_task_group() as asking:
            asking.start_soon(self._watch)
            async with create_task_group() as pollers:
                for _ in range(self._concurrency):
                    pollers.start_soon(self._poll)
            asking.cancel_scope.cancel()

    async def _watch(self) -> None:
        await anyio.sleep_until(self._deadline)
        self._end("max-runtime")

    def _end(self, by: str) -> None:
        self._dispatch.stop(by)
        self._asking.deadline = min(self._asking.deadline, anyio.current_time() + _GRACE)

    async def _poll(self) -> None:
        try:
            await self._dispatch.work()
        except (CredentialsError, StorageError) as exc:
            self._fail(exc)

    async def _record(self) -> None:
        try:
            await self._recorder.run()
        except StorageError as exc:
            self._fail(exc)

    def _fail(self, error: BatchFetchError) -> None:
        # Of several the gravest counts, of equals the first.
        if self._failure is None or _gravity(error) < _gravity(self._failure):
            self._failure = error
        match error:
            case CredentialsError():
                self._dispatch.stop("credentials")
            case StorageError():  # At once: nothing that is in flight could be stored.
                self._dispatch.stop("storage")
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
                    self._dispatch.notify()
                    await self._dispatch.room()
        except (ManifestError, StorageError) as exc:
            self._fail(exc)
        self._scheduler.close()
        self._dispatch.notify()

    async def _read(self) -> None:
        """
        Read a slab of the manifest.
        """
        for decision in await to_thread.run_sync(self._intake.slab, abandon_on_cancel=True):
            if not isinstance(decision, Inquiry):
                if decision is not None:
                    await self._recorder.record(decision)
            elif self._dispatch.stopped_by is None:
                self._scheduler.offer(decision)


def _affordable(concurrency: int) -> int:
    """
    Return how many of *concurrency* questions the files that we may open allow to be in flight.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    affordable = max(1, (files - _OWN_FILES) // _FILES_EACH)
    if files == resource.RLIM_INFINITY or affordable >= concurrency:
        return concurrency
    log.warning(
        "%d requests in flight instead of %d: no more than %d files may be open (ulimit -n)",
        *(affordable, concurrency, files),
    )
    return affordable


def _gravity(failure: BatchFetchError) -> int:
    """
    Return the place of *failure* among those that end a run, the gravest first.
    """
    kinds = (CredentialsError, StorageError, ManifestError)
    return [isinstance(failure, kind) for kind in kinds].index(True)


def _exit_code(failure: BatchFetchError | None, stopped_by: str | None, *, done: bool) -> int:
    """
    Return what a process should exit with; when several hold, the gravest.
    """
    if isinstance(failure, CredentialsError):
        return 5
    if isinstance(failure, StorageError):
        return 6
    if stopped_by in _SIGNALS:
        return _SIGNALS[stopped_by]
    if isinstance(failure, ManifestError):
        return 2
    if stopped_by is not None:
        return 4
    return 0 if done else 3


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
            TokenSource(credentials, transport, retries),
            settings,
            retries,
        )
        with _unwrapped():
            async with create_task_group() as tasks:
                tasks.start_soon(batch.run)
                try:
                    yield batch
                finally:
                    batch.abandon()


@contextmanager
def _unwrapped() -> Iterator[None]:
    """
    Let a lone exception out of the groups that task groups put it in.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from error.__cause__


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
