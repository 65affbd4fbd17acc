"""
The driver: hands out chunks, takes what becomes of them, and answers what workers ask.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

import anyio
from anyio import create_task_group

from batchfetch.cluster.chunks import Chunk, Chunks
from batchfetch.cluster.messages import (
    PROTOCOL,
    Message,
    error_from_wire,
    jobs_to_wire,
    outcome_from_wire,
    settings_to_wire,
)
from batchfetch.cluster.switch import SchedulerLostError, Switch
from batchfetch.cluster.tokens import TokenKeeper
from batchfetch.cluster.workforce import Workforce
from batchfetch.errors import BatchFetchError, StorageError, UnreachableError
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.redaction import Redactor
from batchfetch.run.fetcher import Wiring
from batchfetch.run.summary import ClusterSummary, Summary
from batchfetch.storage import FileExecutor, open_storage
from batchfetch.version import __version__

log = logging.getLogger(__name__)

# Seconds that workers have to finish what is in flight: theirs, and what it takes to tell them.
_GRACE = 5.0

# Seconds after a row came in which more may come for the same chunk.
_FILLING = 0.05

# Files of a worker that may wait for their release: twice as many as it releases together.
_MOST_UNRELEASED = 1024

# Workers that a chunk may cost.
_MOST_LOSSES = 3


class ClusterFetcher:
    """
    The `Fetcher` of a run on a cluster.

    *switch* calls its part on the scheduler, *workforce* starts the work on workers, *order* is
    what a worker is told at first, besides the settings.
    """

    def __init__(
        self, wiring: Wiring, switch: Switch, workforce: Workforce, order: Message, *, chunk: int
    ) -> None:
        parts = wiring.parts
        self.grace = _GRACE
        self._wiring = wiring
        self._settings = parts.settings
        self._switch = switch
        self._workforce = workforce
        self._tokens = parts.tokens
        self._order = {
            "settings": settings_to_wire(parts.settings),
            "attended": parts.attended,
            **order,
        }
        self._keeper = TokenKeeper(
            parts.tokens,
            switch.publish,
            outage=parts.settings.outage,
            attended=parts.attended,
            tell=parts.tell,
        )
        self._chunks = Chunks(chunk)
        self._changed = anyio.Event()
        self._stopped_by: str | None = None
        self._offered = 0
        self._given_up = 0
        self._figures: Message = {}
        self._said: set[str] = set()
        self._reported_calls = 0
        # Files whose lines came from a worker last: it may die before it has released them.
        self._files: dict[int, deque[str]] = {}

    @property
    def stopped_by(self) -> str | None:
        """
        See `Fetcher.stopped_by`.
        """
        return self._stopped_by

    @property
    def asked(self) -> int:
        """
        See `Fetcher.asked`.
        """
        return min(self._offered, max(self._figure("asked"), self.settled))

    @property
    def settled(self) -> int:
        """
        See `Fetcher.settled`.
        """
        return self._chunks.settled

    @property
    def too_early(self) -> int:
        """
        See `Fetcher.too_early`.
        """
        return self._figure("too_early")

    @property
    def calls(self) -> int:
        """
        See `Fetcher.calls`.
        """
        return self._figure("calls")

    @property
    def in_flight(self) -> int:
        """
        See `Fetcher.in_flight`.
        """
        return self._figure("in_flight")

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

    def _figure(self, name: str) -> int:
        return int(self._figures.get(name, 0))

    def offer(self, state: JobState) -> None:
        """
        See `Fetcher.offer`.
        """
        self._offered += 1
        self._chunks.offer(state)

    def close(self) -> None:
        """
        See `Fetcher.close`.
        """
        self._chunks.close()

    def notify(self) -> None:
        """
        See `Fetcher.notify`.
        """
        self._changed.set()

    async def room(self) -> None:
        """
        See `Fetcher.room`.
        """
        while self._stopped_by is None and not self._chunks.wants_more:
            await self._change()

    def stop(self, by: str) -> None:
        """
        See `Fetcher.stop`.
        """
        self._stopped_by = self._stopped_by or by
        self.notify()

    async def _change(self) -> None:
        if self._changed.is_set():
            self._changed = anyio.Event()
        await self._changed.wait()

    async def run(self, fail: Callable[[BatchFetchError], None]) -> None:
        """
        See `Fetcher.run`.
        """
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._keeper.run, fail)
                tasks.start_soon(self._listen, fail)
                while not self._chunks.is_over and self._stopped_by is None:
                    await self._change()
                await self._finish()
                tasks.cancel_scope.cancel()
        except* SchedulerLostError as group:
            self._lost(fail, group.exceptions[0])

    def _lost(self, fail: Callable[[BatchFetchError], None], error: BaseException) -> None:
        log.debug("the scheduler is lost: %s", error)
        # What was leased is spent, as far as it is known here, and no less than is reported.
        calls = max(self._figure("leased"), self._reported_calls)
        unaccounted = self._figure("unaccounted") + calls - self._figure("calls")
        self._figures |= {"calls": calls, "unaccounted": unaccounted, "in_flight": 0}
        fail(
            UnreachableError(
                f"the cluster's scheduler at {self._switch.address} is gone; what was in flight is"
                " found by the next run: start the scheduler and its workers, and run again"
            )
        )

    async def _finish(self) -> None:
        """
        Have the workers end, and wait until they have reported what they did.
        """
        if self._stopped_by is not None:
            await self._switch.stop(self._stopped_by)
        while self._workforce.is_busy:
            await self._change()
        self._figures = await self._switch.listen()

    async def _listen(self, fail: Callable[[BatchFetchError], None]) -> None:
        workforce = self._workforce
        idle_since = anyio.current_time()
        async with create_task_group() as answering:
            while True:
                self._figures = await self._switch.listen()
                for message in self._figures.pop("messages"):
                    match message["kind"]:
                        case "joined":
                            await workforce.join(message["address"])
                        case "left":
                            for ticket in workforce.leave(message["address"]):
                                answering.start_soon(self._recover, ticket, fail)
                        case "asked":
                            answering.start_soon(self._answer, message, fail)
                for ticket in await workforce.failed():
                    answering.start_soon(self._recover, ticket, fail)
                if self._chunks.waiting and self._stopped_by is None:
                    await workforce.resume()
                now = anyio.current_time()
                idle_since = now if workforce.is_busy else idle_since
                if now - idle_since > self._settings.outage:
                    fail(_without_workers(self._switch.address, workforce.trouble))
                self.notify()

    async def _answer(  # noqa: C901 - one line a question
        self, message: Message, fail: Callable[[BatchFetchError], None]
    ) -> None:
        ticket = message["ticket"]
        reply: Message = {}
        match message["what"]:
            case "begin":
                reply = self._begin(ticket, message)
            case "chunk":
                reply = await self._next_chunk(ticket, more=message["more"])
            case "record":
                reply = await self._record(ticket, message["lines"])
            case "sync":
                await self._sync(fail)
            case "refused":
                await self._keeper.refused(message["generation"])
            case "say":
                self._say(message["level"], message["text"])
            case "unfit":
                self._dismiss(ticket, f"a worker takes no part: {message['error']['text']}")
            case "spent":
                self.stop("max-calls")
            case "failed":
                fail(error_from_wire(message["error"]))
            case "bye":
                self._files.pop(ticket, None)
                self._workforce.retire(ticket)
                self.notify()
        await self._switch.reply(message["number"], reply)

    def _begin(self, ticket: int, message: Message) -> Message:
        theirs = (message["version"], message["protocol"])
        if theirs == (__version__, PROTOCOL):
            return self._order
        self._dismiss(
            ticket,
            f"{message['where']} takes no part: it has batchfetch {theirs[0]} (protocol"
            f" {theirs[1]}), and this run {__version__} (protocol {PROTOCOL})",
        )
        return {}

    def _dismiss(self, ticket: int, why: str) -> None:
        self._workforce.dismiss(ticket, why)
        self._say(logging.WARNING, why)

    def _say(self, level: int, text: str) -> None:
        # Each worker has the same to say of a service that slows down or cannot be reached.
        if text not in self._said:
            self._said.add(text)
            log.log(level, "%s", text)

    async def _next_chunk(self, ticket: int, *, more: bool) -> Message:
        """
        Return the next chunk for the worker with *ticket*; with *more* it has some already.
        """
        chunks = self._chunks
        while self._stopped_by is None and not chunks.is_over:
            if not chunks.has_chunk:
                with anyio.move_on_after(_FILLING):
                    await self._change()
            if (chunk := chunks.take(ticket, more=more)) is not None:
                self.notify()
                return {"jobs": jobs_to_wire([*chunk.jobs.values()])}
            if more and (chunks.is_exhausted or chunks.has_suspect(ticket)):
                break
            await self._change()
        return {}

    async def _record(self, ticket: int, lines: list[bytes]) -> Message:
        """
        Record the outcomes in *lines*, unless the jobs were decided before.
        """
        files = self._files.setdefault(ticket, deque(maxlen=_MOST_UNRELEASED))
        for line in lines:
            outcome = outcome_from_wire(line)
            self._reported_calls += outcome.calls
            if outcome.path is not None:
                files.append(outcome.path)
            await self._decide(outcome)
        if not await self._wiring.recorder.until_written():
            return {"gone": True}
        self.notify()
        return {}

    async def _sync(self, fail: Callable[[BatchFetchError], None]) -> None:
        try:
            await self._wiring.report.sync()
        except StorageError as error:
            fail(error)

    async def _recover(self, ticket: int, fail: Callable[[BatchFetchError], None]) -> None:
        """
        Find what a worker that is gone had finished, and hand out the rest of its chunks again.
        """
        await self._switch.lose(ticket)
        lost = self._chunks.lose(ticket)
        self.notify()
        try:
            await self._find(lost, self._files.pop(ticket, ()))
        except StorageError as error:
            fail(error)
        for chunk in lost:
            if chunk.losses >= _MOST_LOSSES:
                await self._give_up(chunk)
            self._chunks.again(chunk)
        self.notify()

    async def _find(self, lost: list[Chunk], named: Iterable[str]) -> None:
        settings = self._settings
        states = [state for chunk in lost for state in chunk.jobs.values()]
        with FileExecutor() as files:
            # Opened anew, because what was opened before may not see what others did since.
            opened = open_storage(settings.output, settings.durability, files, make=False)
            async with opened as storage:
                for state in states:
                    outcome = await self._wiring.intake.recover(state, storage)
                    if outcome is not None:
                        await self._decide(outcome)
                await self._wiring.recorder.until_written()
                await self._wiring.report.sync()
                await storage.release([*named, *(state.job.filename for state in states)])

    async def _give_up(self, chunk: Chunk) -> None:
        for state in [*chunk.jobs.values()]:
            outcome = Outcome.of(
                state,
                OutcomeStatus.FAILED,
                reason="worker_lost",
                detail=f"{chunk.losses} workers in a row died while they had this task's chunk",
            )
            await self._decide(outcome)

    async def _decide(self, outcome: Outcome) -> None:
        if outcome.task_id is not None and self._chunks.settle(outcome.task_id) is not None:
            await self._wiring.parts.record(outcome)

    def complete(self, summary: Summary) -> Summary:
        """
        See `Fetcher.complete`.
        """
        return ClusterSummary(
            **summary.model_dump(),
            workers=self._workforce.employed,
            workers_lost=self._workforce.lost,
            calls_unaccounted=self._figure("unaccounted"),
        )


def _without_workers(address: str, trouble: str | None) -> UnreachableError:
    why = f" ({trouble})" if trouble else ""
    return UnreachableError(
        f"the cluster at {address} has no worker that can take part{why}; start some with"
        f" dask worker {address}, and run again"
    )
