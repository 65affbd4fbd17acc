"""
Scripted HTTP server that sends given bytes and records its requests.

It uses plain asyncio, because an HTTP library would refuse to send most of the faulty responses.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import json
import socket
import ssl
import struct
import termios
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self
from urllib.parse import parse_qs, urlsplit

import anyio.from_thread
from replies import Ending, Reply, Step, head, http, ready, status

_HANDSHAKE = b"\x16"
"""The first byte of TLS: RFC 8446, section 5.1."""

_TOKENS = "/connect/token"

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    """
    One request as received.
    """

    at: float
    """Seconds on the monotonic clock."""

    connection: int
    method: str
    path: str
    task_id: str
    """The id in the query; empty if there is none."""

    headers: Mapping[str, str]
    """Names in lower case."""

    body: bytes


class Origin:
    """
    The scripted service: an async context manager.  `serving` runs it in another thread.
    """

    def __init__(
        self,
        script: Mapping[str, Sequence[Step]] | None = None,
        *,
        default: Step = ready,
        tokens: Sequence[Step] = (),
        token_life: float = 3600.0,
        tls: ssl.SSLContext | None = None,
        closes_every: int = 0,
        misled: int = 0,
    ) -> None:
        self.script = dict(script or {})
        self.default = default
        self.tokens = list(tokens)
        """Replies to the first token requests, in order; later ones are granted a token."""

        self.token_life = token_life
        self.tls = tls
        self.closes_every = closes_every
        """Number of replies after which a connection is closed without notice; 0 for never."""

        self.misled = misled
        """Number of first connections on which every reply is for another task."""

        self.valid: set[str] = set()
        """Tokens that are accepted; if empty, every token is."""

        self.answers = inf
        """The number of calls that are answered; those after them wait until it is more."""

        self.calls: list[Request] = []
        self.token_requests: list[Request] = []
        self.sent: Counter[str] = Counter()
        """Bytes sent, by task id."""

        self.most_in_flight = 0
        self.base_url = ""
        self._port = 0
        self._in_flight = 0
        self._asked: Counter[str] = Counter()
        self._answered: Counter[int] = Counter()
        self._accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def calls_of(self, task_id: str) -> int:
        """
        Return the number of requests for *task_id*.
        """
        return self._asked[task_id]

    @property
    def connections(self) -> int:
        """
        The number of open connections.
        """
        return len(self._tasks)

    @property
    def has_arrived(self) -> bool:
        """
        Whether all that was sent on open connections is at the other end, read or not.
        """
        return not any(_is_on_its_way(writer) for writer in [*self._writers])

    def say(self, data: bytes) -> None:
        """
        Send *data* on all open connections, and wait until it is there; for another thread.
        """
        asyncio.run_coroutine_threadsafe(self._say(data), self._loop).result()

    def revoke(self) -> None:
        """
        Refuse every token granted so far.
        """
        self.valid = {"none granted yet"}

    def forget(self) -> None:
        """
        Restart all scripts and counts.
        """
        self.calls.clear()
        self.token_requests.clear()
        self._asked.clear()

    async def __aenter__(self) -> Self:
        await self.listen()
        self.base_url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_away()

    async def listen(self) -> None:
        """
        Accept connections, on the same port as before if there was one.
        """
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self._port, ssl=self.tls, backlog=1000
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def go_away(self) -> None:
        """
        Refuse connections from now on, and drop those that are open.
        """
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        task = asyncio.ensure_future(self._serve(reader, writer, self._accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, data: bytes) -> None:
        for writer in [*self._writers]:
            writer.write(data)
            await arrival(writer)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        self._writers.add(writer)
        try:
            ending = Ending.KEEP
            while ending is Ending.KEEP:
                request = await _read_request(reader, connection)
                if request is None:
                    writer.write(head(400, "Connection: close", length=0))
                    writer.close()
                    await writer.wait_closed()
                    break
                self._in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self._in_flight)
                try:
                    ending = await self._reply(request, reader, writer)
                finally:
                    self._in_flight -= 1
        except (OSError, EOFError):
            pass  # The client has closed the connection.
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reply(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Ending:
        reply = self._next(request)
        turn = 0 if request.path == _TOKENS else len(self.calls)
        while turn > self.answers:  # noqa: ASYNC110 - a test in another thread may change it
            await asyncio.sleep(0.01)
        connection: socket.socket = writer.get_extra_info("socket")
        # A client that wakes between the last byte and the FIN would ask on a doomed connection,
        # so both leave in one packet.
        cork = reply.ending is Ending.CLOSE and not reply.interval
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, cork)
        for piece in reply.pieces():
            await asyncio.sleep(reply.interval)
            writer.write(piece)
            self.sent[request.task_id] += len(piece)
            await writer.drain()
        if reply.ending is Ending.HANG:
            await reader.read()
        if reply.ending is Ending.RESET:
            await arrival(writer)  # A reset overtakes what was not sent yet.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if reply.ending is Ending.CLOSE:
            writer.close()
            if self.tls:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            await writer.wait_closed()
        return reply.ending

    def _next(self, request: Request) -> Reply:
        if request.path == _TOKENS:
            self.token_requests.append(request)
            return self._grant()
        self.calls.append(request)
        turn = self._asked[request.task_id]
        self._asked[request.task_id] += 1
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.valid and token not in self.valid:
            return status(401)
        steps = self.script.get(request.task_id) or [self.default]
        step = steps[min(turn, len(steps) - 1)]
        task_id = "another" if request.connection <= self.misled else request.task_id
        reply = step if isinstance(step, Reply) else step(task_id)
        self._answered[request.connection] += 1
        if self.closes_every and self._answered[request.connection] % self.closes_every == 0:
            return dataclasses.replace(reply, ending=Ending.CLOSE)
        return reply

    def _grant(self) -> Reply:
        turn = len(self.token_requests) - 1
        if turn < len(self.tokens):
            step = self.tokens[turn]
            return step if isinstance(step, Reply) else step("")
        token = f"granted-token-{turn + 1}"
        self.valid = {token}
        fields = {"access_token": token, "expires_in": self.token_life, "token_type": "Bearer"}
        return http(json.dumps(fields).encode(), 200, "Content-Type: application/json")


async def arrival(writer: asyncio.StreamWriter) -> None:
    """
    Wait until all that was written is at the other end, read or not, or that end is gone.
    """
    while _is_on_its_way(writer):  # noqa: ASYNC110 - only the system knows
        await asyncio.sleep(0.001)


def _is_on_its_way(writer: asyncio.StreamWriter) -> bool:
    if writer.is_closing():
        return False
    unsent = writer.transport.get_write_buffer_size()
    (unacknowledged,) = struct.unpack(
        "i", fcntl.ioctl(writer.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
    )
    return bool(unsent or unacknowledged)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """
    Return the next request; None if it is none, but the greeting of TLS.
    """
    start = await reader.readexactly(1)
    if start == _HANDSHAKE:
        return None
    text = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    task_id = parse_qs(url.query).get("id", [""])[0]
    return Request(time.monotonic(), connection, method, url.path, task_id, headers, body)


@contextlib.contextmanager
def serving(origin: Origin) -> Iterator[Origin]:
    """
    Run *origin* in a separate thread, for tests that wait for other processes.
    """
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(origin),
    ):
        yield origin
