"""
Answer the requests of workers, in the driver.
"""

import logging
from collections.abc import Callable
from math import inf

import anyio

from batchfetch.cluster.chunks import Chunks
from batchfetch.cluster.condition import Condition
from batchfetch.cluster.holds import Holds
from batchfetch.cluster.messages import (
    GONE,
    PROTOCOL,
    Message,
    error_from_wire,
    jobs_to_wire,
    outcome_from_wire,
    settings_to_wire,
)
from batchfetch.cluster.recovery import Recorded
from batchfetch.cluster.scheduler_client import SchedulerClient
from batchfetch.cluster.tokens import TokenKeeper
from batchfetch.cluster.workforce import Workforce
from batchfetch.errors import BatchFetchError, StorageError
from batchfetch.run.fetcher import Fetcher, Wiring
from batchfetch.version import __version__

log = logging.getLogger(__name__)

# Seconds after a row came in which more may come for the same chunk.
_FILLING = 0.05

# Seconds in which the same sentence of several workers is said once.
_REPEATED = 5.0


class RequestHandler:
    """
    Answers the requests of the workers of *run*.

    *order* is what a worker is told at first, besides the settings.
    """

    def __init__(  # noqa: PLR0913 - the parts of a driver
        self,
        run: Fetcher,
        wiring: Wiring,
        scheduler: SchedulerClient,
        workforce: Workforce,
        keeper: TokenKeeper,
        chunks: Chunks,
        recorded: Recorded,
        changed: Condition,
        *,
        holds: Holds,
        order: Message,
    ) -> None:
        self._run = run
        self._wiring = wiring
        self._scheduler = scheduler
        self._workforce = workforce
        self._keeper = keeper
        self._chunks = chunks
        self._recorded = recorded
        self._holds = holds
        self._changed = changed
        parts = wiring.parts
        self._order = {
            "settings": settings_to_wire(parts.settings),
            "attended": parts.attended,
            **order,
        }
        # When each sentence was said last.
        self._said: dict[str, float] = {}

    async def answer(self, message: Message, fail: Callable[[BatchFetchError], None]) -> None:
        """
        Answer the question *message* of a worker; tell *fail* of what ends the run.
        """
        ticket, reply = message["ticket"], {}
        match message["what"]:
            case "begin":
                reply = self._begin(ticket, message)
            case "chunk":
                reply = await self._next_chunk(ticket, more=message["more"])
            case "record":
                outcomes = map(outcome_from_wire, message["lines"])
                reply = {} if await self._recorded.take(ticket, outcomes) else GONE
            case "sync":
                await self._sync(fail)
            case "refused":
                await self._keeper.refused(message["generation"])
            case _:
                self._note(ticket, message, fail)
        await self._scheduler.reply(message["number"], reply)
        self._changed.notify()

    def _note(self, ticket: int, message: Message, fail: Callable[[BatchFetchError], None]) -> None:
        """
        Note what a worker says that needs no answer.
        """
        match message["what"]:
            case "say":
                self._say(message["level"], message["text"])
            case "paused":
                self._holds.pause(message["seconds"], message["reason"], anyio.current_time())
            case "held":
                why = (message["seconds"], message["reason"], anyio.current_time())
                self._holds.hold(ticket, *why, self._workforce.at_work)
            case "resumed":
                self._holds.resume(ticket, anyio.current_time())
            case "unfit":
                self._dismiss(ticket, message["error"]["text"])
            case "spent":
                self._run.stop("max-calls")
            case "failed":
                fail(error_from_wire(message["error"]))
            case "bye":
                self._holds.forget(ticket)
                self._recorded.forget(ticket)
                self._workforce.end(ticket)

    def _begin(self, ticket: int, message: Message) -> Message:
        theirs = (message["version"], message["protocol"])
        if theirs == (__version__, PROTOCOL):
            self._workforce.begin(ticket)
            return self._order
        self._dismiss(
            ticket,
            f"{message['where']} has batchfetch {theirs[0]} (protocol {theirs[1]}), and this run"
            f" {__version__} (protocol {PROTOCOL})",
        )
        return {}

    def _dismiss(self, ticket: int, why: str) -> None:
        self._workforce.dismiss(ticket, why)
        self.warn_of_trouble()

    def warn_of_trouble(self) -> None:
        """
        Say what keeps a worker from taking part.
        """
        self._say(logging.WARNING, f"a worker takes no part: {self._workforce.trouble}")

    def _say(self, level: int, text: str) -> None:
        # Each worker has the same to say of a service that slows down or cannot be reached.
        now = anyio.current_time()
        if now - self._said.get(text, -inf) > _REPEATED:
            self._said[text] = now
            log.log(level, "%s", text)

    async def _next_chunk(self, ticket: int, *, more: bool) -> Message:
        """
        Return the next chunk for the worker with *ticket*; with *more* it has some already.
        """
        chunks = self._chunks
        while self._run.stopped_by is None and not chunks.is_over:
            if not chunks.has_chunk:
                with anyio.move_on_after(_FILLING):
                    await self._changed.next()
            if (chunk := chunks.take(ticket, more=more)) is not None:
                return {"jobs": jobs_to_wire([*chunk.jobs.values()])}
            if more and (chunks.has_suspect(ticket) or not chunks.offers_more):
                break
            await self._changed.next()
        return {}

    async def _sync(self, fail: Callable[[BatchFetchError], None]) -> None:
        try:
            await self._wiring.report.sync()
        except StorageError as error:
            fail(error)
