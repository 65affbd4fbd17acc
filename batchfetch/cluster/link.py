"""
A worker's way to its run: calls of the scheduler, from a thread with an event loop of its own.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from batchfetch.cluster.messages import Message

if TYPE_CHECKING:
    from distributed import Worker


class LinkLostError(Exception):
    """
    The run is over, or the scheduler cannot be reached: what is in flight is given up.
    """


class Link:
    """
    The run *name* as seen by the *worker* that has *ticket*.
    """

    def __init__(self, worker: "Worker", name: str, ticket: int) -> None:
        self._worker = worker
        self._name = name
        self._ticket = ticket

    async def lease(self, data: Message) -> Message:
        """
        Report to the account and return what it leases.  Raises `LinkLostError`.
        """
        return await self._call("lease", data)

    async def ask(self, what: str, **data: Any) -> Message:
        """
        Ask the driver, and return its reply.  Raises `LinkLostError`.
        """
        return await self._call("ask", {"what": what, **data})

    async def _call(self, verb: str, data: Message) -> Message:
        # The connections are the worker's, and so is the loop that they belong to.
        there = asyncio.run_coroutine_threadsafe(
            self._call_there(verb, data), self._worker.loop.asyncio_loop
        )
        try:
            answer = await asyncio.wrap_future(there)
        except (OSError, RuntimeError) as exc:
            raise LinkLostError(str(exc)) from exc
        if answer is None or "gone" in answer:
            raise LinkLostError("the run is over")
        return answer

    async def _call_there(self, verb: str, data: Message) -> Message | None:
        call = getattr(self._worker.scheduler, self._name)
        answer: Message | None = await call(verb=verb, ticket=self._ticket, data=data)
        return answer
