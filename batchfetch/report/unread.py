"""
Queue of the outcomes that are in the report and that the caller has not taken yet.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from batchfetch.models import Outcome

_IN_MEMORY = 256

# Outcomes taken at once.
_TAKEN = 256


class Unread:
    """
    A queue that never waits for its reader, in bounded memory.

    The first 256 outcomes are kept as they are, of every further one only the byte at which its
    line begins in the report: some forty bytes each.  *read* reads those back.  An outcome that
    cannot be read back, because the report is a pipe, is kept whatever the length of the queue.
    """

    def __init__(self, read: Callable[[Sequence[int]], Awaitable[list[Outcome]]] | None) -> None:
        self._read = read
        self._outcomes: deque[Outcome | int] = deque()
        # anyio's memory object streams would do for this and for what waits to be written:
        # 17.5 us an outcome of 5 KB images' 190, these take 6.2 (20 000 outcomes, one after the
        # other, no disk).
        self._news = asyncio.Event()
        self._ended = False

    def put(self, outcome: Outcome, start: int | None) -> None:
        """
        Append *outcome*, whose line begins at *start*; None if it cannot be read back.
        """
        is_kept = start is None or self._read is None or len(self._outcomes) < _IN_MEMORY
        self._outcomes.append(outcome if start is None or is_kept else start)
        self._news.set()

    def end(self) -> None:
        """
        Declare that no outcome will follow.
        """
        self._ended = True
        self._news.set()

    def clear(self) -> None:
        """
        Drop all outcomes.
        """
        self._outcomes.clear()

    async def take(self) -> list[Outcome]:
        """
        Remove and return the next outcomes, once there are any; nothing at the end.

        Raises `ReportError` if they cannot be read back from the report.
        """
        while not self._outcomes and not self._ended:
            self._news.clear()
            await self._news.wait()
        count = min(len(self._outcomes), _TAKEN)
        taken = [self._outcomes.popleft() for _ in range(count)]
        try:
            return await self._read_back(taken)
        except BaseException:
            # A reader that was cancelled may come again.
            self._outcomes.extendleft(reversed(taken))
            raise

    async def _read_back(self, taken: Sequence[Outcome | int]) -> list[Outcome]:
        starts = [each for each in taken if isinstance(each, int)]
        found = iter(await self._read(starts) if starts and self._read is not None else ())
        return [next(found) if isinstance(each, int) else each for each in taken]
