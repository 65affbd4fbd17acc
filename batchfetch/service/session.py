"""
The service over HTTP/1.1, on aiohttp's client session and by its documented parts only.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Protocol, Self, TypeVar
from urllib.parse import quote

import aiohttp
from anyio import CancelScope
from yarl import URL

from batchfetch.endpoints import TOKEN_PATH
from batchfetch.errors import JobError, StaleConnectionError, StalledError, WrongTaskError
from batchfetch.service.faults import FOREIGN, DroppedError, refusal, translated
from batchfetch.service.stall import StallDetector, StallWatch
from batchfetch.statuses import StatusMeaning, meaning_of
from batchfetch.tuning import ALL_LAST_BODIES, LAST_BODY, SHORT_BODY

T = TypeVar("T")

# Ids that need no encoding, as nearly all: RFC 3986, section 2.3.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+").fullmatch

# How much of an error page is worth reading for its words, and how much of a token answer.
_ERROR_PAGE = 4096
_TOKEN_ANSWER = 64 * 1024

# Generations of kept connections in a row of which one was closed instead of answering, after
# which connections are kept no longer.
_MOST_STALE = 2


class SessionOpener(Protocol):
    """
    Opens a session that *keeps* its connections between requests, or closes each.
    """

    def __call__(self, *, keeps: bool) -> aiohttp.ClientSession: ...


class Generation:
    """
    A client session, and how many exchanges are open on it.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.open = 0


