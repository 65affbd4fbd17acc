"""
Read outcomes back: those of this run from its report, those of earlier runs from any of several.
"""

from collections.abc import Awaitable, Callable, Sequence

from anyio import to_thread

from batchfetch.errors import ReportError
from batchfetch.models import Outcome
from batchfetch.report.reports import OTHERS, Reports


class ReadBack:
    """
    Reads the outcomes at places of *reports*; *read_own* reads those of the first, which is open.
    """

    def __init__(
        self, reports: Reports, read_own: Callable[[Sequence[int]], Awaitable[list[Outcome]]]
    ) -> None:
        self._reports = reports
        self._read_own = read_own

    async def read(self, places: Sequence[int]) -> list[Outcome]:
        """
        Return the outcomes at *places*, in that order.

        Raises `ReportError` if a report cannot be read, or was changed by another program.
        """
        elsewhere = [place for place in places if place >= OTHERS]
        if not elsewhere:
            return await self._read_own(places)
        others = iter(await to_thread.run_sync(self._read_others, elsewhere))
        own = iter(await self._read_own([place for place in places if place < OTHERS]))
        return [next(others if place >= OTHERS else own) for place in places]

    def _read_others(self, places: Sequence[int]) -> list[Outcome]:
        found = list(self._reports.outcomes_at(places))
        if len(found) < len(places):
            raise ReportError(
                "a report of an earlier run was changed by another program during this one; what"
                " that run wrote cannot be read back"
            )
        return found
