"""
A relay between the command and a service, which can be cut, or answer in the service's place.
"""

import asyncio
import contextlib
import socket
from enum import Enum, auto
from typing import Self
from urllib.parse import urlsplit

from replies import head


class Mode(Enum):
    """
    What a relay does with connections.
    """

    PASS = auto()
    AWAY = auto()
    """Refuse them."""

    HANG_UP = auto()
    """Accept them, read a request, and close them."""

    FAIL = auto()
    """Answer every request with 502."""


class Relay:
    """
    Passes connections on to *target*, a root URL, unless told otherwise.  `turn` drops them all.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._mode = Mode.PASS
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.kept = 0
        """Requests that were read and not passed on."""

    @property
    def url(self) -> str:
        """
        The root URL to give to the command.
        """
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.turn(Mode.AWAY)

    async def turn(self, mode: Mode) -> None:
        """
        Drop all connections, and do as *mode* says from now on.
        """
        if self._mode is not Mode.AWAY:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        await asyncio.sleep(0)  # A task that is cancelled before its first step closes nothing.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._mode = mode
        if mode is not Mode.AWAY:
            self._listen()

    def _listen(self) -> None:
        # No asyncio server: one that is closed while it accepts leaves a connection open.
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=1000)
        self._socket.settimeout(0)
        self._port = self._socket.getsockname()[1]
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._socket.accept()
            task = asyncio.ensure_future(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError):
            if self._mode is Mode.PASS:
                await self._pass_on(reader, writer)
            while self._mode is not Mode.PASS:
                await reader.readuntil(b"\r\n\r\n")
                self.kept += 1
                if self._mode is Mode.HANG_UP:
                    return
                writer.write(head(502, length=0))
                await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target.hostname, self._target.port
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        with contextlib.closing(inner_writer):
            ends = [
                asyncio.ensure_future(_copy(reader, inner_writer)),
                asyncio.ensure_future(_copy(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
