"""
One submission to the service and its answer, over a client session of aiohttp.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol, Self

import aiohttp
from yarl import URL

from batchfetch.errors import JobError, StalledError
from batchfetch.redaction import Redactor
from batchfetch.service.base import RequestBody
from batchfetch.service.faults import FOREIGN, refusal, translated
from batchfetch.service.pages import read_beginning, read_page
from batchfetch.service.stall import StallDetector, StallWatch
from batchfetch.statuses import StatusMeaning, meaning_of

# How much of the answer, which is the id of a task, is read.
_ANSWER = 64 * 1024

_NOT_TAKEN = "the image could not be sent: nothing more of it was taken for too long"


class Owner(Protocol):
    """
    What an upload needs of the transport that it belongs to.
    """

    watch: StallWatch
    proxy_headers: Mapping[str, str]
    page_timeout: float
    redactor: Redactor


class Upload:
    """
    A POST of a body that is made while it is sent.
    """

    def __init__(
        self,
        owner: Owner,
        session: aiohttp.ClientSession,
        url: URL,
        headers: Mapping[str, str],
        body: RequestBody,
        *,
        on_sent: Callable[[], None],
        on_body_sent: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._session = session
        self._url = url
        self._headers = {
            **headers,
            "Accept": "application/json, text/plain",
            "Content-Type": "application/json",
            # Without it aiohttp would send the body in chunks, which not every server takes.
            "Content-Length": str(body.length),
        }
        self._body = body
        self._on_sent = on_sent
        self._on_body_sent = on_body_sent
        self._is_body_sent = False
        self._stalled: str | None = None
        self.detector = StallDetector(owner.watch.now)
        self.is_reused = False
        """Whether the connection has answered before: never, see `SessionTransport`."""

    async def send(self) -> bytes:
        """
        See `Submitter.submit`.
        """
        watch = self._owner.watch
        self.detector.begin(watch.now)
        watch.waiting.add(self)
        try:
            async with asyncio.timeout(None) as self._expiry:
                return await self._post()
        except FOREIGN as exc:
            raise self._failure(exc) from None
        finally:
            watch.waiting.discard(self)

    def sent(self) -> None:
        """
        Note that the head of the request has been sent.
        """
        self._on_sent()

    def give_up(self, words: str) -> None:
        """
        End the wait for the answer; *words* say why.
        """
        self._stalled = words if self._is_body_sent else _NOT_TAKEN
        self._expiry.reschedule(asyncio.get_running_loop().time())

    async def _post(self) -> bytes:
        owner = self._owner
        async with self._session.post(
            self._url,
            data=_Pieces(self._body, self._note),
            headers=self._headers,
            allow_redirects=False,
            proxy_headers=owner.proxy_headers,
            trace_request_ctx=self,
        ) as response:
            self.detector.begin_body(owner.watch.now)
            if meaning_of(response.status) is StatusMeaning.RESULT:
                return await read_beginning(response.content, _ANSWER)
            page = await read_page(response.content, owner.page_timeout)
            raise refusal(response.status, response.reason, response.headers, page, owner.redactor)

    def _note(self, *, is_last: bool) -> None:
        """
        Note that a piece of the body is handed over now, and whether it *is_last*.
        """
        self.detector.progress(self._owner.watch.now)
        if is_last and not self._is_body_sent:
            self._is_body_sent = True
            self._on_body_sent()

    def _failure(self, exc: aiohttp.ClientError | TimeoutError | OSError) -> JobError:
        if self._stalled is not None:
            return StalledError(self._stalled)
        return translated(exc, self._owner.redactor)


class _Note(Protocol):
    def __call__(self, *, is_last: bool) -> None: ...


class _Pieces:
    """
    The pieces of *body*; *note* is told of each before it is handed over.

    A class, because a generator that was not read to its end would have to be closed.
    """

    def __init__(self, body: RequestBody, note: _Note) -> None:
        self._pieces: AsyncIterator[bytes] = aiter(body)
        self._left = body.length
        self._note = note

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._left -= len(piece)
        self._note(is_last=self._left <= 0)
        return piece
