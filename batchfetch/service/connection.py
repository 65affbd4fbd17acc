"""
How the service is reached: connections, certificates, proxies.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from batchfetch.errors import SettingsError
from batchfetch.service.pool import Pool
from batchfetch.service.session import AiohttpTransport
from batchfetch.settings import Settings, is_loopback
from batchfetch.version import __version__


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[AiohttpTransport]:
    """
    Get ready to reach the service of *settings*, and close all connections at the end.

    Raises `SettingsError` if the root certificates cannot be used.
    """
    trust = _trust(settings)
    connector = aiohttp.TCPConnector(
        limit=settings.concurrency + 1,  # One more for the token.
        ssl=trust,
        resolver=aiohttp.ThreadedResolver(),
        ttl_dns_cache=300,
    )
    proxy, proxy_headers = _proxy(settings.base_url)
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
    )
    headers = {
        "User-Agent": f"batchfetch/{__version__}",
        "Accept": "application/json, image/png",
        "Accept-Encoding": "gzip" if settings.compressed else "identity",
    }
    root = URL(settings.base_url, encoded=True)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        middlewares=(_no_silent_retry,),
        proxy=proxy,
        timeout=timeout,
    ) as session:
        pool = Pool(
            connector,
            partial(
                aiohttp.ClientRequest, "GET", root, proxy=proxy, proxy_headers={**proxy_headers}
            ),
            timeout,
            most=settings.concurrency,
            silence=settings.read_timeout,
            deadline=settings.connect_timeout + settings.read_timeout,
        )
        try:
            yield AiohttpTransport(pool, session, root, headers, settings, proxy_headers)
        finally:
            pool.close()


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
