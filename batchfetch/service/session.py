"""
The service over HTTP/1.1, on aiohttp's client session and by its documented parts only.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

import aiohttp
from anyio import CancelScope
from yarl import URL

from batchfetch.endpoints import TOKEN_PATH
from batchfetch.redaction import Redactor
from batchfetch.service.base import RequestBody
from batchfetch.service.exchange import Exchange, Generation
from batchfetch.service.faults import FOREIGN, refusal, translated
from batchfetch.service.grants import refuses
from batchfetch.service.pages import read_beginning, read_page
from batchfetch.service.stall import StallWatch
from batchfetch.service.upload import Upload
from batchfetch.statuses import StatusMeaning, meaning_of
from batchfetch.tuning import ALL_LAST_BODIES

# Ids that need no encoding, as nearly all: RFC 3986, section 2.3.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+").fullmatch

# How much of an answer to a request for a token is read.
_TOKEN_ANSWER = 64 * 1024

# The first HTTP status that means that the server failed.
_SERVER_ERROR = 500

# Generations of kept connections in a row of which one was closed instead of answering, after
# which connections are kept no longer.
_MOST_STALE = 2


class SessionOpener(Protocol):
    """
    Opens a session that *keeps* its connections between requests, or closes each.
    """

    def __call__(self, *, keeps: bool) -> aiohttp.ClientSession: ...


class SessionTransport:
    """
    Asks over one client session, whose connections are kept between questions.

    When a kept connection turns out to be closed, or an answer to be about another task, all
    connections of that generation are suspect: a new session takes over, and the old one is closed
    behind its last exchange.  *open_session* makes a session, *keeps* says whether it keeps its
    connections.  Errors say nothing that *redactor* removes, and it is told of what is sent.
    """

    def __init__(
        self,
        open_session: SessionOpener,
        root: URL,
        *,
        proxy_headers: Mapping[str, str],
        redactor: Redactor,
        silence: float,
        deadline: float,
    ) -> None:
        self._open_session = open_session
        self._current = Generation(open_session(keeps=True))
        self._retired: set[Generation] = set()
        # Every submission has a connection of its own: one that is kept may be closed at the other
        # end by the time the image is on its way, and whether it arrived could not be told.
        self._submitting: Generation | None = None
        self._stale = 0
        self.ahead = 0
        """Bytes that may be received ahead of bodies that end with their connection."""

        self._root = root
        self._path = quote(root.raw_path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self.proxy_headers = proxy_headers
        self.redactor = redactor
        self._deadline = deadline
        # Less than the watch allows: the status is known, and its page only adds words.
        self.page_timeout = silence / 2
        self.watch = StallWatch(silence=silence, deadline=deadline)
        # The token changes every hour, the path hardly ever.
        self._url_of = lru_cache(maxsize=64)(self._url_before_id)
        self._headers_of = lru_cache(maxsize=4)(self._authorization)

    async def close(self) -> None:
        """
        Close all connections.
        """
        self.watch.close()
        with CancelScope(shield=True):
            for generation in (*self._retired, self._current, self._submitting):
                if generation is not None:
                    await generation.session.close()

    def get_result(
        self, path: str, task_id: str, token: str, *, on_sent: Callable[[], None]
    ) -> Exchange:
        """
        See `Transport.get_result`.
        """
        # Encoded here, once: any id stays one value of the query.
        value = task_id if _PLAIN(task_id) else quote(task_id, safe="")
        url = URL(self._url_of(path) + value, encoded=True)
        return Exchange(self, url, self._headers_of(token), on_sent)

    async def submit(
        self,
        path: str,
        token: str,
        body: RequestBody,
        *,
        on_sent: Callable[[], None],
        on_body_sent: Callable[[], None],
    ) -> bytes:
        """
        See `Submitter.submit`.
        """
        if self._submitting is None:
            self._submitting = Generation(self._open_session(keeps=False))
        url = URL(f"{self._root.origin()}{self._path}{path}", encoded=True)
        upload = Upload(
            *(self, self._submitting.session, url, self._headers_of(token), body),
            on_sent=on_sent,
            on_body_sent=on_body_sent,
        )
        return await upload.send()

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
        Ask for a token and return the answer's body, which grants one or says why not.

        Raises `TransportError`.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        self.redactor.add(client_id, client_secret)
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
                    return await read_beginning(response.content, _TOKEN_ANSWER)
                page = await read_page(response.content, self.page_timeout)
                if response.status >= _SERVER_ERROR and refuses(page):
                    return page  # Some servers say so with a status that would be tried again.
                raise refusal(
                    response.status, response.reason, response.headers, page, self.redactor
                )
        except FOREIGN as exc:
            raise translated(exc, self.redactor) from None
        finally:
            await self.leave(generation)

    def _authorization(self, token: str) -> dict[str, str]:
        self.redactor.add_token(token)
        return {"Authorization": f"Bearer {token}"}
