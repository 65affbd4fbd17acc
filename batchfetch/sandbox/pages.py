"""
Pages drawn for ids: PNG images that look like scans of printed text, no two alike.

A page is four-bit greyscale, two pixels a byte, so that a letter's dots are whole bytes and rows
are made by joining, never pixel by pixel.  Paper is grainy: the grain is what gives a page the
size in bytes it is asked to have.
"""

import hashlib
import math
import random
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache

from batchfetch.sandbox.font import ROWS, dots

SMALLEST = 4 * 1024
"""Bytes of the smallest page; an id's share of the way to the largest is a matter of its hash."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = 64 * 1024
# Two bits of grain in each four-bit pixel, and nothing gained by looking for repetitions.
_COMPRESSED = 0.585
_PAPER = bytes(0xDD ^ (byte & 0x33) for byte in range(256))
_INK = b"\xff"
_NONE = b"\x00"
_FILTER = b"\x00"
# As often as in English, roughly, so that lines look like words.
_LETTERS = "EEEETTTAAAOOOIIINNNSSHHRRDDLLCUMWFGYPBVKJXQZ,.-" + " " * 9


def page_size(task_id: str, largest: int) -> int:
    """
    Return about how many bytes the page of *task_id* has, from 4 KiB to *largest*.

    Small pages are as frequent as large ones: the logarithm is spread evenly.
    """
    digest = hashlib.sha256(task_id.lower().encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return round(SMALLEST * math.pow(max(largest, SMALLEST) / SMALLEST, share))


def draw_page(task_id: str, size: int, seed: int) -> bytes:
    """
    Return a PNG of about *size* bytes; the same for the same arguments.
    """
    rng = random.Random(f"{seed}:{task_id.lower()}")  # noqa: S311 - repeatable, and no secret
    # A sheet of the A series is sqrt(2) times as high as wide; a byte is two pixels wide.
    width = max(math.isqrt(round(size / _COMPRESSED / (2 * math.sqrt(2)))), 16)
    height = round(2 * math.sqrt(2) * width)
    packer = zlib.compressobj(1, strategy=zlib.Z_HUFFMAN_ONLY)
    packed = [packer.compress(band) for band in _bands(task_id, width, height, rng)]
    packed.append(packer.flush())
    return _png(2 * width, height, b"".join(packed))


def _bands(task_id: str, width: int, height: int, rng: random.Random) -> Iterator[bytes]:
    """
    Yield the page's rows from the top, each behind its filter byte, some at a time.
    """
    scale = max(1, width // 250)
    letter = 6 * scale
    signs = max(1, width // letter - 2)
    heading = [task_id[start : start + signs] for start in range(0, len(task_id), signs)]
    line_height = 2 * scale * (ROWS + 3)
    gap = 2 * scale * 3
    grain = rng.randbytes(32 * width).translate(_PAPER)

    def paper(rows: int) -> bytes:
        starts = [int(rng.random() * 31 * width) for _ in range(rows)]
        return b"".join(_FILTER + grain[start : start + width] for start in starts)

    lines = max(0, (height - 2 * gap) // line_height)
    yield paper(height - lines * line_height)
    for number in range(lines):
        text = heading[number] if number < len(heading) else "".join(rng.choices(_LETTERS, k=signs))
        ink = b"".join((_FILTER + row) * (2 * scale) for row in _ink_rows(text, scale, width))
        yield _xor(ink, paper(2 * scale * ROWS)) + paper(gap)


def _ink_rows(text: str, scale: int, width: int) -> list[bytes]:
    margin = _NONE * (6 * scale)
    rows = [margin + b"".join(_glyph_row(sign, row, scale) for sign in text) for row in range(ROWS)]
    return [row[:width].ljust(width, _NONE) for row in rows]


@lru_cache(maxsize=4096)
def _glyph_row(sign: str, row: int, scale: int) -> bytes:
    return b"".join((_INK if dot else _NONE) * scale for dot in [*dots(sign, row), False])


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def _png(width: int, height: int, packed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    pieces = [packed[start : start + _CHUNK] for start in range(0, len(packed), _CHUNK)]
    chunks = [(b"IHDR", header), *((b"IDAT", piece) for piece in pieces), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
