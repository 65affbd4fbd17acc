"""
Keep the workers of a cluster in tokens: the driver alone asks for them.
"""

from collections.abc import Awaitable, Callable
from math import inf

import anyio

from batchfetch.cluster.messages import Message
from batchfetch.errors import BatchFetchError, CredentialsError, JobError, UnavailableError
from batchfetch.hooks import Hook
from batchfetch.report import Interruptions
from batchfetch.run.fetcher import ATTENDED
from batchfetch.run.supervisor import Supervisor
from batchfetch.scheduling import LocalPace, Outage, RetryPolicy
from batchfetch.service import Tokens

# Seconds between two looks at whether the token is still valid.
_EVERY = 0.25


class TokenKeeper:
    """
    Has a token of *tokens* published whenever the one before is no longer valid.

    While none can be had the run is held for *outage* seconds at most, as a single process is.
    """

    def __init__(
        self,
        tokens: Tokens,
        publish: Callable[[Message], Awaitable[None]],
        *,
        outage: float,
        attended: bool,
        tell: Hook | None,
        interruptions: Interruptions,
    ) -> None:
        self._tokens = tokens
        self._publish = publish
        self._generation = 0
        self._published: str | None = None
        self._refused = anyio.Event()
        pace = LocalPace(slots=1, rate=None, max_calls=None)
        self._supervisor = Supervisor(
            *(pace, tokens),
            Outage(
                limit=outage,
                first_limit=ATTENDED if attended else inf,
                slots=1,
                pauses=RetryPolicy(),
            ),
            clock=anyio.current_time,
            tell=tell,
            interruptions=interruptions,
        )

    async def refused(self, generation: int) -> None:
        """
        Note that the service refuses the token of *generation*.
        """
        if generation == self._generation and self._published is not None:
            self._tokens.refuse(self._published)
            await self._withdraw()
            self._refused.set()

    async def run(self, fail: Callable[[BatchFetchError], None]) -> None:
        """
        Do so until *fail* is told why there is no token any more.
        """
        try:
            while True:
                if self._tokens.at_hand != self._published or self._published is None:
                    await self._withdraw()
                    await self._renew()
                self._refused = anyio.Event()
                with anyio.move_on_after(_EVERY):
                    await self._refused.wait()
        except (CredentialsError, UnavailableError) as error:
            fail(error)

    async def _withdraw(self) -> None:
        if self._published is not None:
            self._published = None
            await self._send(None)

    async def _renew(self) -> None:
        while True:
            now = anyio.current_time()
            until = self._supervisor.held_until(now)
            if until is not None:
                await anyio.sleep_until(until)
                continue
            self._supervisor.token_awaited()
            try:
                token = await self._tokens.token()
            except JobError as error:
                self._supervisor.token_failed(error)
            else:
                self._supervisor.token_came(now)
                self._published = token
                await self._send(token)
                return

    async def _send(self, token: str | None) -> None:
        self._generation += 1
        await self._publish({"generation": self._generation, "token": token})
