"""
How the service is reached: connections, certificates, proxies.
"""

import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from batchfetch.errors import SettingsError
from batchfetch.service.transport import AiohttpTransport
from batchfetch.settings import Settings, is_loopback
from batchfetch.version import __version__

# What aiohttp reads ahead per connection; larger buffers were slower and cost memory.
_READ_BUFFER = 64 * 1024


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[AiohttpTransport]:
    """
    Open a session for *settings* and close it.

    Raises `SettingsError` if the root certificates cannot be used.
    """
    connector = aiohttp.TCPConnector(
        limit=settings.concurrency + 1,  # One more for the token.
        ssl=_trust(settings),
        resolver=aiohttp.ThreadedResolver(),
        ttl_dns_cache=300,
        keepalive_timeout=60,  # A waiting task is asked again before that.
    )
    proxy, proxy_headers = _proxy(settings.base_url)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": f"batchfetch/{__version__}",
            "Accept": "application/json, image/png",
            "Accept-Encoding": "gzip" if settings.compressed else "identity",
        },
        middlewares=(_no_silent_retry,),
        proxy=proxy,
        read_bufsize=_READ_BUFFER,
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
        ),
    ) as session:
        yield AiohttpTransport(session, settings, proxy_headers)


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


def _proxy(root: str) -> tuple[URL | None, dict[str, str]]:
    """
    Return the proxy that the environment names for *root*, as other tools read it, and the headers
    that let us in.  A password is kept out of the URL because aiohttp's errors show that.

    aiohttp's own `trust_env` also reads ~/.netrc, on every request, and then refuses the bearer
    token beside what it found there.

    Raises `SettingsError` if it is no proxy that can be used.
    """
    parts = urlsplit(root)
    address = urllib.request.getproxies().get(parts.scheme)
    if address is None or is_loopback(parts.hostname or ""):
        return None, {}
    if urllib.request.proxy_bypass(parts.netloc):
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
    login = aiohttp.encode_basic_auth(url.user, url.password or "")
    return url.with_user(None), {"Proxy-Authorization": login}


async def _no_silent_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """
    Keep aiohttp from asking a second time by itself when a kept connection turns out dead.

    It does so for these two errors, which would be a call that nobody counted; under another name
    they reach the poller, which counts and asks again.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise aiohttp.ClientConnectionError(str(exc)) from None
