"""
The driver's way to its run on the scheduler.
"""

from typing import TYPE_CHECKING, Any

import anyio

from batchfetch.cluster.messages import Message

if TYPE_CHECKING:
    from distributed import Client

# Seconds in which the scheduler has to answer; it does at once, or to `listen` in half of one.
_ANSWERING = 20.0


class SchedulerLostError(ConnectionError):
    """
    The scheduler cannot be reached, or does not know the run any more.
    """


class SchedulerClient:
    """
    The run *name* on the scheduler of *client*.
    """

    def __init__(self, client: "Client", name: str) -> None:
        self._client = client
        self._name = name
        self.is_lost = False
        """Whether the scheduler cannot be reached any more."""

        self.address: str = client.scheduler.address

    async def listen(self, lock_left: float | None, ceiling: int) -> Message:
        """
        Return what is new, as soon as something is, or after half a second.

        Workers may write for *lock_left* seconds; None is for as long as the run lasts.  *ceiling*
        is that of the last answer, 0 before the first: so many calls may be leased in all.
        """
        news: Message | None = await self._call("listen", lock_left=lock_left, ceiling=ceiling)
        if news is None:
            raise SchedulerLostError("the scheduler does not know the run")
        return news

    async def reply(self, number: int, reply: Message) -> None:
        """
        Answer the question *number* of a worker.
        """
        await self._call("reply", number=number, reply=reply)

    async def admit(self, ticket: int, address: str) -> None:
        """
        Say that the worker at *address* has *ticket*.
        """
        await self._call("admit", ticket, address=address)

    async def lose(self, ticket: int) -> None:
        """
        Say that the worker with *ticket* is gone.
        """
        await self._call("lose", ticket)

    async def publish(self, token: Message) -> None:
        """
        Have workers use *token* from now on.
        """
        await self._call("token", **token)

    async def stop(self, by: str) -> None:
        """
        Have workers ask nothing new.
        """
        await self._call("stop", by=by)

    async def end(self) -> None:
        """
        Have workers stop at once, if the scheduler is still there.
        """
        if not self.is_lost:
            await self._call("end")

    async def _call(self, verb: str, ticket: int = 0, **data: Any) -> Any:
        try:
            with anyio.fail_after(_ANSWERING):
                return await getattr(self._client.scheduler, self._name)(
                    verb=verb, ticket=ticket, data=data
                )
        except OSError as exc:
            self.is_lost = True
            raise SchedulerLostError(str(exc)) from exc
