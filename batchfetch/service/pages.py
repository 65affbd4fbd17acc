"""
The beginnings of bodies that hold no result.
"""

import asyncio
from contextlib import suppress

import aiohttp

from batchfetch.service.faults import FOREIGN

# How much of an error page is worth reading for its words.
_ERROR_PAGE = 4096


async def read_page(content: aiohttp.StreamReader, within: float) -> bytes:
    """
    Return the beginning of an error page; one that breaks off does not undo the status.
    """
    page = b""
    with suppress(*FOREIGN):
        async with asyncio.timeout(within):
            page = await read_beginning(content, _ERROR_PAGE)
    return page


async def read_beginning(content: aiohttp.StreamReader, most: int) -> bytes:
    """
    Return up to *most* bytes of a body; the rest is not read.
    """
    read = bytearray()
    while len(read) < most and (chunk := await content.readany()):
        read += chunk
    return bytes(read[:most])
