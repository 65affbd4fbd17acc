"""
A worker's tokens, and the exchange of its reports for leases and tokens.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict

from batchfetch.cluster.account import Lease
from batchfetch.cluster.messages import Message
from batchfetch.cluster.pace import LeasedPace
from batchfetch.redaction import Redactor


class LeasedTokens:
    """
    The tokens of a worker, as the driver's come with its leases.

    *refuse* tells the driver that the service refuses the token of a generation.
    """

    is_renewable = True
    requests = 0

    def __init__(self, refuse: Callable[[int], Awaitable[None]]) -> None:
        self.redactor = Redactor()
        self.generation = -1
        """Of the token that came last; each has another."""

        self._refuse = refuse
        self._token: str | None = None
        self._came = asyncio.Event()
        self._refused: asyncio.Queue[int] = asyncio.Queue()

    @property
    def at_hand(self) -> str | None:
        """
        See `Tokens.at_hand`.
        """
        return self._token

    async def token(self) -> str:
        """
        See `Tokens.token`.  It is the driver that asks for one, and that ends the run if there is
        none.
        """
        while self._token is None:
            self._came.clear()
            await self._came.wait()
        return self._token

    def refuse(self, text: str) -> None:
        """
        See `Tokens.refuse`.
        """
        if text == self._token:
            self._token = None
            self._refused.put_nowait(self.generation)

    def take(self, message: Message) -> None:
        """
        Take the token in *message*; None for none until another comes.
        """
        self.generation = message["generation"]
        self._token = message["token"]
        if self._token is not None:
            self.redactor.add_token(self._token)
            self._came.set()

    async def run(self) -> None:
        """
        Tell the driver of refused tokens.
        """
        while True:
            await self._refuse(await self._refused.get())


async def keep_leased(
    pace: LeasedPace,
    tokens: LeasedTokens,
    lease: Callable[[Message], Awaitable[Message]],
    counts: Callable[[], dict[str, int]],
    on_stop: Callable[[str], None],
    on_lock: Callable[[float], None],
) -> None:
    """
    Exchange reports for leases with the account, by *lease*, for as long as this runs.

    *counts* returns what else to report; *on_stop* is told that, and why, the run is stopped,
    *on_lock* for how many seconds the driver's lock lasts.
    """
    now = asyncio.get_running_loop().time
    while True:
        await report(pace, tokens, lease, counts, on_stop, on_lock)
        with suppress(TimeoutError):
            async with asyncio.timeout(pace.next_report(now())):
                await pace.needs_lease.wait()
        pace.needs_lease.clear()


async def report(
    pace: LeasedPace,
    tokens: LeasedTokens,
    lease: Callable[[Message], Awaitable[Message]],
    counts: Callable[[], dict[str, int]],
    on_stop: Callable[[str], None],
    on_lock: Callable[[float], None],
) -> None:
    """
    Do so once.
    """
    now = asyncio.get_running_loop().time
    asked_at = now()
    request = asdict(pace.request(now())) | counts()
    answer = await lease({"request": request, "generation": tokens.generation})
    if (token := answer.pop("token", None)) is not None:
        tokens.take(token)
    if (by := answer.pop("stopped_by")) is not None:
        on_stop(by)
    if (left := answer.pop("lock_left", None)) is not None:
        on_lock(left - (now() - asked_at))
    pace.take(Lease(**answer), now())
