"""
The workers of a cluster that take part in a run.
"""

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from batchfetch.cluster.switch import Switch
from batchfetch.cluster.worker import work

if TYPE_CHECKING:
    from distributed import Client, Future


@dataclass(slots=True)
class _Employment:
    address: str
    future: "Future"
    is_over: bool = False
    """Whether the worker has said that it is done."""


class Workforce:
    """
    Starts the work on each worker of *client* that joins, once at a time.

    A piece of work has a ticket.  It is bound to its worker, so that Dask repeats none elsewhere:
    what a dead worker had not done is handed out by the driver.
    """

    def __init__(self, client: "Client", switch: Switch, name: str) -> None:
        self._client = client
        self._switch = switch
        self._name = name
        self._tickets = count(1)
        self._employments: dict[int, _Employment] = {}
        # Workers that wait for chunks, and what keeps others from taking part.
        self._idle: set[str] = set()
        self._unfit: set[str] = set()
        self.trouble: str | None = None
        """Why a worker takes no part."""

        self.employed = 0
        """Workers that took part."""

        self.lost = 0
        """Of them, those that went away while they did."""

    @property
    def is_busy(self) -> bool:
        """
        Whether a worker is at work.
        """
        return any(not each.is_over for each in self._employments.values())

    async def join(self, address: str) -> None:
        """
        Have the new worker at *address* begin.
        """
        if all(each.address != address for each in self._employments.values()):
            self.employed += 1
            await self._employ(address)

    async def resume(self) -> None:
        """
        Have workers begin again that found nothing more to do, for there is something again.
        """
        while self._idle:
            await self._employ(self._idle.pop())

    def retire(self, ticket: int) -> None:
        """
        Note that the worker with *ticket* has nothing more to do.
        """
        if (employment := self._employments.get(ticket)) is not None:
            employment.is_over = True
            del self._employments[ticket]
            employment.future.release()
            if employment.address not in self._unfit:
                self._idle.add(employment.address)

    def dismiss(self, ticket: int, why: str) -> None:
        """
        Note that the worker with *ticket* cannot take part.
        """
        self.trouble = why
        if (employment := self._employments.get(ticket)) is not None:
            self._unfit.add(employment.address)
            self.employed -= 1
            self.retire(ticket)

    def leave(self, address: str) -> list[int]:
        """
        Note that the worker at *address* is gone; return its tickets.
        """
        self._idle.discard(address)
        self._unfit.discard(address)
        tickets = [key for key, each in self._employments.items() if each.address == address]
        for ticket in tickets:
            self._employments.pop(ticket).future.release()
            self.lost += 1
        return tickets

    async def failed(self) -> list[int]:
        """
        Return the tickets of workers whose work ended with an error, which is logged by Dask.
        """
        failed = [key for key, each in self._employments.items() if each.future.status == "error"]
        for ticket in failed:
            error = await self._employments[ticket].future.exception()
            self.dismiss(ticket, f"{type(error).__name__}: {error}")
        return failed

    async def _employ(self, address: str) -> None:
        ticket = next(self._tickets)
        await self._switch.admit(ticket, address)
        future = self._client.submit(
            work,
            self._name,
            ticket,
            key=f"{self._name}-{ticket}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )
        self._employments[ticket] = _Employment(address, future)
