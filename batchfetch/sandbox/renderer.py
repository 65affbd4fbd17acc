"""
Renderer that draws pages in worker threads and caches the latest.
"""

import functools

import anyio
import anyio.to_thread

from batchfetch.sandbox.pages import draw_page, page_size

_PAGES_KEPT = 16
_THREADS = 2


class PageRenderer:
    """
    Draws pages and caches the latest few, because interrupted clients repeat their requests.
    """

    def __init__(self, *, seed: int, largest: int) -> None:
        self._seed = seed
        self._largest = largest
        self._draw = functools.lru_cache(maxsize=_PAGES_KEPT)(draw_page)
        # Drawing is CPU-bound: more threads would only slow the client down.
        self.limiter = anyio.CapacityLimiter(_THREADS)

    async def page(self, task_id: str, size: int | None) -> bytes:
        """
        Return the PNG of *task_id*, of about *size* bytes or, if that is None, as its id gives it.
        """
        size = page_size(task_id, self._largest) if size is None else size
        return await anyio.to_thread.run_sync(
            self._draw, task_id.lower(), size, self._seed, limiter=self.limiter
        )
