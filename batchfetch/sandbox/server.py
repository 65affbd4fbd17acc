"""
The stand-in as a running server.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from batchfetch.errors import SettingsError
from batchfetch.sandbox.api import Api
from batchfetch.sandbox.settings import InjectedFault, SandboxSettings

# Room for the largest image in base64, and its JSON or multipart around it.
_MAX_BODY = 96 * 2**20
_SHUTDOWN_GRACE = 0.2


class Sandbox:
    """
    A stand-in for the service that is listening, and the judge of what its clients spent.
    """

    def __init__(self, url: str, api: Api) -> None:
        self.url = url
        """The root URL, without a slash at its end."""

        self._api = api

    @property
    def calls(self) -> int:
        """
        API calls so far, however they were answered; token requests are not among them.
        """
        return self._api.tally.calls

    @property
    def token_requests(self) -> int:
        """
        Requests for a token so far.
        """
        return self._api.tally.token_requests

    @property
    def calls_by_task(self) -> Mapping[str, int]:
        """
        API calls so far by task id, in lower case.
        """
        return self._api.tally.calls_by_task

    @property
    def faults(self) -> Mapping[InjectedFault, int]:
        """
        Answers that went wrong on purpose so far, by kind.
        """
        return self._api.tally.faults

    def submit_all(self, task_ids: Iterable[str]) -> None:
        """
        Put tasks into the queue in this order, instead of the order they are asked for.
        """
        for task_id in task_ids:
            self._api.tasks.find(task_id)

    def revoke_tokens(self) -> None:
        """
        Refuse every token given so far, as if all had expired.
        """
        self._api.desk.revoke_all()


@asynccontextmanager
async def open_sandbox(
    settings: SandboxSettings | None = None, *, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Sandbox]:
    """
    Serve a stand-in for the service inside this event loop until the block is left.

    *clock* returns seconds and never goes back; processing, expiry and tokens go by it.  Raises
    `SettingsError` if the address cannot be listened on.
    """
    settings = settings or SandboxSettings()
    api = Api(settings, clock)
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_GRACE)
    await runner.setup()
    try:
        await _listen(runner, settings)
        yield Sandbox(_root_url(runner), api)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: SandboxSettings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as exc:
        where = f"{settings.host}:{settings.port}"
        raise SettingsError(f"the sandbox cannot listen on {where}: {exc.strerror}") from exc


def _root_url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