class SessionTransport:
    """
    Asks over one client session, whose connections are kept between questions.

    When a kept connection turns out to be closed, or an answer to be about another task, all
    connections of that generation are suspect: a new session takes over, and the old one is closed
    behind its last exchange.  *open_session* makes a session, *keeps* says whether it keeps its
    connections.
    """

    def __init__(
        self,
        open_session: SessionOpener,
        root: URL,
        *,
        proxy_headers: Mapping[str, str],
        silence: float,
        deadline: float,
    ) -> None:
        self._open_session = open_session
        self._current = Generation(open_session(keeps=True))
        self._retired: set[Generation] = set()
        self._stale = 0
        self.ahead = 0
        """Bytes that may be received ahead of bodies that end with their connection."""

        self._root = root
        self._path = quote(root.raw_path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self.proxy_headers = proxy_headers
        self._deadline = deadline
        # Less than the watch allows: the status is known, and its page only adds words.
        self.page_timeout = silence / 2
        self.watch = StallWatch(silence=silence, deadline=deadline)
        # The token changes every hour, the path hardly ever.
        self._url_of = lru_cache(maxsize=64)(self._url_before_id)
        self._headers_of = lru_cache(maxsize=4)(_authorization)

    async def close(self) -> None:
        """
        Close all connections.
        """
        self.watch.close()
        with CancelScope(shield=True):
            for generation in (*self._retired, self._current):
                await generation.session.close()

    def get_result(
        self, path: str, task_id: str, token: str, *, on_sent: Callable[[], None]
    ) -> "Exchange":
        """
        See `Transport.get_result`.
        """
        # Encoded here, once: any id stays one value of the query.
        value = task_id if _PLAIN(task_id) else quote(task_id, safe="")
        url = URL(self._url_of(path) + value, encoded=True)
        return Exchange(self, url, self._headers_of(token), token, on_sent)

    def enter(self) -> Generation:
        """
        Return the session to ask on.  See `leave`.
        """
        self._current.open += 1
        return self._current

    async def leave(self, generation: Generation) -> None:
        """
        Note that an exchange on *generation* is over.
        """
        generation.open -= 1
        if not generation.open and generation in self._retired:
            self._retired.discard(generation)
            with CancelScope(shield=True):
                await generation.session.close()

    def answered(self, generation: Generation) -> None:
        """
        Note that a kept connection of *generation* answered.
        """
        if generation is self._current:
            self._stale = 0

    def distrust(self, generation: Generation, *, stale: bool) -> None:
        """
        Use no connection of *generation* again: one was *stale*, or gave another task's answer.
        """
        if generation is not self._current:
            return  # Others of its age met the same.
        self._stale += stale
        self._retired.add(generation)
        self._current = Generation(self._open_session(keeps=self._stale < _MOST_STALE))

    def grant_ahead(self, nbytes: int) -> int:
        """
        Return *nbytes* if so much more may be received ahead, else 0; give it back by `ahead`.
        """
        granted = nbytes if self.ahead + nbytes <= ALL_LAST_BODIES else 0
        self.ahead += granted
        return granted

    def _url_before_id(self, path: str) -> str:
        return f"{self._root.origin()}{self._path}{path}?id="

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
        generation = self.enter()
        try:
            async with (
                asyncio.timeout(self._deadline),
                generation.session.post(
                    url, data=form, allow_redirects=False, proxy_headers=self.proxy_headers
                ) as response,
            ):
                if meaning_of(response.status) is StatusMeaning.RESULT:
                    return await _beginning(response.content, _TOKEN_ANSWER)
                page = await _page(response.content, self.page_timeout)
                raise refusal(response.status, response.reason, response.headers, page, secrets)
        except FOREIGN as exc:
            raise translated(exc, secrets) from None
        finally:
            await self.leave(generation)


class Exchange:
    """
    A GET that is sent when its block is entered, and then the body of its answer.

    A class, because a generator that makes such a context costs several times as much.
    """

    __slots__ = (
        "_ahead",
        "_content",
        "_expiry",
        "_generation",
        "_headers",
        "_on_sent",
        "_response",
        "_stalled",
        "_token",
        "_transport",
        "_url",
        "_watch",
        "at_end",
        "detector",
        "is_reused",
        "length",
    )

    def __init__(
        self,
        transport: SessionTransport,
        url: URL,
        headers: dict[str, str],
        token: str,
        on_sent: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._watch = transport.watch
        self._url = url
        self._headers = headers
        self._token = token
        self._on_sent = on_sent
        self._response: aiohttp.ClientResponse | None = None
        self._stalled: str | None = None
        self.detector = StallDetector(self._watch.now)
        self.is_reused = False
        """Whether the connection has answered before."""

        self._ahead = 0
        self.length: int | None = None
        self.at_end = False

    async def __aenter__(self) -> Self:
        self._generation = self._transport.enter()
        try:
            await self._wait(self._ask())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is WrongTaskError:
            # The connection may be out of step by an answer.
            self._transport.distrust(self._generation, stale=False)
        await self._close()

    async def _close(self) -> None:
        if self._response is not None and not self.at_end:
            self._response.close()
        self._transport.ahead -= self._ahead
        await self._transport.leave(self._generation)

    async def read(self) -> bytes:
        """
        See `Body.read`.
        """
        return await self._wait(self._read())

    def sent(self) -> None:
        """
        Note that the request has been sent.
        """
        self._on_sent()

    def give_up(self, words: str) -> None:
        """
        End the wait for the answer, or for more of it; *words* say why.
        """
        self._stalled = words
        self._expiry.reschedule(asyncio.get_running_loop().time())

    async def _wait(self, work: Awaitable[T]) -> T:
        watch, detector = self._watch, self.detector
        detector.begin(watch.now)
        watch.waiting.add(self)
        try:
            async with asyncio.timeout(None) as self._expiry:
                return await work
        except FOREIGN as exc:
            raise self._failure(exc) from None
        finally:
            watch.waiting.discard(self)
            detector.end(watch.now)

    async def _ask(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        response = self._response = await self._generation.session.get(
            self._url,
            headers=self._headers,
            allow_redirects=False,
            proxy_headers=self._transport.proxy_headers,
            trace_request_ctx=self,
        )
        self.detector.begin_body(self._watch.now)
        if self.is_reused:
            self._transport.answered(self._generation)
        if meaning_of(response.status) is not StatusMeaning.RESULT:
            page = await _page(response.content, self._transport.page_timeout)
            self.at_end = response.content.at_eof()
            secrets = (self._token,)
            raise refusal(response.status, response.reason, response.headers, page, secrets)
        self._content = response.content
        if "Content-Encoding" not in response.headers:
            self.length = response.content_length
        if self._url.scheme == "https" and _closes(response):
            # uvloop loses what TLS still holds when reading is paused and the connection closed.
            self._ahead = self._transport.grant_ahead(min(self.length or 0, LAST_BODY))

    async def _read(self) -> bytes:
        is_short = self.length is not None and self.length <= SHORT_BODY
        pieces = [await self._receive()]
        while is_short and not self.at_end:
            pieces.append(await self._receive())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _receive(self) -> bytes:
        content = self._content
        try:
            # To read up to so many bytes also lets so many be received ahead.
            piece = await (content.read(self._ahead) if self._ahead else content.readany())
        except RuntimeError as exc:
            # aiohttp's way to say that the connection closed behind an unsolicited answer.
            raise aiohttp.ClientConnectionError(str(exc)) from exc
        self.detector.received(self._watch.now, len(piece))
        self.at_end = content.at_eof()
        return piece

    def _failure(self, exc: aiohttp.ClientError | TimeoutError | OSError) -> JobError:
        if self._stalled is not None:
            return StalledError(self._stalled)
        error = translated(exc, (self._token,))
        if isinstance(exc, DroppedError) and self.is_reused:
            self._transport.distrust(self._generation, stale=True)
            return StaleConnectionError(str(error))
        return error


def _closes(response: aiohttp.ClientResponse) -> bool:
    """
    Whether the service closes the connection behind *response*.  Source: RFC 9112, section 9.3.
    """
    says = response.headers.get("Connection", "").lower()
    version = response.version
    return says == "close" or (version is not None and version < (1, 1) and says != "keep-alive")


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _page(content: aiohttp.StreamReader, within: float) -> bytes:
    """
    Return the beginning of an error page; one that breaks off does not undo the status.
    """
    page = b""
    with suppress(*FOREIGN):
        async with asyncio.timeout(within):
            page = await _beginning(content, _ERROR_PAGE)
    return page


async def _beginning(content: aiohttp.StreamReader, most: int) -> bytes:
    read = bytearray()
    while len(read) < most and (chunk := await content.readany()):
        read += chunk
    return bytes(read[:most])
