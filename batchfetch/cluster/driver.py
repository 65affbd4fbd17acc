"""
The driver: hands out chunks, takes what becomes of them, and answers what workers ask.
"""

import logging
from collections.abc import Callable
from math import inf
from time import time

import anyio
from anyio import create_task_group
from anyio.abc import TaskGroup

from batchfetch.cluster.chunks import Chunks
from batchfetch.cluster.condition import Condition
from batchfetch.cluster.holds import Holds
from batchfetch.cluster.messages import Message
from batchfetch.cluster.recovery import Recorded, recover
from batchfetch.cluster.requests import RequestHandler
from batchfetch.cluster.scheduler_client import SchedulerClient, SchedulerLostError
from batchfetch.cluster.tokens import TokenKeeper
from batchfetch.cluster.workforce import Workforce
from batchfetch.errors import BatchFetchError, StorageError, UnreachableError
from batchfetch.models import JobState
from batchfetch.redaction import Redactor
from batchfetch.report import Interruptions
from batchfetch.run.fetcher import Wiring
from batchfetch.run.summary import ClusterSummary, Summary
from batchfetch.storage import LockKeeper

log = logging.getLogger(__name__)

# Seconds that workers have to finish what is in flight: theirs, and what it takes to tell them.
_GRACE = 5.0


class ClusterFetcher:
    """
    The `Fetcher` of a run on a cluster.

    *scheduler* calls its part on the scheduler, *workforce* starts the work on workers, *order* is
    what a worker is told at first, besides the settings.
    """

    def __init__(
        self,
        wiring: Wiring,
        scheduler: SchedulerClient,
        workforce: Workforce,
        order: Message,
        *,
        chunk: int,
    ) -> None:
        parts = wiring.parts
        self.grace = _GRACE
        self._wiring = wiring
        self._settings = parts.settings
        self._scheduler = scheduler
        self._workforce = workforce
        self._tokens = parts.tokens
        self.interruptions = Interruptions(epoch=time() - anyio.current_time())
        self._holds = Holds(self.interruptions, parts.tell)
        self._keeper = TokenKeeper(
            parts.tokens,
            scheduler.publish,
            outage=parts.settings.outage,
            attended=parts.attended,
            tell=parts.tell,
            interruptions=self.interruptions,
        )
        self._chunks = Chunks(chunk)
        self._recorded = Recorded(wiring, self._chunks)
        self._changed = Condition()
        self._stopped_by: str | None = None
        self._offered = 0
        self._figures: Message = {}
        self._requests = RequestHandler(
            *(self, wiring, scheduler, workforce, self._keeper),
            *(self._chunks, self._recorded, self._changed),
            holds=self._holds,
            order=order,
        )

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
        self._changed.notify()

    async def room(self) -> None:
        """
        See `Fetcher.room`.
        """
        while self._stopped_by is None and not self._chunks.wants_more:
            await self._changed.next()

    def stop(self, by: str) -> None:
        """
        See `Fetcher.stop`.
        """
        self._stopped_by = self._stopped_by or by
        self.notify()

    async def run(self, fail: Callable[[BatchFetchError], None]) -> None:
        """
        See `Fetcher.run`.
        """
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._keeper.run, fail)
                tasks.start_soon(self._listen, fail)
                while not self._chunks.is_over and self._stopped_by is None:
                    await self._changed.next()
                await self._finish()
                tasks.cancel_scope.cancel()
        except* SchedulerLostError as group:
            self._lost(fail, group.exceptions[0])

    def _lost(self, fail: Callable[[BatchFetchError], None], error: BaseException) -> None:
        log.debug("the scheduler is lost: %s", error)
        # No more was leased, and what was is spent.
        calls = self._figure("ceiling")
        unaccounted = self._figure("unaccounted") + calls - self._figure("calls")
        self._figures |= {"calls": calls, "unaccounted": unaccounted, "in_flight": 0}
        fail(
            UnreachableError(
                f"the cluster's scheduler at {self._scheduler.address} is gone or does not answer;"
                " start it and its workers again, and run the same command, which finds what was"
                " finished"
            )
        )

    async def _finish(self) -> None:
        """
        Have the workers end, and wait until they have reported what they did.
        """
        try:
            if self._stopped_by is not None:
                await self._scheduler.stop(self._stopped_by)
            with anyio.move_on_after(_GRACE):
                while self._workforce.at_work:
                    await self._changed.next()
        finally:
            with anyio.CancelScope(shield=True):
                # What the others hold is spent: they are not heard any more.
                for ticket in self._workforce.at_work:
                    await self._scheduler.lose(ticket)
                self._figures = await self._heard()

    async def _heard(self) -> Message:
        storage = self._wiring.storage
        left = storage.lock_left() if isinstance(storage, LockKeeper) else inf
        return await self._scheduler.listen(left if left < inf else None, self._figure("ceiling"))

    async def _listen(self, fail: Callable[[BatchFetchError], None]) -> None:
        worked_at = anyio.current_time()
        async with create_task_group() as answering:
            while True:
                self._figures = await self._heard()
                for message in self._figures.pop("messages"):
                    await self._take(message, answering, fail)
                for ticket, error in (await self._workforce.failed()).items():
                    self._requests.warn_of_trouble()
                    answering.start_soon(self._recover, ticket, f"failed with {error}", fail)
                for ticket, address in self._workforce.cut_off().items():
                    how = "lost a connection to the scheduler"
                    answering.start_soon(self._recover, ticket, how, fail)
                    if self._stopped_by is None:
                        log.warning("the worker at %s was cut off, and begins anew", address)
                        await self._workforce.join(address)
                now = anyio.current_time()
                worked_at = now if self._workforce.at_work else worked_at
                is_over = self._chunks.is_over or self._stopped_by is not None
                is_stuck = self._workforce.is_hopeless or now > worked_at + self._settings.outage
                if is_stuck and not is_over:
                    fail(_without_workers(self._scheduler.address, self._workforce.trouble))
                self.notify()

    async def _take(
        self, message: Message, answering: TaskGroup, fail: Callable[[BatchFetchError], None]
    ) -> None:
        match message["kind"]:
            case "joined":
                if not await self._workforce.join(message["address"]):
                    self._requests.warn_of_trouble()
            case "left":
                for ticket in self._workforce.leave(message["address"]):
                    answering.start_soon(self._recover, ticket, "left the cluster", fail)
            case "asked":
                answering.start_soon(self._requests.answer, message, fail)

    async def _recover(
        self, ticket: int, how: str, fail: Callable[[BatchFetchError], None]
    ) -> None:
        """
        Find what a worker that is lost, and *how*, had finished, and hand out the rest of its
        chunks again.
        """
        self._holds.forget(ticket)
        await self._scheduler.lose(ticket)
        lost = self._chunks.lose(ticket, how)
        try:
            await recover(self._wiring, self._recorded, lost, self._recorded.forget(ticket))
        except StorageError as error:
            fail(error)
        for chunk in lost:
            self._chunks.again(chunk)
        self.notify()

    def complete(self, summary: Summary) -> Summary:
        """
        See `Fetcher.complete`.
        """
        return ClusterSummary(
            **summary.model_dump(),
            workers=self._workforce.took_part,
            workers_lost=self._workforce.lost,
            calls_unaccounted=self._figure("unaccounted"),
        )


def _without_workers(address: str, trouble: str | None) -> UnreachableError:
    why = f" ({trouble})" if trouble else ""
    return UnreachableError(
        f"the cluster at {address} has no worker that can take part{why}; start some with"
        f" dask worker {address}, and run again"
    )
