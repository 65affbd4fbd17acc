"""
Interface of what brings jobs to their outcomes, and its body for one process.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from time import time
from typing import Protocol

from anyio import create_task_group

from batchfetch.errors import BatchFetchError, CredentialsError, StorageError, UnavailableError
from batchfetch.hooks import Hook
from batchfetch.models import JobState, Outcome
from batchfetch.redaction import Redactor
from batchfetch.report import Interruptions, Recorder
from batchfetch.run.download import Downloader
from batchfetch.run.intake import Intake
from batchfetch.run.poller import Poller
from batchfetch.run.release import ReleasingWriter
from batchfetch.run.summary import Summary
from batchfetch.run.supervisor import Supervisor
from batchfetch.run.workers import Workers
from batchfetch.scheduling import Outage, Pace, PollingPolicy, RetryPolicy, Scheduler
from batchfetch.service import Tokens
from batchfetch.settings import Settings
from batchfetch.storage import Storage

log = logging.getLogger(__name__)

ATTENDED = 60.0
"""Seconds for which a person has to watch a run that is held and has had no answer yet."""

# Seconds that questions in flight have left when the caller or the time stops a run.  What was paid
# for out of the last of a budget, or is the last thing a dying token is good for, may take its own.
_GRACE = 3.0

# Jobs that are taken in before they are asked about.
_LOOKAHEAD = 65_536


class Fetcher(Protocol):
    """
    Brings every job that it is offered to its outcome, unless stopped before.
    """

    grace: float
    """Seconds that what is in flight has left when a run is stopped."""

    interruptions: Interruptions
    """The outages and pauses of the run."""

    @property
    def stopped_by(self) -> str | None:
        """
        Why nothing new is asked; None while all goes on.
        """
        ...

    @property
    def asked(self) -> int:
        """
        Tasks asked about, each counted once.
        """
        ...

    @property
    def settled(self) -> int:
        """
        Those of them that have an outcome.
        """
        ...

    @property
    def too_early(self) -> int:
        """
        Questions that were answered with "not yet".
        """
        ...

    @property
    def calls(self) -> int:
        """
        API calls made so far.
        """
        ...

    @property
    def in_flight(self) -> int:
        """
        Requests that have started and not finished.
        """
        ...

    @property
    def token_requests(self) -> int:
        """
        Requests for a token made so far.
        """
        ...

    @property
    def secrets(self) -> Redactor:
        """
        The credentials and tokens of the run, as what removes them from text.
        """
        ...

    def offer(self, state: JobState) -> None:
        """
        Add a job; `notify` has to follow.
        """
        ...

    def close(self) -> None:
        """
        Declare that no job will be added; `notify` has to follow.
        """
        ...

    def notify(self) -> None:
        """
        Take notice of what was added.
        """
        ...

    async def room(self) -> None:
        """
        Wait until more jobs are wanted, or none any more.
        """
        ...

    def stop(self, by: str) -> None:
        """
        Ask nothing new.  The first reason given stays.
        """
        ...

    async def run(self, fail: Callable[[BatchFetchError], None]) -> None:
        """
        Do the work, until every job has its outcome or nothing new is asked; tell *fail* of what
        ends the run before.
        """
        ...

    def complete(self, summary: Summary) -> Summary:
        """
        Return *summary* with what else is known of the run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """
    What a `LocalFetcher` is made of.
    """

    downloader: Downloader
    tokens: Tokens
    pace: Pace
    retries: RetryPolicy
    settings: Settings
    record: Callable[[Outcome], Awaitable[None]]
    """Takes each outcome; nothing is asked in its slot while it waits for that."""

    tell: Hook | None = None
    attended: bool = False
    deadline: float = inf
    """When the run ends, on the loop's clock."""

    lookahead: int = _LOOKAHEAD


@dataclass(frozen=True, slots=True)
class Wiring:
    """
    A run without what fetches.
    """

    parts: Parts
    intake: Intake
    recorder: Recorder
    report: ReleasingWriter
    storage: Storage


class LocalFetcher:
    """
    The `Fetcher` of one process: a scheduler, and workers that ask as it says.
    """

    def __init__(self, parts: Parts) -> None:
        settings, tokens, pace = parts.settings, parts.tokens, parts.pace
        # What `anyio.current_time` asks in the end, without looking the loop up on each call.
        clock = asyncio.get_running_loop().time
        epoch = time() - clock()
        self.grace = _GRACE
        self.interruptions = Interruptions(epoch=epoch)
        self._pace = pace
        self._tokens = tokens
        self._scheduler = Scheduler(
            PollingPolicy(settings.polling, patience=settings.patience),
            lookahead=parts.lookahead,
            epoch=epoch,
        )
        self._supervisor = Supervisor(
            *(pace, tokens),
            Outage(
                limit=settings.outage,
                first_limit=ATTENDED if parts.attended else inf,
                slots=pace.slots,
                pauses=parts.retries,
            ),
            clock=clock,
            interruptions=self.interruptions,
            tell=parts.tell,
        )
        self._workers = Workers(
            self._scheduler,
            Poller(
                *(parts.downloader, pace, parts.retries),
                endpoint=settings.endpoint,
                epoch=epoch,
                redact=tokens.redactor,
                found=lambda state: self._scheduler.found(state, clock()),
                tell=parts.tell,
                interruptions=self.interruptions,
                clock=clock,
            ),
            tokens,
            pace,
            self._supervisor,
            parts.record,
            patience=settings.patience,
            deadline=parts.deadline,
            clock=clock,
        )
        self.offer = self._scheduler.offer
        self.close = self._scheduler.close
        self.notify = self._workers.notify
        self.room = self._workers.room
        self.stop = self._workers.stop

    @property
    def stopped_by(self) -> str | None:
        """
        See `Fetcher.stopped_by`.
        """
        return self._workers.stopped_by

    @property
    def asked(self) -> int:
        """
        See `Fetcher.asked`.
        """
        return self._workers.asked

    @property
    def settled(self) -> int:
        """
        See `Fetcher.settled`.
        """
        return self._workers.settled

    @property
    def too_early(self) -> int:
        """
        See `Fetcher.too_early`.
        """
        return self._workers.too_early

    @property
    def calls(self) -> int:
        """
        See `Fetcher.calls`.
        """
        return self._pace.calls

    @property
    def in_flight(self) -> int:
        """
        See `Fetcher.in_flight`.
        """
        return self._pace.in_flight

    @property
    def token_requests(self) -> int:
        """
        See `Fetcher.token_requests`.
        """
        return self._tokens.requests

    @property
    def secrets(self) -> Redactor:
        """
        See `Fetcher.secrets`.
        """
        return self._tokens.redactor

    async def run(self, fail: Callable[[BatchFetchError], None]) -> None:
        """
        See `Fetcher.run`.
        """
        async with create_task_group() as pollers:
            for _ in range(self._pace.slots):
                pollers.start_soon(self._poll, fail)
        if self._workers.stopped_by is None and self._supervisor.hint is not None:
            log.warning("every request was turned away: %s", self._supervisor.hint)

    async def _poll(self, fail: Callable[[BatchFetchError], None]) -> None:
        try:
            await self._workers.work()
        except (CredentialsError, StorageError, UnavailableError) as exc:
            fail(exc)

    def complete(self, summary: Summary) -> Summary:
        """
        See `Fetcher.complete`.
        """
        return summary
