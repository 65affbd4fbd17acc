"""
A relay between the command and a service, which can be cut, or answer in the service's place.
"""

import asyncio
import contextlib
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
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.turn(Mode.AWAY)

    async def turn(self, mode: Mode) -> None:
        """
        Drop all connections, and do as *mode* says from now on.
        """
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._mode = mode
        if mode is not Mode.AWAY:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self._port, backlog=1000
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Here and not in the task: one that is cancelled before its first step runs no line.
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
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
