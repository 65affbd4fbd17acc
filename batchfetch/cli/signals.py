"""
SIGINT and SIGTERM: the first one stops the run cleanly, the second one at once.
"""

import logging
import os
import signal
from collections.abc import Callable
from typing import Protocol

import anyio

log = logging.getLogger(__name__)


class Stoppable(Protocol):
    """
    A run that can be stopped early.
    """

    def stop(self, by: str) -> None: ...


async def stop_on_signal(running: Stoppable, inline: Callable[[], None]) -> None:
    """
    Stop *running* at the first signal; at the second call *inline* and exit the process.

    Exiting without clean-up is safe: images and report lines are written whole or not at all.
    """
    stopping = False
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for signum in signals:
            if stopping:
                inline()
                os._exit(128 + signum)
            stopping = True
            running.stop(signal.Signals(signum).name)
            log.warning(
                "%s: no new requests are made, and those in flight get a moment to finish; "
                "a second signal stops at once",
                signal.Signals(signum).name,
            )
