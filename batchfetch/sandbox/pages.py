"""
Generator of PNG pages that look like scans of printed text, a different one for each task id.

A page is four-bit greyscale, two pixels per byte, so that the dots of a letter are whole bytes and
rows are made by joining bytes, not pixels.  Random grain in the paper gives a page its size in
bytes.
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
"""Bytes of the smallest page."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = 64 * 1024
# Compressed size of two bits of grain in each four-bit pixel, as a share of the raw size.
_COMPRESSED = 0.585
_PAPER = bytes(0xDD ^ (byte & 0x33) for byte in range(256))
_INK = b"\xff"
_NONE = b"\x00"
_FILTER = b"\x00"
# Roughly the frequencies of English, so that lines look like words.
_LETTERS = "EEEETTTAAAOOOIIINNNSSHHRRDDLLCUMWFGYPBVKJXQZ,.-" + " " * 9


def page_size(task_id: str, largest: int) -> int:
    """
    Return the approximate size in bytes of the page of *task_id*, from 4 KiB to *largest*.

    It is taken from a hash of the id; its logarithm is uniformly distributed.
    """
    digest = hashlib.sha256(task_id.lower().encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return round(SMALLEST * math.pow(max(largest, SMALLEST) / SMALLEST, share))


def draw_page(task_id: str, size: int, seed: int) -> bytes:
    """
    Return a PNG of about *size* bytes, always the same for the same arguments.
    """
    rng = random.Random(f"{seed}:{task_id.lower()}")  # noqa: S311 - repeatable, and no secret
    # The A series of ISO 216 is sqrt(2) times as high as wide; a byte is two pixels wide.
    width = max(math.isqrt(round(size / _COMPRESSED / (2 * math.sqrt(2)))), 16)
    height = round(2 * math.sqrt(2) * width)
    packer = zlib.compressobj(1, strategy=zlib.Z_HUFFMAN_ONLY)
    packed = [packer.compress(band) for band in _bands(task_id, width, height, rng)]
    packed.append(packer.flush())
    return _png(2 * width, height, b"".join(packed))


def _bands(task_id: str, width: int, height: int, rng: random.Random) -> Iterator[bytes]:
    """
    Yield the rows of the page from the top in bands, each row after its PNG filter byte.
    """
    scale = max(1, width // 250)
    letter = 6 * scale
    length = max(1, width // letter - 2)  # Characters of a line.
    heading = [task_id[start : start + length] for start in range(0, len(task_id), length)]
    line_height = 2 * scale * (ROWS + 3)
    gap = 2 * scale * 3
    grain = rng.randbytes(32 * width).translate(_PAPER)

    def paper(rows: int) -> bytes:
        starts = [int(rng.random() * 31 * width) for _ in range(rows)]
        return b"".join(_FILTER + grain[start : start + width] for start in starts)

    lines = max(0, (height - 2 * gap) // line_height)
    yield paper(height - lines * line_height)
    for number in range(lines):
        text = (
            heading[number] if number < len(heading) else "".join(rng.choices(_LETTERS, k=length))
        )
        ink = b"".join((_FILTER + row) * (2 * scale) for row in _ink_rows(text, scale, width))
        yield _xor(ink, paper(2 * scale * ROWS)) + paper(gap)


def _ink_rows(text: str, scale: int, width: int) -> list[bytes]:
    margin = _NONE * (6 * scale)
    rows = [margin + b"".join(_glyph_row(char, row, scale) for char in text) for row in range(ROWS)]
    return [row[:width].ljust(width, _NONE) for row in rows]


@lru_cache(maxsize=4096)
def _glyph_row(char: str, row: int, scale: int) -> bytes:
    return b"".join((_INK if dot else _NONE) * scale for dot in [*dots(char, row), False])


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def _png(width: int, height: int, packed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    pieces = [packed[start : start + _CHUNK] for start in range(0, len(packed), _CHUNK)]
    chunks = [(b"IHDR", header), *((b"IDAT", piece) for piece in pieces), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
