"""
What the commands that run against the service have in common: where it is, and work beside a run.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio

from batchfetch.exception_groups import unwrapped
from batchfetch.service import Credentials, find_credentials
from batchfetch.settings import Settings
from batchfetch.submit_settings import SubmitSettings

S = TypeVar("S", Settings, SubmitSettings)


@asynccontextmanager
async def service(
    settings: S, environment: Mapping[str, str], *, sandbox: bool
) -> AsyncIterator[tuple[S, Credentials]]:
    """
    Provide the service's URL and credentials, or those of a sandbox open during the block.
    """
    if not sandbox:
        yield settings, find_credentials(environment)
        return
    # Importing the server takes a tenth of a second, and only this kind of run needs it.
    from batchfetch.cli.sandbox import open_beside_run  # noqa: PLC0415

    async with open_beside_run() as opened:
        yield (
            settings.model_copy(update={"base_url": opened.url}),
            Credentials.model_validate({"client_id": "anybody", "client_secret": "anything"}),
        )


@asynccontextmanager
async def beside(*work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """
    Run *work* in tasks until the block ends.  The block's exceptions are not grouped.
    """
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            for each in work:
                tasks.start_soon(each)
            yield
            tasks.cancel_scope.cancel()
