"""
Rules for the critical chunks of a PNG: which there may be, in which order, and what they hold.

Source: PNG Specification (Third Edition), sections 5.3, 5.4, 5.6, 10.1 and 11.2; RFC 1950, section
2.2, for the header of a zlib stream.
"""

import struct

from batchfetch.errors import CorruptPngError

MAX_NUMBER = 2**31 - 1
"""Limit of every integer in a PNG: section 7.1."""

HEADER_SIZE = 13
"""Bytes in IHDR."""

ZLIB_HEADER_SIZE = 2
"""Bytes at the start of the image data that say how it is compressed."""

_IHDR = struct.Struct(">IIBBBBB")

# The bit depths of each colour type: table 11.1.
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_INDEXED = 3
_GREYSCALES = (0, 4)
_MAX_COLOURS = 256


class ChunkRules:
    """
    The rules for the chunks of one PNG, which must be passed in the order of the file.

    Two things are not checked.  Ancillary chunks may hold anything and stand anywhere but between
    IDAT chunks: no decoder needs them.  A palette may have more colours than the bit depth can
    address, as long as there are 256 at most: encoders write that, and decoders ignore the rest.
    """

    def __init__(self) -> None:
        self._last = b""
        self._colour_type = 0
        self._has_palette = self._has_data = False
        # The header of the zlib stream, which may be divided between IDAT chunks of any size.
        self._zlib_header = b""

    @property
    def zlib_bytes_missing(self) -> int:
        """
        How many bytes of the zlib stream's header are still to come.
        """
        return ZLIB_HEADER_SIZE - len(self._zlib_header)

    def enter(self, kind: bytes, length: int) -> None:
        """
        Check that a chunk of this kind and length may come next.

        Raises `CorruptPngError`.
        """
        if (kind == b"IHDR") != (not self._last):
            raise CorruptPngError("the PNG's first chunk must be IHDR, and no other chunk may be")
        match kind:
            case b"IHDR":
                _require_length(kind, length, HEADER_SIZE)
            case b"PLTE":
                self._enter_palette(length)
            case b"IDAT":
                self._enter_data()
            case b"IEND":
                _require_length(kind, length, 0)
                if self.zlib_bytes_missing:
                    raise CorruptPngError("the PNG has no image data before its IEND chunk")
            case _ if kind[:1].isupper():
                raise CorruptPngError(
                    f"the PNG has a chunk {kind.decode()}, which is critical and not standard"
                )
        self._last = kind

    def read_header(self, header: bytes | memoryview) -> None:
        """
        Check the data of IHDR.

        Raises `CorruptPngError`.
        """
        width, height, depth, self._colour_type, *methods = _IHDR.unpack(header)
        if not width or not height:
            raise CorruptPngError(f"the PNG's IHDR chunk gives {width} x {height}: no pixels")
        if width > MAX_NUMBER or height > MAX_NUMBER:
            raise CorruptPngError(f"the PNG's IHDR chunk gives {width} x {height}: too large")
        if depth not in _DEPTHS.get(self._colour_type, ()):
            raise CorruptPngError(
                f"the PNG's IHDR chunk gives bit depth {depth} and colour type {self._colour_type}:"
                " the standard has no such pixels"
            )
        if methods not in ([0, 0, 0], [0, 0, 1]):
            raise CorruptPngError(
                "the PNG's IHDR chunk gives compression {}, filter {} and interlace {}: the"
                " standard has 0, 0 and 0 or 1".format(*methods)
            )

    def read_zlib_header(self, data: bytes | memoryview) -> None:
        """
        Check the next bytes of the zlib stream's header, at most as many as are missing.

        Raises `CorruptPngError`.
        """
        self._zlib_header += data
        if not self.zlib_bytes_missing and not _is_zlib(*self._zlib_header):
            raise CorruptPngError(
                f"the PNG's image data begins with {self._zlib_header.hex(' ')}: not a zlib stream"
            )

    def _enter_palette(self, length: int) -> None:
        if self._colour_type in _GREYSCALES:
            raise CorruptPngError(
                f"the PNG has a PLTE chunk, which colour type {self._colour_type} must not have"
            )
        if self._has_palette or self._has_data:
            raise CorruptPngError(
                "the PNG has a PLTE chunk after another, or after its IDAT chunks"
            )
        if length % 3 or not 1 <= length // 3 <= _MAX_COLOURS:
            raise CorruptPngError(
                f"the PNG's PLTE chunk has {length} bytes, not 3 for each of 1 to {_MAX_COLOURS}"
                " colours"
            )
        self._has_palette = True

    def _enter_data(self) -> None:
        if self._has_data and self._last != b"IDAT":
            raise CorruptPngError("the PNG's IDAT chunks are not consecutive")
        if self._colour_type == _INDEXED and not self._has_palette:
            raise CorruptPngError(
                f"the PNG has colour type {_INDEXED} and no PLTE chunk before its IDAT chunks"
            )
        self._has_data = True


def _require_length(kind: bytes, length: int, required: int) -> None:
    if length != required:
        raise CorruptPngError(f"the PNG's {kind.decode()} chunk has {length} bytes, not {required}")


def _is_zlib(method: int, flags: int) -> bool:
    """
    Whether these are the first bytes of what PNG allows: deflate with a window of at most 32 KiB,
    and no preset dictionary.
    """
    is_sound = (method << 8 | flags) % 31 == 0
    return is_sound and method & 0x0F == 8 and method >> 4 <= 7 and not flags & 0x20
