"""
A service that takes every image and looks at none: it answers with an id once a body is complete.

Usage: sink.py prints its root URL, serves until it is terminated, and answers `GET /` with how many
images it has taken.
"""

import asyncio
import signal
import sys
import uuid


class Sink(asyncio.Protocol):
    """
    One connection.
    """

    taken = 0

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._is_image = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        See `asyncio.Protocol`.
        """
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """
        See `asyncio.Protocol`.
        """
        while data:
            if not self._left:
                self._head += data
                end = self._head.find(b"\r\n\r\n")
                if end < 0:
                    return
                head, data, self._head = self._head[:end], self._head[end + 4 :], b""
                self._is_image = head.startswith(b"POST")
                self._left = _length_in(head)
                if not self._left:
                    self._answer(str(Sink.taken).encode())
                    continue
            self._left -= min(self._left, len(data))
            data = b""  # The client sends nothing ahead.
            if not self._left:
                Sink.taken += 1
                self._answer(b'"%s"' % str(uuid.uuid4()).encode())

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


def _length_in(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def main() -> None:
    """
    Serve until terminated.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
