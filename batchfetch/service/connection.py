"""
Connections to the service: certificates, proxies, time-outs.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from batchfetch.errors import SettingsError
from batchfetch.redaction import Redactor
from batchfetch.service.faults import DroppedError
from batchfetch.service.session import SessionTransport
from batchfetch.setting_values import is_loopback
from batchfetch.settings import Settings
from batchfetch.tuning import READ_AHEAD
from batchfetch.version import __version__

# What a head may hold: longer than any real one, short enough to be kept for every connection.
_MAX_FIELD = 128 * 1024
_MAX_HEADERS = 1000

# Seconds after which an idle connection is closed.  A waiting task is asked again sooner.
_KEPT_FOR = 60.0


@asynccontextmanager
async def open_transport(
    settings: Settings, redactor: Redactor | None = None
) -> AsyncIterator[SessionTransport]:
    """
    Get ready to reach the service of *settings*, and close all connections at the end.

    What is sent in secret is removed from errors, and *redactor* is told of it.

    Raises `SettingsError` if the root certificates or the proxy cannot be used.
    """
    redactor = redactor or Redactor()
    proxy, proxy_headers = _proxy(settings.base_url, redactor)
    transport = SessionTransport(
        partial(_open_session, settings, trust=_trust(settings), proxy=proxy),
        URL(settings.base_url, encoded=True),
        proxy_headers=proxy_headers,
        redactor=redactor,
        silence=settings.read_timeout,
        deadline=settings.connect_timeout + settings.read_timeout,
    )
    try:
        yield transport
    finally:
        await transport.close()


def _open_session(
    settings: Settings, *, trust: ssl.SSLContext | bool, proxy: URL | None, keeps: bool
) -> aiohttp.ClientSession:
    """
    Open a session that *keeps* its connections between requests, or closes each.
    """
    connector = aiohttp.TCPConnector(
        limit=0,  # The pace bounds what is in flight.
        ssl=trust,
        resolver=aiohttp.ThreadedResolver(),
        ttl_dns_cache=300,
        **({"keepalive_timeout": _KEPT_FOR} if keeps else {"force_close": True}),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": f"batchfetch/{__version__}",
            "Accept": "application/json, image/png",
            "Accept-Encoding": "gzip" if settings.compressed else "identity",
        },
        max_field_size=_MAX_FIELD,
        max_headers=_MAX_HEADERS,
        max_line_size=_MAX_FIELD,
        middlewares=(_no_silent_retry,),
        proxy=proxy,
        read_bufsize=READ_AHEAD,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout),
        trace_configs=[_trace()],
    )


def _trace() -> aiohttp.TraceConfig:
    """
    Return what tells an exchange that its request has left, and on what kind of connection.
    """

    async def sent(_session: object, context: SimpleNamespace, _params: object) -> None:
        if context.trace_request_ctx is not None:  # A request for a token has none.
            context.trace_request_ctx.sent()

    async def reused(_session: object, context: SimpleNamespace, _params: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.is_reused = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(sent)
    trace.on_connection_reuseconn.append(reused)
    return trace


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    if settings.ca_file is None or not settings.base_url.startswith("https:"):
        return True  # aiohttp has read the system's roots already.
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise SettingsError(
            f"--ca-file {settings.ca_file} cannot be used: {exc.strerror or exc}; give a file of"
            " certificates in PEM form"
        ) from None


def _proxy(root: str, redactor: Redactor) -> tuple[URL | None, dict[str, str]]:
    """
    Return the proxy that the environment names for *root*, as other tools read it, and the headers
    that let us in.  A password is kept out of the URL because aiohttp's errors show that.

    aiohttp's own `trust_env` also reads ~/.netrc, on every request, and then refuses the bearer
    token beside what it found there.

    Raises `SettingsError` if it is no proxy that can be used.
    """
    parts = urlsplit(root)
    if is_loopback(parts.hostname or ""):
        return None, {}
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - 4 ms, not always needed

    address = getproxies().get(parts.scheme)
    if address is None or proxy_bypass(parts.netloc):
        return None, {}
    try:
        url = URL(address if "://" in address else f"http://{address}")
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        # What it is stays unsaid: it may hold a password.
        raise SettingsError(
            f"{parts.scheme.upper()}_PROXY in the environment names no proxy that can be used;"
            " write http://host:port"
        )
    if url.user is None:
        return url, {}
    redactor.add(url.password or url.user)
    login = aiohttp.encode_basic_auth(url.user, url.password or "")
    return url.with_user(None), {"Proxy-Authorization": login}


async def _no_silent_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """
    Keep aiohttp from asking a second time by itself when a kept connection turns out dead.

    It does so for these two errors, which would be a call that is not counted; under another name
    they reach the poller, which asks again.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise DroppedError(str(exc)) from None
