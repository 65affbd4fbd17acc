"""
A task id out, bytes back: the only room that knows aiohttp's client.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from batchfetch.endpoints import TOKEN_PATH
from batchfetch.errors import TransportError
from batchfetch.service.bodies import Span
from batchfetch.service.channel import Channel
from batchfetch.service.faults import FOREIGN, refusal, translated
from batchfetch.service.pool import Pool
from batchfetch.settings import Settings

# Ids that need no encoding, as nearly all: RFC 3986, section 2.3.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+").fullmatch

# How much of an error page is worth reading for its words, and how much of a token answer.
_ERROR_PAGE = 4096
_TOKEN_ANSWER = 64 * 1024


class Body(Protocol):
    """
    The bytes of one answer, as they arrive.
    """

    @property
    def is_long(self) -> bool:
        """
        Whether it is long enough to hold an image, as far as that is known.
        """
        ...

    @property
    def announced(self) -> int:
        """
        How many bytes of it are still to be read; 0 if the service did not say.
        """
        ...

    @property
    def at_end(self) -> bool:
        """
        Whether all of it was read.
        """
        ...

    async def read(self) -> Span:
        """
        Return where the next bytes are; at the end there are none.

        They are good until the next call, or until the answer is let go.  Raises `TransportError`.
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

    Results are asked for on channels of the *pool*, where a question costs a tenth of what it costs
    in a *session*: nothing in it but the id ever changes.  The session asks for tokens.
    """

    def __init__(
        self,
        pool: Pool,
        session: aiohttp.ClientSession,
        root: URL,
        headers: Mapping[str, str],
        settings: Settings,
        proxy_headers: Mapping[str, str],
    ) -> None:
        self._pool = pool
        self._session = session
        self._root = root
        self._path = quote(root.raw_path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        lines = {"Host": root.host_port_subcomponent or "", **headers}
        self._lines = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        self._proxy_headers = proxy_headers
        self._answer_timeout = settings.connect_timeout + settings.read_timeout
        # The token changes every hour, the path hardly ever.
        self._around = lru_cache(maxsize=64)(self._around_id)

    def get_result(self, path: str, task_id: str, token: str) -> "_Question":
        """
        See `Transport.get_result`.
        """
        before, after = self._around(path, token)
        # Encoded here, once, and by our own rule: whatever an id holds, it stays one value.
        value = task_id if _PLAIN(task_id) else quote(task_id, safe="")
        return _Question(self._pool, before + value.encode() + after, token)

    def _around_id(self, path: str, token: str) -> tuple[bytes, bytes]:
        after = f" HTTP/1.1\r\n{self._lines}Authorization: Bearer {token}\r\n\r\n"
        return f"GET {self._path}{path}?id=".encode(), after.encode()

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
        url = self._root.with_path(self._path + TOKEN_PATH, encoded=True)
        try:
            # The socket's own time-outs see silence; only this one sees an answer that drips.
            async with (
                asyncio.timeout(self._answer_timeout),
                self._session.post(
                    url, data=form, allow_redirects=False, proxy_headers=self._proxy_headers
                ) as response,
            ):
                if response.status == 200:
                    return await _beginning(response.content, _TOKEN_ANSWER)
                page = b""
                with suppress(*FOREIGN):  # A page that breaks off does not undo the status.
                    page = await _beginning(response.content, _ERROR_PAGE)
                raise refusal(response.status, response.reason, response.headers, page, secrets)
        except FOREIGN as exc:
            raise translated(exc, secrets) from None


class _Question:
    """
    A GET that is sent when its block is entered.

    A class, because a generator that makes such a context costs several times as much.
    """

    __slots__ = ("_channel", "_pool", "_text", "_token")

    def __init__(self, pool: Pool, text: bytes, token: str) -> None:
        self._pool = pool
        self._text = text
        self._token = token
        self._channel: Channel | None = None

    async def __aenter__(self) -> Body:
        secrets = (self._token,)
        try:
            channel = self._channel = await self._pool.take()
        except FOREIGN as exc:
            raise translated(exc, secrets) from None
        try:
            head = await channel.ask(self._text)
            if head.code == 200:
                return channel
            page = b""
            with suppress(TransportError):  # A page that breaks off does not undo the status.
                memory, start, end = await channel.read()
                page = bytes(memory[start : min(end, start + _ERROR_PAGE)])
        except BaseException:
            self._pool.give_back(channel)
            raise
        self._pool.give_back(channel)
        raise refusal(head.code, head.reason, head.headers, page, secrets)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: object
    ) -> None:
        if self._channel is not None:
            # Closes the connection unless the answer was read to its end.
            self._pool.give_back(self._channel)


async def _beginning(content: aiohttp.StreamReader, most: int) -> bytes:
    read = bytearray()
    while len(read) < most and (chunk := await content.readany()):
        read += chunk
    return bytes(read[:most])
