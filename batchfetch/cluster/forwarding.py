"""
What a worker logs, and when it waits, said where the run was started.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from batchfetch.cluster.link import Link
from batchfetch.cluster.messages import Message
from batchfetch.hooks import Event, Held, Hook, Paused, Resumed

# Sentences that wait to be passed on; a worker that has more to say repeats itself.
_MOST = 100


class _Forwarder(logging.Handler):
    def __init__(self, said: asyncio.Queue[Message]) -> None:
        super().__init__(logging.WARNING)
        self._said = said
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(RuntimeError):  # The loop has ended.
            said = {"what": "say", "level": record.levelno, "text": record.getMessage()}
            self._loop.call_soon_threadsafe(_put, self._said, said)


def _put(said: asyncio.Queue[Message], message: Message) -> None:
    with suppress(asyncio.QueueFull):
        said.put_nowait(message)


def _told(event: Event) -> Message | None:
    """
    Return what to say of *event*, if anything.
    """
    match event:
        case Paused(seconds, reason):
            return {"what": "paused", "seconds": seconds, "reason": reason}
        case Held(seconds, reason):
            return {"what": "held", "seconds": seconds, "reason": reason}
        case Resumed():
            return {"what": "resumed"}
        case _:
            return None


@asynccontextmanager
async def forwarded(link: Link) -> AsyncIterator[Hook]:
    """
    Pass on, by *link*, what this process warns of during the block, and write it nowhere else.

    Yields a hook that passes on pauses and holds.  The sentences are free of secrets when they are
    logged.
    """
    said: asyncio.Queue[Message] = asyncio.Queue(_MOST)

    def tell(event: Event) -> None:
        if (message := _told(event)) is not None:
            _put(said, message)

    log = logging.getLogger("batchfetch")
    handler, propagated = _Forwarder(said), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, link, said)
            yield tell
            tasks.cancel_scope.cancel()
    finally:
        log.removeHandler(handler)
        log.propagate = propagated


async def _pass_on(link: Link, said: asyncio.Queue[Message]) -> None:
    while True:
        await link.ask(**await said.get())
