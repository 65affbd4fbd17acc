"""
Server of the stand-in, and its public interface.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from batchfetch.errors import SettingsError
from batchfetch.sandbox.api import Api, Exchange
from batchfetch.sandbox.settings import InjectedFault, SandboxSettings

# Enough for the largest image in base64 and the JSON or multipart data around it.
_MAX_BODY = 192 * 2**20
_SHUTDOWN_GRACE = 0.2

log = logging.getLogger(__name__)


def _without_request(record: logging.LogRecord) -> bool:
    """
    Reduce what aiohttp says of a request that is no HTTP to a sentence: it quotes what came in,
    which may be a secret.
    """
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None and trace.tb_frame.f_globals.get("__package__") != __package__:
        trace = trace.tb_next
    if record.exc_info and trace is None:  # It never came to a handler of ours.
        record.msg, record.args = "a request was refused, because it is not valid HTTP", ()
        record.exc_info = None
    return True


log.addFilter(_without_request)


class Sandbox:
    """
    A running stand-in, with counts of the requests that its clients made.
    """

    def __init__(self, url: str, api: Api) -> None:
        self.url = url
        """The root URL, without a trailing slash."""

        self._api = api

    @property
    def calls(self) -> int:
        """
        API calls so far, including failed ones but not token requests.
        """
        return self._api.tally.calls

    @property
    def token_requests(self) -> int:
        """
        Requests for a token so far.
        """
        return self._api.tally.token_requests

    @property
    def submissions(self) -> int:
        """
        Images accepted so far, including those whose answer was lost.
        """
        return self._api.tally.submissions

    @property
    def images(self) -> int:
        """
        Images accepted so far, each counted once for each filter.
        """
        return len(self._api.tally.images)

    @property
    def calls_by_task(self) -> Mapping[str, int]:
        """
        API calls so far by task id, in lower case.
        """
        return self._api.tally.calls_by_task

    @property
    def faults(self) -> Mapping[InjectedFault, int]:
        """
        Injected faults so far, by kind.
        """
        return self._api.tally.faults

    def submit_all(self, task_ids: Iterable[str]) -> None:
        """
        Add tasks to the queue in this order, instead of the order of their first requests.
        """
        for task_id in task_ids:
            self._api.tasks.find(task_id)

    def revoke_tokens(self) -> None:
        """
        Refuse every token issued so far, as if all had expired.
        """
        self._api.tokens.revoke_all()


@asynccontextmanager
async def open_sandbox(
    settings: SandboxSettings | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[Exchange], None] | None = None,
) -> AsyncIterator[Sandbox]:
    """
    Run a stand-in for the service in the current event loop until the block is left.

    *clock* returns seconds, never goes back, and determines processing, expiry and token life.
    *tell* is told of each request, just before its response is sent.

    Raises `SettingsError` if the address cannot be listened on.
    """
    settings = settings or SandboxSettings()
    api = Api(settings, clock, tell)
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None, logger=log, shutdown_timeout=_SHUTDOWN_GRACE)
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
        address = f"{settings.host}:{settings.port}"
        raise SettingsError(
            f"the sandbox cannot listen on {address}: {exc.strerror}; choose another --port"
        ) from exc


def _root_url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
