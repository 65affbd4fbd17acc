"""
An HTTP proxy on loopback that opens tunnels, whatever host it is asked for, to one address.
"""

import asyncio
import contextlib
from typing import Self


class Tunnel:
    """
    A proxy for CONNECT alone, an async context manager; its tunnels lead to *port* of this machine.
    """

    def __init__(self, port: int) -> None:
        self.requests: list[str] = []
        self.address = ""
        self.passed = 0
        """Bytes that went through, towards the service."""

        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, far_writer, counted=True))
                group.create_task(self._pass_on(far_reader, writer, counted=False))

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(256 * 1024):
                self.passed += len(piece) * counted
                writer.write(piece)
                await writer.drain()
        writer.close()
