"""
Scripted HTTP server for submissions: it takes images, and cuts off requests and answers on order.

It uses plain asyncio, because an HTTP library would not read half a request.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Self

import anyio.from_thread
from origin import arrival
from replies import Ending, Reply, head, http, raw

_RESET = struct.pack("ii", 1, 0)
_PIECE = 256 * 1024


@dataclass(frozen=True)
class Act:
    """
    What is done with one POST.
    """

    reads: float = 1.0
    """The share of the body that is read; 0 is the head alone."""

    reply: Reply | None = None
    """None: the image is taken, and the answer is the id of its task."""

    ending: Ending = Ending.KEEP
    """Of a request that is not read to its end."""


@dataclass
class Submitted:
    """
    A POST whose body arrived whole.
    """

    path: str
    headers: dict[str, str]
    sha256: str
    """Of the image."""

    size: int
    task_id: str


@dataclass
class _Image:
    """
    The image in a body that arrives in pieces, of which none is kept.
    """

    carry: bytes = b""
    hashed: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0

    def feed(self, piece: bytes) -> None:
        text = self.carry + piece
        whole = len(text) - len(text) % 4
        self.carry = text[whole:]
        data = base64.b64decode(text[:whole], validate=True)
        self.hashed.update(data)
        self.size += len(data)


_BEGIN, _END = b'{"image": "', b'"}'


class Receiver:
    """
    The scripted service: an async context manager.  *acts* are for the first POSTs, in the order in
    which they come; the images of all others are taken.  With *tls* it is served over TLS.
    """

    def __init__(self, acts: Sequence[Act] = (), *, tls: ssl.SSLContext | None = None) -> None:
        self.acts = list(acts)
        self.tls = tls
        self.submitted: list[Submitted] = []
        self.posts = 0
        self.arrived = asyncio.Event()
        """Set once an image has arrived whole."""

        self.tokens = 0
        self.refused_tokens: set[str] = set()
        self.calls_by_path: Counter[str] = Counter()
        self.delay = 0.0
        """Seconds between the end of a body and the answer."""

        self.answers = inf
        """The number of images that are answered; those after them wait until it is more."""

        self.begun = asyncio.Event()
        """Set once the beginning of a request was read that is to break off."""

        self.slowness = 0.0
        """Seconds before each piece of a body is read."""

        self.most_in_flight = 0
        self.base_url = ""
        self._in_flight = 0
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def images(self) -> Counter[str]:
        """
        How often each image arrived whole, by its SHA-256.
        """
        return Counter(each.sha256 for each in self.submitted)

    @property
    def connections(self) -> int:
        """
        The number of open connections.
        """
        return len(self._tasks)

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
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            ending = Ending.KEEP
            while ending is Ending.KEEP:
                ending = await self._handle(reader, writer)
            if ending is Ending.HANG:
                await reader.read()
            if ending is Ending.RESET:
                await arrival(writer)  # A reset overtakes what was not sent yet.
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if ending is Ending.CLOSE:
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError):
            pass  # The client has closed the connection.
        finally:
            self._in_flight -= 1
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Ending:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip().split("\r\n")
        _, path, _ = first.split(" ")
        headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if path == "/connect/token":
            await reader.readexactly(length)
            self.tokens += 1
            grant = {"access_token": f"granted-{self.tokens}", "expires_in": 3600}
            return await _send(writer, http(json.dumps(grant).encode()))
        act = self.acts.pop(0) if self.acts else Act()
        self.posts += 1
        self.calls_by_path[path] += 1
        token = headers["authorization"].removeprefix("Bearer ")
        if act.reads < 1:
            left = int(length * act.reads)
            while left:
                left -= len(await reader.read(min(left, _PIECE)) or b"x" * left)
            self.begun.set()
            if act.reply is not None:
                await _send(writer, act.reply)
            if act.ending is Ending.HANG:
                await asyncio.Event().wait()  # Nothing more is read.
            return act.ending
        image = await self._read_image(reader, length)
        if token in self.refused_tokens:
            return await _send(writer, http(b"", 401))
        task_id = str(uuid.uuid4())
        hashed = image.hashed.hexdigest()
        self.submitted.append(Submitted(path, headers, hashed, image.size, task_id))
        self.arrived.set()
        turn = len(self.submitted)
        while turn > self.answers:  # noqa: ASYNC110 - a test in another thread may change it
            await asyncio.sleep(0.01)
        await asyncio.sleep(self.delay)
        if act.reply is not None:
            return await _send(writer, act.reply)
        return await _send(writer, http(f'"{task_id}"'.encode(), 200))

    async def _read_image(self, reader: asyncio.StreamReader, length: int) -> _Image:
        image = _Image()
        assert await reader.readexactly(len(_BEGIN)) == _BEGIN
        left = length - len(_BEGIN) - len(_END)
        while left:
            await asyncio.sleep(self.slowness)
            piece = await reader.read(min(left, _PIECE))
            if not piece:
                raise EOFError
            left -= len(piece)
            image.feed(piece)
        assert await reader.readexactly(len(_END)) == _END
        assert image.carry == b""
        return image


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> Ending:
    for piece in reply.pieces():
        await asyncio.sleep(reply.interval)
        writer.write(piece)
        await writer.drain()
    return reply.ending


def no_answer(ending: Ending) -> Act:
    """
    Take the image, and end the connection without an answer.
    """
    return Act(reply=raw(ending=ending))


def half_answer(ending: Ending) -> Act:
    """
    Take the image, and end the connection in the middle of the answer.
    """
    return Act(reply=raw(head(200, length=38) + b'"3f2c8b1e', ending=ending))


def status(code: int, *headers: str) -> Act:
    """
    Read the image, and answer with this status.
    """
    return Act(reply=http(b'{"title": "no"}', code, *headers))


@contextlib.contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """
    Run *receiver* in a separate thread, for tests that wait for other processes.
    """
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(receiver),
    ):
        yield receiver
