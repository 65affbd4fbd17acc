"""
The workers of a cluster that take part in a run.
"""

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from batchfetch.cluster.addresses import is_safe, unsafe_worker
from batchfetch.cluster.scheduler_client import SchedulerClient
from batchfetch.cluster.worker import work

if TYPE_CHECKING:
    from distributed import Client, Future


@dataclass(slots=True)
class _Assignment:
    address: str
    future: "Future"
    has_begun: bool = False


class Workforce:
    """
    Starts the work on each worker of *client* that joins, once.

    A piece of work has a ticket.  It is bound to its worker, so that Dask repeats none elsewhere:
    what a dead worker had not done is handed out by the driver.
    """

    def __init__(
        self, client: "Client", scheduler: SchedulerClient, name: str, *, insecure: bool
    ) -> None:
        self._client = client
        self._scheduler = scheduler
        self._name = name
        self._insecure = insecure
        self._tickets = count(1)
        self._assignments: dict[int, _Assignment] = {}
        self.trouble: str | None = None
        """Why the last worker that does not take part any more cannot; None if it has died."""

        self.took_part = 0
        """Workers that took part."""

        self.lost = 0
        """Of them, those that went away while they did."""

    @property
    def is_hopeless(self) -> bool:
        """
        Whether no worker is left, and the last one was found unable to take part.

        One that died may come back: then there is hope.
        """
        return self.trouble is not None and not self._assignments

    @property
    def at_work(self) -> list[int]:
        """
        The tickets of workers that have begun and not ended.
        """
        return [ticket for ticket, each in self._assignments.items() if each.has_begun]

    async def join(self, address: str) -> bool:
        """
        Have the new worker at *address* begin as soon as it has nothing else to do, and return
        whether it may.
        """
        if any(each.address == address for each in self._assignments.values()):
            return True
        if not (self._insecure or is_safe(address)):
            self.trouble = unsafe_worker(address)
            return False
        ticket = next(self._tickets)
        await self._scheduler.admit(ticket, address)
        future = self._client.submit(
            work,
            self._name,
            ticket,
            key=f"{self._name}-{ticket}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )
        self._assignments[ticket] = _Assignment(address, future)
        return True

    def begin(self, ticket: int) -> None:
        """
        Note that the worker with *ticket* takes part.
        """
        if ticket in self._assignments:
            self._assignments[ticket].has_begun = True
            self.took_part += 1

    def end(self, ticket: int) -> None:
        """
        Note that the worker with *ticket* has nothing more to do.
        """
        if (assignment := self._assignments.pop(ticket, None)) is not None:
            assignment.future.release()

    def dismiss(self, ticket: int, why: str) -> None:
        """
        Note that, and why, the worker with *ticket* cannot take part.
        """
        self.trouble = why
        if ticket in self.at_work:
            self.took_part -= 1
        self.end(ticket)

    def leave(self, address: str) -> list[int]:
        """
        Note that the worker at *address* is gone; return its tickets.
        """
        tickets = [key for key, each in self._assignments.items() if each.address == address]
        self.lost += len(set(tickets) & set(self.at_work))
        self.trouble = None if tickets else self.trouble
        for ticket in tickets:
            self.end(ticket)
        return tickets

    async def failed(self) -> dict[int, str]:
        """
        Return the tickets of workers whose work ended with an error, each with the error's name.
        """
        failed = {}
        for ticket, each in [*self._assignments.items()]:
            if each.future.status == "error":
                error = await each.future.exception()
                failed[ticket] = type(error).__name__
                self.lost += ticket in self.at_work
                self.trouble = f"{type(error).__name__}: {error}"
                self.end(ticket)
        return failed

    def cut_off(self) -> dict[int, str]:
        """
        Return the tickets of workers whose work ended without their saying so, each with the
        address: they are there, but a connection of theirs to the scheduler broke.
        """
        cut_off = {
            ticket: each.address
            for ticket, each in self._assignments.items()
            if each.future.status not in {"pending", "error"}
        }
        for ticket in cut_off:
            self.lost += ticket in self.at_work
            self.end(ticket)
        return cut_off
