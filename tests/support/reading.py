"""
What most tests do with an answer: read it to its end.
"""

import anyio

from batchfetch.service import Body


async def read_all(body: Body, *, pause: float = 0.0) -> bytes:
    """
    Return all of *body*, read piece by piece, *pause* seconds apart.
    """
    pieces = [await body.read()]
    while not body.at_end:
        await anyio.sleep(pause)
        pieces.append(await body.read())
    return b"".join(pieces)
