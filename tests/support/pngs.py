"""
PNGs built from chunks, and a reference validator for complete PNGs.
"""

import re
import struct
import zlib
from collections.abc import Iterable

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes = b"", *, crc: int | None = None) -> bytes:
    """
    Return a chunk with the correct CRC, or with *crc*.
    """
    correct = zlib.crc32(kind + data)
    return (
        struct.pack(">I4s", len(data), kind)
        + data
        + struct.pack(">I", correct if crc is None else crc)
    )


def ihdr(
    width: int = 2,
    height: int = 2,
    *,
    depth: int = 8,
    colour: int = 0,
    compression: int = 0,
    filtering: int = 0,
    interlace: int = 0,
) -> bytes:
    """
    Return an IHDR chunk, by default that of an 8-bit greyscale image.
    """
    fields = width, height, depth, colour, compression, filtering, interlace
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))


IDAT = chunk(b"IDAT", zlib.compress(b"\0ab\0cd"))
IEND = chunk(b"IEND")
TEXT = chunk(b"tEXt", b"Comment\0none")
PLTE = chunk(b"PLTE", bytes(range(6)))

SMALL = SIGNATURE + ihdr() + IDAT + IEND

_FORMATS = {
    *((depth, 0) for depth in (1, 2, 4, 8, 16)),
    *((depth, 3) for depth in (1, 2, 4, 8)),
    *((depth, colour) for depth in (8, 16) for colour in (2, 4, 6)),
}


def chunks_of(image: bytes) -> list[tuple[bytes, bytes]]:
    """
    Return kind and data of each chunk of a valid PNG.
    """
    chunks = []
    rest = image.removeprefix(SIGNATURE)
    while rest:
        length = int.from_bytes(rest[:4], "big")
        chunks.append((rest[4:8], rest[8 : 8 + length]))
        rest = rest[12 + length :]
    return chunks


def png(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """
    Return the PNG with these chunks, each given as kind and data.
    """
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def is_sound(image: bytes) -> bool:
    """
    Whether *image* is a valid PNG, checked as a whole and without the incremental validator.
    """
    if not image.startswith(SIGNATURE):
        return False
    chunks = chunks_of(image)
    # Lengths and CRCs are sound exactly if the chunks that were read make up the same file again.
    if png(chunks) != image or not all(kind.isalpha() for kind, _ in chunks):
        return False
    kinds = [kind for kind, _ in chunks]
    critical = [kind for kind in kinds if kind[:1].isupper()]
    data = b"".join(data for kind, data in chunks if kind == b"IDAT")
    return (
        kinds[:1] == [b"IHDR"]
        and kinds[-1:] == [b"IEND"]
        and chunks[-1][1] == b""
        and re.fullmatch(b"IHDR(PLTE)?(IDAT)+IEND", b"".join(critical)) is not None
        and _is_together(kinds)
        and _is_header(chunks[0][1])
        and _is_palette([data for kind, data in chunks if kind == b"PLTE"], chunks[0][1][9])
        and len(data) >= 2
        and data[0] in range(0x08, 0x79, 0x10)
        and int.from_bytes(data[:2], "big") % 31 == 0
        and not data[1] & 0x20
    )


def _is_together(kinds: list[bytes]) -> bool:
    first = kinds.index(b"IDAT")
    return kinds[first : first + kinds.count(b"IDAT")] == [b"IDAT"] * kinds.count(b"IDAT")


def _is_header(header: bytes) -> bool:
    if len(header) != 13:
        return False
    width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", header)
    return (
        0 < width < 2**31
        and 0 < height < 2**31
        and (depth, colour) in _FORMATS
        and methods[:2] == [0, 0]
        and methods[2] in {0, 1}
    )


def _is_palette(palettes: list[bytes], colour: int) -> bool:
    if not palettes:
        return colour != 3
    return colour in {2, 3, 6} and len(palettes[0]) in range(3, 769, 3)
