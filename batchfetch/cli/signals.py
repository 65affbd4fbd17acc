"""
SIGINT and SIGTERM: the first one asks the run to end, the second one ends it.
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
    What can be asked to end early.
    """

    def stop(self, by: str) -> None: ...


async def stop_on_signal(running: Stoppable, inline: Callable[[], None]) -> None:
    """
    Stop *running* at the first signal; at the second call *inline* and leave the process.

    Leaving without any clean-up is safe: images and report lines are written whole or not at all.
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
                "%s: nothing new is asked, what is under way gets a moment; "
                "a second signal stops at once",
                signal.Signals(signum).name,
            )
