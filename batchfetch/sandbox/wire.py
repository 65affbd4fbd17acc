"""
How an answer goes out: whole, or as a fault has it.
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

_DRIPS = 20


async def send(
    request: web.Request,
    reply: Response,
    fault: InjectedFault | None = None,
    *,
    slow_time: float = 0,
) -> web.StreamResponse:
    """
    Send *reply*, unless *fault* is one that happens to a connection.

    Raises `ConnectionError` if the client has left.
    """
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if fault is InjectedFault.RESET:
        _reset(request)
        return response
    if reply.content_type is not None:
        response.content_type = reply.content_type
    if reply.status != HTTPStatus.NO_CONTENT:
        response.content_length = reply.length
    if fault is None and reply.base64 and "gzip" in request.headers.get("Accept-Encoding", ""):
        # All there is to gain in base64 is that it uses six bits of eight.
        response.enable_compression(web.ContentCoding.gzip, strategy=zlib.Z_HUFFMAN_ONLY)
    await response.prepare(request)
    match fault:
        case InjectedFault.TRUNCATE:
            await _send_some(request, response, reply)
        case InjectedFault.SLOW:
            await _drip(response, reply, slow_time)
        case _:
            for piece in reply.pieces():
                await response.write(piece)
    await response.write_eof()
    return response


async def _send_some(request: web.Request, response: web.StreamResponse, reply: Response) -> None:
    for piece in _start_of(reply, reply.length // 2):
        await response.write(piece)
    if request.transport is not None:
        request.transport.close()


async def _drip(response: web.StreamResponse, reply: Response, slow_time: float) -> None:
    size = max(reply.length // _DRIPS, 1)
    for piece in reply.pieces():
        for start in range(0, len(piece), size):
            await response.write(piece[start : start + size])
            await asyncio.sleep(slow_time / _DRIPS)


def _start_of(reply: Response, length: int) -> Iterator[bytes]:
    for piece in reply.pieces():
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return


def _reset(request: web.Request) -> None:
    """
    Drop the connection the hard way: the client sees a reset, not an end.
    """
    transport = request.transport
    if transport is None:
        return
    # Closing with a linger of zero seconds sends RST.  The option belongs to the connection, so
    # it may be set through a duplicate; not every event loop lends out the socket itself.
    with socket.socket(fileno=socket.dup(transport.get_extra_info("socket").fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
