"""
Helper that reads a response body to its end.
"""

import anyio

from batchfetch.service import Body


async def read_all(body: Body, *, pause: float = 0.0) -> bytes:
    """
    Return all of *body*, read in pieces with *pause* seconds between them.
    """
    pieces = [await body.read()]
    while not body.at_end:
        await anyio.sleep(pause)
        pieces.append(await body.read())
    return b"".join(pieces)
