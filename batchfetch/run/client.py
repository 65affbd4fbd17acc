"""
What it takes to ask the service, whatever is asked: connections, tokens, and how fast.
"""

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from batchfetch.redaction import Redactor
from batchfetch.scheduling import LocalPace, Pace, RetryPolicy
from batchfetch.service import (
    Credentials,
    TokenEndpoint,
    TokenSource,
    Transport,
    find_credentials,
    open_transport,
)
from batchfetch.settings import Settings

log = logging.getLogger(__name__)

# Files that a question in flight has open: its connection, its image, and the folder of that.
_FILES_EACH = 3

# What else is open: streams, report, lock, output, the event loop's own.
_OWN_FILES = 24


@dataclass(frozen=True, slots=True)
class Client:
    """
    What it takes to ask the service: connections, tokens, and how fast.
    """

    transport: Transport
    tokens: TokenSource
    pace: Pace
    retries: RetryPolicy


@asynccontextmanager
async def open_client(
    settings: Settings,
    *,
    credentials: Credentials | None = None,
    transport: Transport | None = None,
    pace: Pace | None = None,
    retries: RetryPolicy | None = None,
) -> AsyncIterator[Client]:
    """
    Get ready to ask the service of *settings*.  Nothing is asked yet.

    Without *credentials* those of the environment are used (see `find_credentials`).  A *transport*
    that is handed in is asked for results; tokens are asked for over HTTP all the same, unless it
    can do that, too (`TokenEndpoint`).

    Raises `SettingsError`.
    """
    credentials = credentials or find_credentials(os.environ)
    retries = retries or RetryPolicy(attempts=settings.attempts)
    pace = pace or LocalPace(
        slots=affordable_slots(settings.concurrency),
        rate=settings.rate_share,
        max_calls=settings.max_calls_share,
    )
    redactor = Redactor()
    async with AsyncExitStack() as stack:
        endpoint: TokenEndpoint
        if transport is None or not isinstance(transport, TokenEndpoint):
            http = await stack.enter_async_context(open_transport(settings, redactor))
            transport, endpoint = transport or http, http
        else:
            endpoint = transport
        clock = asyncio.get_running_loop().time
        tokens = TokenSource(credentials, endpoint, redactor=redactor, clock=clock)
        yield Client(transport, tokens, pace, retries)


def affordable_slots(concurrency: int) -> int:
    """
    Return how many of *concurrency* questions the files that we may open allow to be in flight.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    affordable = max(1, (files - _OWN_FILES) // _FILES_EACH)
    if files == resource.RLIM_INFINITY or affordable >= concurrency:
        return concurrency
    log.warning(
        "%d requests in flight instead of %d: no more than %d files may be open; raise that with"
        " ulimit -n, or lower --concurrency",
        *(affordable, concurrency, files),
    )
    return affordable
