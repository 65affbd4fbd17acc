"""
Reading an answer to its end.
"""

import asyncio

from batchfetch.service import Body


async def read_all(body: Body, *, pause: float = 0.0) -> bytes:
    """
    Return all of *body*, with a *pause* of so many seconds after each piece.
    """
    received = b""
    while not body.at_end:
        memory, start, end = await body.read()
        received += memory[start:end]
        if pause:
            await asyncio.sleep(pause)
    return received
