"""
What a worker logs, said where the run was started.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from batchfetch.cluster.link import Link

# Sentences that wait to be passed on; a worker that has more to say repeats itself.
_MOST = 100

Said = tuple[int, str]
"""The level and the words of a log record."""


class _Forwarder(logging.Handler):
    def __init__(self, said: asyncio.Queue[Said]) -> None:
        super().__init__(logging.WARNING)
        self._said = said
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(RuntimeError):  # The loop has ended.
            self._loop.call_soon_threadsafe(self._put, (record.levelno, record.getMessage()))

    def _put(self, said: Said) -> None:
        with suppress(asyncio.QueueFull):
            self._said.put_nowait(said)


@asynccontextmanager
async def forwarded(link: Link) -> AsyncIterator[None]:
    """
    Pass on, by *link*, what this process warns of during the block, and write it nowhere else.

    The sentences are free of secrets when they are logged.
    """
    said: asyncio.Queue[Said] = asyncio.Queue(_MOST)
    log = logging.getLogger("batchfetch")
    handler, propagated = _Forwarder(said), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, link, said)
            yield
            tasks.cancel_scope.cancel()
    finally:
        log.removeHandler(handler)
        log.propagate = propagated


async def _pass_on(link: Link, said: asyncio.Queue[Said]) -> None:
    while True:
        level, text = await said.get()
        await link.ask("say", level=level, text=text)
