"""
One question to the service and its answer, over a client session of aiohttp.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Protocol, Self, TypeVar

import aiohttp
from yarl import URL

from batchfetch.errors import JobError, StaleConnectionError, StalledError, WrongTaskError
from batchfetch.redaction import Redactor
from batchfetch.service.faults import FOREIGN, DroppedError, refusal, translated
from batchfetch.service.pages import read_page
from batchfetch.service.stall import StallDetector, StallWatch
from batchfetch.statuses import StatusMeaning, meaning_of
from batchfetch.tuning import LAST_BODY, SHORT_BODY

T = TypeVar("T")


class Generation:
    """
    A client session, and how many exchanges are open on it.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.open = 0


class Owner(Protocol):
    """
    What an exchange needs of the transport that it belongs to.
    """

    watch: StallWatch
    proxy_headers: Mapping[str, str]
    page_timeout: float
    ahead: int
    redactor: Redactor

    def enter(self) -> Generation: ...

    async def leave(self, generation: Generation) -> None: ...

    def answered(self, generation: Generation) -> None: ...

    def distrust(self, generation: Generation, *, stale: bool) -> None: ...

    def grant_ahead(self, nbytes: int) -> int: ...


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
        "_owner",
        "_response",
        "_stalled",
        "_url",
        "_watch",
        "at_end",
        "detector",
        "is_reused",
        "length",
    )

    def __init__(
        self,
        owner: Owner,
        url: URL,
        headers: dict[str, str],
        on_sent: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._watch = owner.watch
        self._url = url
        self._headers = headers
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
        self._generation = self._owner.enter()
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
            self._owner.distrust(self._generation, stale=False)
        await self._close()

    async def _close(self) -> None:
        if self._response is not None and not self.at_end:
            self._response.close()
        self._owner.ahead -= self._ahead
        await self._owner.leave(self._generation)

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
        # Two turns of the loop, in which a FIN right behind the last answer is seen (over TLS, too)
        # before its connection is used again: without them 300 tasks took up to 364 calls.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        response = self._response = await self._generation.session.get(
            self._url,
            headers=self._headers,
            allow_redirects=False,
            proxy_headers=self._owner.proxy_headers,
            trace_request_ctx=self,
        )
        self.detector.begin_body(self._watch.now)
        if self.is_reused:
            self._owner.answered(self._generation)
        if meaning_of(response.status) is not StatusMeaning.RESULT:
            page = await read_page(response.content, self._owner.page_timeout)
            self.at_end = response.content.at_eof()
            redact = self._owner.redactor
            raise refusal(response.status, response.reason, response.headers, page, redact)
        self._content = response.content
        if "Content-Encoding" not in response.headers:
            self.length = response.content_length
        if self._url.scheme == "https" and _closes(response):
            # uvloop loses what TLS still holds when reading is paused and the connection closed.
            self._ahead = self._owner.grant_ahead(min(self.length or 0, LAST_BODY))

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
        error = translated(exc, self._owner.redactor)
        if isinstance(exc, DroppedError) and self.is_reused:
            self._owner.distrust(self._generation, stale=True)
            return StaleConnectionError(str(error))
        return error


def _closes(response: aiohttp.ClientResponse) -> bool:
    """
    Whether the service closes the connection behind *response*.  Source: RFC 9112, section 9.3.
    """
    says = response.headers.get("Connection", "").lower()
    version = response.version
    return says == "close" or (version is not None and version < (1, 1) and says != "keep-alive")
