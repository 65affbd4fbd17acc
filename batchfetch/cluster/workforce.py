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
    has_begun: bool = False


class Workforce:
    """
    Starts the work on each worker of *client* that joins, once.

    A piece of work has a ticket.  It is bound to its worker, so that Dask repeats none elsewhere:
    what a dead worker had not done is handed out by the driver.
    """

    def __init__(self, client: "Client", switch: Switch, name: str) -> None:
        self._client = client
        self._switch = switch
        self._name = name
        self._tickets = count(1)
        self._employments: dict[int, _Employment] = {}
        self.trouble: str | None = None
        """Why the last worker that does not take part any more cannot; None if it has died."""

        self.employed = 0
        """Workers that took part."""

        self.lost = 0
        """Of them, those that went away while they did."""

    @property
    def is_hopeless(self) -> bool:
        """
        Whether no worker is left, and the last one was found unable to take part.

        One that died may come back: then there is hope.
        """
        return self.trouble is not None and not self._employments

    @property
    def at_work(self) -> list[int]:
        """
        The tickets of workers that have begun and not ended.
        """
        return [ticket for ticket, each in self._employments.items() if each.has_begun]

    async def join(self, address: str) -> None:
        """
        Have the new worker at *address* begin as soon as it has nothing else to do.
        """
        if any(each.address == address for each in self._employments.values()):
            return
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

    def begin(self, ticket: int) -> None:
        """
        Note that the worker with *ticket* takes part.
        """
        if ticket in self._employments:
            self._employments[ticket].has_begun = True
            self.employed += 1

    def end(self, ticket: int) -> None:
        """
        Note that the worker with *ticket* has nothing more to do.
        """
        if (employment := self._employments.pop(ticket, None)) is not None:
            employment.future.release()

    def dismiss(self, ticket: int, why: str) -> None:
        """
        Note that, and why, the worker with *ticket* cannot take part.
        """
        self.trouble = why
        if ticket in self.at_work:
            self.employed -= 1
        self.end(ticket)

    def leave(self, address: str) -> list[int]:
        """
        Note that the worker at *address* is gone; return its tickets.
        """
        tickets = [key for key, each in self._employments.items() if each.address == address]
        self.lost += len(set(tickets) & set(self.at_work))
        self.trouble = None if tickets else self.trouble
        for ticket in tickets:
            self.end(ticket)
        return tickets

    async def failed(self) -> list[int]:
        """
        Return the tickets of workers whose work ended with an error.
        """
        failed = [key for key, each in self._employments.items() if each.future.status == "error"]
        for ticket in failed:
            error = await self._employments[ticket].future.exception()
            self.lost += ticket in self.at_work
            self.trouble = f"{type(error).__name__}: {error}"
            self.end(ticket)
        return failed
