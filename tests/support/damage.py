"""
Damage done to sound PNGs, one kind after another.
"""

import struct
import zlib
from collections.abc import Iterator

from pngs import SIGNATURE, chunks_of, png

Chunks = list[tuple[bytes, bytes]]

_IHDR = struct.Struct(">IIBBBBB")
_FIELDS = ("width", "height", "depth", "colour type", "compression", "filter", "interlace")
_VALUES = {
    "width": [0, 2**31, 2**32 - 1],
    "height": [0, 2**31, 2**32 - 1],
    "depth": [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 255],
    "colour type": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255],
    "compression": [1, 8, 255],
    "filter": [1, 64, 255],
    "interlace": [2, 7, 255],
}


def damaged(image: bytes) -> Iterator[tuple[str, bytes]]:
    """
    Yield damaged copies of *image*, a sound PNG, each with the kind of damage.
    """
    chunks = chunks_of(image)
    for kind, copy in _bytes_damaged(image, chunks):
        yield kind, copy
    for kind, copy in (
        *_order_damaged(chunks),
        *_header_damaged(chunks),
        *_palette_damaged(chunks),
        *_data_damaged(chunks),
    ):
        yield kind, png(copy)


def _bytes_damaged(image: bytes, chunks: Chunks) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "no signature", image.removeprefix(SIGNATURE)
    yield "bytes after the end", image + b"\0"
    yield "second image after the end", image + image
    for position in range(8):
        yield "signature", _flipped(image, position)
    start = len(SIGNATURE)
    for kind, data in chunks:
        name = kind.decode()
        end = start + 12 + len(data)
        yield f"ends before {name}", image[:start]
        yield f"ends inside {name}", image[: start + 8 + len(data) // 2]
        yield f"length of {name}", _flipped(image, start + 3)
        yield f"type of {name}", _flipped(image, start + 5)
        if data:
            yield f"data of {name}", _flipped(image, start + 8 + len(data) // 2)
        yield f"CRC of {name}", _flipped(image, end - 1)
        start = end


def _flipped(image: bytes, position: int) -> bytes:
    return image[:position] + bytes([image[position] ^ 1]) + image[position + 1 :]


def _order_damaged(chunks: Chunks) -> Iterator[tuple[str, Chunks]]:
    for i, (kind, data) in enumerate(chunks):
        name = kind.decode()
        yield f"without {name}", chunks[:i] + chunks[i + 1 :]
        yield f"{name} twice", chunks[: i + 1] + chunks[i:]
        yield f"{name} first", [chunks[i], *chunks[:i], *chunks[i + 1 :]]
        yield f"{name} last", [*chunks[:i], *chunks[i + 1 :], chunks[i]]
        yield f"critical chunk before {name}", [*chunks[:i], (b"CRit", b"\0"), *chunks[i:]]
        yield f"ancillary chunk before {name}", [*chunks[:i], (b"anCi", b"\0"), *chunks[i:]]
        yield f"no chunk type before {name}", [*chunks[:i], (b"1234", b"\0"), *chunks[i:]]
        if kind[:1].islower():
            for changed in (b"", data[:1], data + b"\0"):
                yield f"{name} cut or extended", [*chunks[:i], (kind, changed), *chunks[i + 1 :]]
        if kind == b"IDAT" and len(data) > 1:
            halves = [(kind, data[: len(data) // 2]), (kind, data[len(data) // 2 :])]
            text = (b"tEXt", b"a\0b")
            yield "IDAT in halves", [*chunks[:i], *halves, *chunks[i + 1 :]]
            yield "text inside IDAT", [*chunks[:i], halves[0], text, halves[1], *chunks[i + 1 :]]


def _header_damaged(chunks: Chunks) -> Iterator[tuple[str, Chunks]]:
    header = chunks[0][1]
    for length in (0, 12, 14):
        yield "length of IHDR, CRC sound", [(b"IHDR", (header + b"\0")[:length]), *chunks[1:]]
    for position, field in enumerate(_FIELDS):
        values = list(_IHDR.unpack(header))
        for value in _VALUES[field]:
            if values[position] != value:
                changed = _IHDR.pack(*values[:position], value, *values[position + 1 :])
                yield f"{field} in IHDR", [(b"IHDR", changed), *chunks[1:]]


def _palette_damaged(chunks: Chunks) -> Iterator[tuple[str, Chunks]]:
    rest = [pair for pair in chunks if pair[0] != b"PLTE"]
    first = [kind for kind, _ in rest].index(b"IDAT")
    for size in (0, 1, 4, 767, 769, 771):
        kind = f"PLTE of {size} bytes"
        yield kind, [*rest[:first], (b"PLTE", bytes(size)), *rest[first:]]
    colour = chunks[0][1][9]
    for size in (3, 768):
        kind = f"PLTE of {size} bytes in colour type {colour}"
        yield kind, [*rest[:first], (b"PLTE", bytes(size)), *rest[first:]]


def _data_damaged(chunks: Chunks) -> Iterator[tuple[str, Chunks]]:
    kinds = [kind for kind, _ in chunks]
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    stream = b"".join(data for kind, data in chunks if kind == b"IDAT")

    def with_data(*pieces: bytes) -> Chunks:
        idats = [(b"IDAT", piece) for piece in pieces]
        return [*chunks[:first], *idats, *chunks[first + count :]]

    yield "no image data", with_data(b"")
    yield "no image data", with_data(b"", b"")
    yield "image data of one byte", with_data(stream[:1])
    yield (
        "image data in single bytes",
        with_data(*(bytes([byte]) for byte in stream[:64]), stream[64:]),
    )
    yield "empty IDAT chunks between", with_data(b"", stream[:1], b"", stream[1:], b"")
    yield "image data all zero", with_data(bytes(len(stream)))
    yield "image data as gzip", with_data(b"\x1f\x8b\x08\0\0\0\0\0\0\3" + stream[2:-4])
    yield "zlib method", with_data(_zlib(stream, method=0x79))
    yield "zlib window", with_data(_zlib(stream, method=0x88))
    yield "zlib check", with_data(_flipped(stream, 1))
    yield "zlib dictionary", with_data(_zlib(stream, flags=0x20))
    yield "zlib header alone", with_data(stream[:2])
    yield "pixels cut", with_data(stream[: len(stream) // 2])
    yield "pixels changed", with_data(stream[:2] + b"\7" + stream[3:])
    yield "pixels of a smaller image", with_data(zlib.compress(b"\0"))
    yield "pixels' checksum", with_data(_flipped(stream, len(stream) - 1))
    yield "pixels' checksum cut", with_data(stream[:-4])
    yield "bytes after the pixels", with_data(stream + b"\0")


def _zlib(stream: bytes, *, method: int | None = None, flags: int = 0) -> bytes:
    """
    Return *stream* with another first byte or other flags, and the check that fits.
    """
    start = (stream[0] if method is None else method) << 8 | flags
    return (start + -start % 31).to_bytes(2, "big") + stream[2:]
