"""
What of a run lives on Dask's scheduler: the account, and messages between workers and driver.

Workers and driver need not reach each other; each calls the scheduler.  A worker's call that is
for the driver waits here for its reply.
"""

import asyncio
from asyncio import Future, get_running_loop
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

from batchfetch.cluster.account import Account, Request
from batchfetch.cluster.messages import GONE, Message

if TYPE_CHECKING:
    from distributed import Scheduler

# Seconds after which a driver that listens is answered, if there is nothing to tell.
_NEWS = 0.5

# Seconds without a call of the driver after which no more calls are leased.
_SILENCE = 10.0


class RunPlugin(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """
    The part of the run *name* that lives on the scheduler; workers and driver call it by that.

    *client* is the driver's: when that disconnects, the run is over.
    """

    def __init__(
        self, name: str, client: str, *, rate: float | None, max_calls: int | None
    ) -> None:
        self.name = name
        self._client = client
        self._rate, self._max_calls = rate, max_calls

    async def start(self, scheduler: "Scheduler") -> None:
        """
        Begin to answer.
        """
        self._account = Account(rate=self._rate, max_calls=self._max_calls)
        self._account.allow(0)
        self._numbers = count()
        self._tickets: dict[int, str] = {}
        self._gone: set[int] = set()
        self._token: Message = {"generation": 0, "token": None}
        self._stopped_by: str | None = None
        self._is_over = False
        self._locked_until: float | None = None
        self._inbox: list[Message] = []
        self._pending: dict[int, Future[Message]] = {}
        self._news = asyncio.Event()
        self._scheduler = scheduler
        self._heard_at = self._now()
        for address in scheduler.workers:
            self._tell({"kind": "joined", "address": address})
        scheduler.handlers[self.name] = self.call

    async def close(self) -> None:
        """
        The scheduler ends.
        """
        self._end()

    def add_worker(self, scheduler: "Scheduler", worker: str) -> None:  # noqa: ARG002 - the interface's
        """
        Tell the driver of the new worker at the address *worker*.
        """
        self._tell({"kind": "joined", "address": worker})

    def remove_worker(self, scheduler: "Scheduler", worker: str, **_: Any) -> None:  # noqa: ARG002
        """
        Tell the driver that the worker at the address *worker* is gone; what it holds is spent.
        """
        for ticket in [each for each, address in self._tickets.items() if address == worker]:
            self._lose(ticket)
        self._tell({"kind": "left", "address": worker})

    def remove_client(self, scheduler: "Scheduler", client: str) -> None:
        """
        End the run if the *client* is its driver.
        """
        if client == self._client:
            self._end()
            scheduler.plugins.pop(self.name, None)

    async def call(self, verb: str, ticket: int = 0, data: Mapping[str, Any] | None = None) -> Any:
        """
        Answer a call of a worker, which has a *ticket*, or of the driver.
        """
        data = data or {}
        match verb:
            case "lease":
                return self._lease(ticket, data)
            case "ask":
                return await self._ask(ticket, data)
            case "listen":
                return await self._listen(data["lock_left"], data["ceiling"])
            case _:
                self._heard_at = self._now()
                return self._obey(verb, ticket, data)

    def _lease(self, ticket: int, data: Mapping[str, Any]) -> Message:
        if self._is_over or ticket in self._gone:
            return GONE
        request = Request(**{**data["request"], "refusals": tuple(data["request"]["refusals"])})
        is_silent = self._now() - self._heard_at > _SILENCE
        lease = self._account.lease(
            ticket, replace(request, wanted=0) if is_silent else request, self._now()
        )
        if self._account.is_near_ceiling:
            self._news.set()
        answer = {**asdict(lease), "stopped_by": self._stopped_by}
        if is_silent:
            answer["retry_in"] = _NEWS
        if self._locked_until is not None:
            answer["lock_left"] = self._locked_until - self._now()
        if data["generation"] != self._token["generation"]:
            answer["token"] = self._token
        return answer

    async def _ask(self, ticket: int, data: Mapping[str, Any]) -> Message:
        """
        Pass a worker's question on to the driver, and return its reply.
        """
        if self._is_over or ticket in self._gone:
            return GONE
        number = next(self._numbers)
        reply = self._pending[number] = get_running_loop().create_future()
        self._tell({"kind": "asked", "number": number, "ticket": ticket, **data})
        try:
            answer: Message = await reply
        finally:
            del self._pending[number]
        return answer

    async def _listen(self, lock_left: float | None, ceiling: int) -> Message:
        """
        Return to the driver, whose lock lasts for *lock_left* seconds and which knows of *ceiling*,
        what is new, and where the account stands.
        """
        self._account.allow(ceiling)
        self._locked_until = None if lock_left is None else self._now() + lock_left
        self._heard_at = self._now()
        if not self._inbox and not self._is_over:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _NEWS)
        self._news.clear()
        messages, self._inbox = self._inbox, []
        account = self._account
        names = ("asked", "settled", "too_early")
        return {
            "messages": messages,
            "calls": account.calls,
            "unaccounted": account.unaccounted,
            "ceiling": account.announce(),
            "in_flight": account.in_flight,
            **{name: account.total(name) for name in names},
        }

    def _obey(self, verb: str, ticket: int, data: Mapping[str, Any]) -> None:
        match verb:
            case "reply":
                reply = self._pending.get(data["number"])
                if reply is not None and not reply.done():
                    reply.set_result(dict(data["reply"]))
            case "admit":
                self._tickets[ticket] = data["address"]
            case "lose":
                self._lose(ticket)
            case "token":
                self._token = dict(data)
            case "stop":
                self._stopped_by = self._stopped_by or data["by"]
            case "end":
                self._end()

    def _lose(self, ticket: int) -> None:
        if ticket not in self._gone:
            self._gone.add(ticket)
            self._account.lose(ticket)

    def _tell(self, message: Message) -> None:
        self._inbox.append(message)
        self._news.set()

    def _end(self) -> None:
        """
        Leave nothing of the run, least of all its token: a scheduler outlives many runs.
        """
        self._is_over = True
        self._token = {"generation": 0, "token": None}
        self._scheduler.handlers.pop(self.name, None)
        self._news.set()
        for reply in self._pending.values():
            if not reply.done():
                reply.set_result(GONE)

    @staticmethod
    def _now() -> float:
        return get_running_loop().time()
