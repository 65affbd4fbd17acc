"""
A task id out, bytes back: the only place that knows aiohttp's client.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, suppress
from time import monotonic
from typing import Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from batchfetch.endpoints import TOKEN_PATH
from batchfetch.errors import (
    JobError,
    RedirectedError,
    StalledError,
    StatusError,
    TransportError,
)
from batchfetch.service.faults import FOREIGN, seconds_to_wait, translated, words_of
from batchfetch.settings import Settings
from batchfetch.text import plain_text, without

log = logging.getLogger(__name__)

# Bytes a second below which a response is a drip that nobody should wait for.  The slowest modem
# was faster; a server that only keeps the connection alive is not.
_SLOWEST = 256

# How much of an error page is worth reading for its words, and how much of a token answer.
_ERROR_PAGE = 4096
_TOKEN_ANSWER = 64 * 1024


class Body(Protocol):
    """
    The bytes of one answer, as they arrive.
    """

    async def read(self) -> bytes:
        """
        Return the next bytes, or `b""` at the end.  Raises `TransportError`.
        """
        ...


class Transport(Protocol):
    """
    One question to the service, one streamed answer.
    """

    def get_result(self, path: str, task_id: str, token: str) -> AbstractAsyncContextManager[Body]:
        """
        Ask *path* about *task_id*.

        Raises `TransportError`, among them `StatusError` for any status but 200.  Leaving the
        block early drops the connection; nothing more is read.
        """
        ...


class AiohttpTransport:
    """
    Asks over HTTP/1.1, keeping connections open between questions.
    """

    def __init__(
        self, session: aiohttp.ClientSession, settings: Settings, proxy_headers: dict[str, str]
    ) -> None:
        self._session = session
        self._proxy_headers = proxy_headers
        self._root = URL(settings.base_url, encoded=True)
        self.read_timeout = settings.read_timeout
        self._answer_timeout = settings.connect_timeout + settings.read_timeout

    def get_result(self, path: str, task_id: str, token: str) -> "_Question":
        """
        See `Transport.get_result`.
        """
        # Encoded here, once, and by our own rule: whatever an id holds, it stays one value.
        query = f"id={quote(task_id, safe='')}"
        return _Question(self, self._url(path, query), token)

    async def request_token(self, client_id: str, client_secret: str) -> bytes:
        """
        Ask for a token and return the answer's body.  Raises `TransportError`.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        secrets = (client_id, client_secret)
        response = await self.exchange("POST", self._url(TOKEN_PATH), secrets, data=form)
        try:
            if response.status != 200:
                raise await self.refusal(response, secrets)
            return await self._beginning(response, _TOKEN_ANSWER, secrets)
        finally:
            response.release()

    def _url(self, path: str, query: str = "") -> URL:
        # Put together from parts: to take it apart again would cost twice as much.
        root = self._root
        return URL.build(
            scheme=root.scheme,
            authority=root.raw_authority,
            path=root.raw_path.rstrip("/") + path,
            query_string=query,
            encoded=True,
        )

    async def exchange(
        self,
        method: str,
        url: URL,
        secrets: tuple[str, ...],
        *,
        headers: dict[str, str] | None = None,
        data: dict[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        """
        Send a request and return the answer, its body not read.  Raises `TransportError`.
        """
        try:
            # The socket's own time-outs see silence; only this one sees headers that drip.  It is
            # asyncio's because a cancel scope would cost ten times as much, on every request.
            async with asyncio.timeout(self._answer_timeout):
                return await self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    allow_redirects=False,
                    proxy_headers=self._proxy_headers,
                )
        except FOREIGN as exc:
            raise translated(exc, secrets) from None

    async def refusal(self, response: aiohttp.ClientResponse, secrets: tuple[str, ...]) -> JobError:
        """
        Say what a *response* without a result means, in words that repeat no secret sent.
        """
        status = response.status
        if status in {301, 302, 303, 307, 308}:
            # Its query may repeat ours, or worse.
            target = response.headers.get("Location", "nowhere").partition("?")[0]
            target = plain_text(without(target, *secrets), 200)
            return RedirectedError(f"the service redirects to {target}; redirects are not followed")
        words = ""
        with suppress(TransportError):  # A page that breaks off does not undo the status.
            words = words_of(await self._beginning(response, _ERROR_PAGE, secrets))
        words = plain_text(without(words, *secrets), 200)
        phrase = plain_text(without(response.reason or "", *secrets), 100)
        detail = f"the service answered {status} {phrase}".rstrip()
        if words:
            detail += f": {words}"
        if status == 404:
            detail += "; the endpoint may have been retired, --endpoint names its replacement"
        return StatusError(status, detail, seconds_to_wait(response.headers.get("Retry-After")))

    async def _beginning(
        self, response: aiohttp.ClientResponse, most: int, secrets: tuple[str, ...]
    ) -> bytes:
        body, read = _ResponseBody(response, self.read_timeout, secrets), bytearray()
        while len(read) < most and (chunk := await body.read()):
            read += chunk
        return bytes(read[:most])


class _Question:
    """
    A GET that is sent when its block is entered.

    A class, because a generator that makes such a context costs several times as much.
    """

    def __init__(self, transport: AiohttpTransport, url: URL, token: str) -> None:
        self._transport = transport
        self._url = url
        self._token = token
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Body:
        transport, secrets = self._transport, (self._token,)
        headers = {"Authorization": f"Bearer {self._token}"}
        response = self._response = await transport.exchange(
            "GET", self._url, secrets, headers=headers
        )
        if response.status != 200:
            try:
                raise await transport.refusal(response, secrets)
            finally:
                response.release()
        return _ResponseBody(response, transport.read_timeout, secrets)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: object
    ) -> None:
        if self._response is not None:
            # Closes the connection unless the answer was read to its end.
            self._response.release()


class _ResponseBody:
    """
    A response's bytes, as long as they keep coming.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, patience: float, secrets: tuple[str, ...]
    ) -> None:
        self._content = response.content
        self._patience = patience
        self._secrets = secrets
        self._waited = 0.0
        self._received = 0

    async def read(self) -> bytes:
        """
        See `Body.read`.
        """
        asked_at = monotonic()
        try:
            chunk = await self._content.readany()
        except FOREIGN as exc:
            raise translated(exc, self._secrets) from None
        # Only time spent waiting counts: a slow disk of ours is not the service's fault.
        self._waited += monotonic() - asked_at
        self._received += len(chunk)
        if chunk and self._waited > self._patience:
            if self._received < _SLOWEST * self._waited:
                raise StalledError(
                    f"the answer dripped: {self._received} bytes in {self._waited:.0f} s"
                )
            self._waited, self._received = 0.0, 0
        return chunk
