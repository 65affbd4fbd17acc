"""
Sending of responses over HTTP, including those with an injected fault.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterator
from http import HTTPStatus

from aiohttp import web

from batchfetch.sandbox.responses import Response
from batchfetch.sandbox.settings import InjectedFault

_SLOW_PIECES = 20


async def send(
    request: web.Request,
    response: Response,
    fault: InjectedFault | None = None,
    *,
    slow_time: float = 0,
) -> web.StreamResponse:
    """
    Send *response*, with *fault* if it is one of those that concern the connection.

    A slow response takes *slow_time* seconds.  Raises `ConnectionError` if the client has closed
    the connection.
    """
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    if fault is InjectedFault.RESET:
        _reset(request)
        return stream
    if fault is InjectedFault.LOSE:
        _close(request)
        return stream
    if response.content_type is not None:
        stream.content_type = response.content_type
    if response.status != HTTPStatus.NO_CONTENT:
        stream.content_length = response.length
    if fault is None and response.base64 and "gzip" in request.headers.get("Accept-Encoding", ""):
        # Base64 of compressed data has no repetitions; Huffman coding saves two bits of eight.
        stream.enable_compression(web.ContentCoding.gzip, strategy=zlib.Z_HUFFMAN_ONLY)
    await stream.prepare(request)
    match fault:
        case InjectedFault.TRUNCATE:
            await _send_half(request, stream, response)
        case InjectedFault.SLOW:
            await _send_slowly(stream, response, slow_time)
        case _:
            for piece in response.pieces():
                await stream.write(piece)
    await stream.write_eof()
    return stream


async def _send_half(request: web.Request, stream: web.StreamResponse, response: Response) -> None:
    for piece in _start_of(response, response.length // 2):
        await stream.write(piece)
    _close(request)


async def _send_slowly(stream: web.StreamResponse, response: Response, slow_time: float) -> None:
    size = max(response.length // _SLOW_PIECES, 1)
    for piece in response.pieces():
        for start in range(0, len(piece), size):
            await stream.write(piece[start : start + size])
            await asyncio.sleep(slow_time / _SLOW_PIECES)


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _start_of(response: Response, length: int) -> Iterator[bytes]:
    for piece in response.pieces():
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return


def _reset(request: web.Request) -> None:
    """
    Abort the connection with a TCP reset instead of a regular end.
    """
    transport = request.transport
    if transport is None:
        return
    # Closing with a linger time of zero sends RST.  The option belongs to the connection, so it can
    # be set through a duplicate; some event loops do not expose the socket itself.
    with socket.socket(fileno=socket.dup(transport.get_extra_info("socket").fileno())) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
