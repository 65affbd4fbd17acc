"""
Where pages are drawn: in threads, so that the event loop never waits for one.
"""

import functools

import anyio
import anyio.to_thread

from batchfetch.sandbox.pages import draw_page, page_size

_PAGES_KEPT = 16
_THREADS = 2


class Studio:
    """
    Draws pages and keeps the latest few, because a client that was interrupted asks again.
    """

    def __init__(self, *, seed: int, largest: int) -> None:
        self._seed = seed
        self._largest = largest
        self._draw = functools.lru_cache(maxsize=_PAGES_KEPT)(draw_page)
        # Drawing is the processor's work: more threads than this only get in the client's way.
        self.limiter = anyio.CapacityLimiter(_THREADS)

    async def page(self, task_id: str, size: int | None) -> bytes:
        """
        Return the PNG of *task_id*, of about *size* bytes or as large as its id says.
        """
        size = page_size(task_id, self._largest) if size is None else size
        return await anyio.to_thread.run_sync(
            self._draw, task_id.lower(), size, self._seed, limiter=self.limiter
        )
