"""
Image bytes in pieces → sound, or why not.

Source of the layout: PNG Specification (Third Edition), sections 5.2 to 5.6, 7.1 and 11.2.
"""

import struct
from enum import Enum, auto
from zlib import crc32

from batchfetch.errors import CorruptPngError, NotPngError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_NUMBER = 2**31 - 1  # Of every integer in a PNG: section 7.1.

_HEADER = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_IHDR = struct.Struct(">II5x")


class _State(Enum):
    SIGNATURE = auto()
    HEADER = auto()
    IHDR = auto()
    DATA = auto()
    CRC = auto()
    END = auto()


_FIELD_SIZES = {
    _State.SIGNATURE: len(SIGNATURE),
    _State.HEADER: _HEADER.size,
    _State.IHDR: _IHDR.size,
    _State.CRC: _CRC.size,
}


class PngChecker:
    """
    Walk through a PNG, fed in pieces of any size, without decoding its pixels.

    Sound means: signature, IHDR first, its dimensions not zero, IDAT chunks in one run, IEND last
    with nothing behind it, and every chunk's CRC right.
    """

    def __init__(self) -> None:
        self._state = _State.SIGNATURE
        # The start of a field of fixed size, cut by the end of a piece.
        self._field = b""
        self._left = 0  # Bytes of the chunk's data still to come.
        self._crc = 0
        self._type = b""
        self._chunks = 0
        self._has_data = False

    def feed(self, data: bytes | memoryview) -> None:
        """
        Check the next bytes.

        Raises `NotPngError` or `CorruptPngError`.
        """
        view = memoryview(data)
        pos = 0
        while pos < len(view):
            if self._state is _State.DATA:
                piece = view[pos : pos + self._left]
                self._crc = crc32(piece, self._crc)
                self._left -= len(piece)
                if not self._left:
                    self._state = _State.CRC
                pos += len(piece)
            elif self._state is _State.END:
                raise CorruptPngError("something follows the PNG's IEND chunk")
            else:
                missing = _FIELD_SIZES[self._state] - len(self._field)
                piece = view[pos : pos + missing]
                self._field += piece
                if len(piece) == missing:
                    field, self._field = self._field, b""
                    self._read(field)
                pos += len(piece)

    def flush(self) -> None:
        """
        Declare the end of the image.

        Raises `NotPngError` or `CorruptPngError` if it came too early.
        """
        if self._state is _State.SIGNATURE:
            raise NotPngError("the image is too short for a PNG")
        if self._state is not _State.END:
            raise CorruptPngError(f"the PNG ends before its IEND chunk, after {self._where()}")

    def _read(self, field: bytes) -> None:
        match self._state:
            case _State.SIGNATURE:
                self._read_signature(field)
            case _State.HEADER:
                self._read_header(field)
            case _State.IHDR:
                self._read_ihdr(field)
            case _:  # Nothing else has a size of its own.
                self._read_crc(field)

    def _read_signature(self, field: bytes) -> None:
        if field != SIGNATURE:
            raise NotPngError("the image does not begin with the PNG signature")
        self._state = _State.HEADER

    def _read_header(self, field: bytes) -> None:
        length, kind = _HEADER.unpack(field)
        if not kind.isalpha() or length > _MAX_NUMBER:
            raise CorruptPngError(f"what follows {self._where()} in the PNG is no chunk")
        if (kind == b"IHDR") != (self._chunks == 0):
            raise CorruptPngError("the PNG's first chunk, and no other, must be IHDR")
        if kind == b"IHDR" and length != _IHDR.size:
            raise CorruptPngError(f"the PNG's IHDR chunk has {length} bytes, not {_IHDR.size}")
        if kind == b"IDAT" and self._has_data and self._type != b"IDAT":
            raise CorruptPngError("the PNG's IDAT chunks are not in one run")
        if kind == b"IEND" and (length or not self._has_data):
            raise CorruptPngError("the PNG's IEND chunk is not empty, or no IDAT came before it")
        self._has_data |= kind == b"IDAT"
        self._chunks += 1
        self._type = kind
        self._left = length
        self._crc = crc32(kind)
        if kind == b"IHDR":
            self._state = _State.IHDR
        else:
            self._state = _State.DATA if length else _State.CRC

    def _read_ihdr(self, field: bytes) -> None:
        size = _IHDR.unpack(field)
        if min(size) == 0:
            raise CorruptPngError("the PNG's IHDR chunk says it has no pixels")
        if max(size) > _MAX_NUMBER:
            raise CorruptPngError("the PNG's IHDR chunk says it is too large for a PNG")
        self._crc = crc32(field, self._crc)
        self._state = _State.CRC

    def _read_crc(self, field: bytes) -> None:
        if _CRC.unpack(field) != (self._crc,):
            raise CorruptPngError(f"the CRC of {self._where()} in the PNG is wrong")
        self._state = _State.END if self._type == b"IEND" else _State.HEADER

    def _where(self) -> str:
        if not self._chunks:
            return "the signature"
        return f"chunk {self._chunks} ({self._type.decode()})"
