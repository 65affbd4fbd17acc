"""
PNGs built from chunks, and a reference validator for complete PNGs.
"""

import struct
import zlib

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


def ihdr(width: int = 2, height: int = 2) -> bytes:
    """
    Return the IHDR chunk of an 8-bit greyscale image.
    """
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


IDAT = chunk(b"IDAT", zlib.compress(b"\0ab\0cd"))
IEND = chunk(b"IEND")
TEXT = chunk(b"tEXt", b"Comment\0none")

SMALL = SIGNATURE + ihdr() + IDAT + IEND


def is_sound(image: bytes) -> bool:
    """
    Whether *image* is a valid PNG, checked chunk by chunk without the incremental validator.
    """
    if not image.startswith(SIGNATURE):
        return False
    kinds = []
    rest = image.removeprefix(SIGNATURE)
    while rest:
        length = int.from_bytes(rest[:4], "big")
        kind, data, crc = rest[4:8], rest[8 : 8 + length], rest[8 + length : 12 + length]
        if len(crc) != 4 or crc != struct.pack(">I", zlib.crc32(kind + data)):
            return False
        if not kind.isalpha() or (kind == b"IEND" and data):
            return False
        if kind == b"IHDR" and (length != 13 or not any(data[:4]) or not any(data[4:8])):
            return False
        kinds.append(kind)
        rest = rest[12 + length :]
    first, last = kinds.index(b"IDAT") if b"IDAT" in kinds else 0, len(kinds) - 1
    while last > 0 and kinds[last] != b"IDAT":
        last -= 1
    return (
        kinds[:1] == [b"IHDR"]
        and kinds.count(b"IHDR") == 1
        and kinds[-1:] == [b"IEND"]
        and kinds.count(b"IEND") == 1
        and b"IDAT" in kinds
        and set(kinds[first : last + 1]) == {b"IDAT"}
    )
