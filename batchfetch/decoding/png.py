"""
Validate a PNG stream: signature, header, chunk order and CRCs.

Source: PNG Specification (Third Edition), sections 5.2 to 5.6, 7.1 and 11.2.
"""

import struct
from collections.abc import Callable

from batchfetch.errors import CorruptPngError, NotPngError

try:  # Optional: faster, and it releases the GIL only briefly per chunk.
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_NUMBER = 2**31 - 1  # Limit of every integer in a PNG: section 7.1.

_HEADER = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_IHDR = struct.Struct(">II5x")
_CRC_OF_IHDR = crc32(b"IHDR")
_START = SIGNATURE + _HEADER.pack(_IHDR.size, b"IHDR")

_Reader = Callable[["PngChecker", memoryview, int], int]


class PngChecker:
    """
    Validates a PNG, fed in pieces of any size, without decoding its pixels.

    A PNG is valid if it has the signature, IHDR as the first chunk with dimensions above zero,
    consecutive IDAT chunks, an empty IEND as the last chunk with no data after it, and the correct
    CRC in every chunk.
    """

    def __init__(self) -> None:
        # The state of the parser: the method that reads the next bytes.
        self._read: _Reader = PngChecker._read_signature
        # The start of a field of fixed size that continues in the next piece.
        self._cut = b""
        self._left = 0  # Bytes of the chunk's type and data, which its CRC covers, not read yet.
        self._crc = 0
        self._type = b""
        self._chunks = 0
        self._has_data = False

    def feed(self, data: bytes | memoryview) -> None:
        """
        Validate the next bytes.

        Raises `NotPngError` or `CorruptPngError`.
        """
        if self._cut:
            data, self._cut = self._cut + data, b""
        view = memoryview(data)
        size = len(view)
        pos = 0
        while pos < size:
            pos = self._read(self, view, pos)

    def flush(self) -> None:
        """
        Declare the end of the image.

        Raises `NotPngError` or `CorruptPngError` if the image is incomplete.
        """
        if self._read is PngChecker._read_signature:
            raise NotPngError("the image is shorter than the PNG signature")
        if self._read is not PngChecker._read_past_end:
            raise CorruptPngError(f"the PNG ends before its IEND chunk, after {self._where()}")

    def _read_signature(self, view: memoryview, pos: int) -> int:
        if view[pos : pos + len(_START)] == _START:  # Fast path: every valid PNG starts like this.
            self._chunks, self._type = 1, b"IHDR"
            return self._read_ihdr(view, pos + len(_START))
        end = pos + len(SIGNATURE)
        if end > len(view):
            return self._wait(PngChecker._read_signature, view, pos)
        if view[pos:end] != SIGNATURE:
            raise NotPngError("the image does not begin with the PNG signature")
        return self._read_chunk(view, end)

    def _read_chunk(self, view: memoryview, pos: int) -> int:
        data = pos + _HEADER.size
        if data > len(view):
            return self._wait(PngChecker._read_chunk, view, pos)
        length, kind = _HEADER.unpack_from(view, pos)
        self._enter(kind, length)
        if kind == b"IHDR":
            return self._read_ihdr(view, data)
        self._crc, self._left = 0, len(kind) + length
        return self._read_covered(view, data - len(kind))

    def _enter(self, kind: bytes, length: int) -> None:
        if not kind.isalpha() or length > _MAX_NUMBER:
            raise CorruptPngError(f"the data after {self._where()} in the PNG is not a chunk")
        if (kind == b"IHDR") != (self._chunks == 0):
            raise CorruptPngError("the PNG's first chunk must be IHDR, and no other chunk may be")
        if kind == b"IDAT":
            if self._has_data and self._type != b"IDAT":
                raise CorruptPngError("the PNG's IDAT chunks are not consecutive")
            self._has_data = True
        elif kind == b"IEND":
            if length or not self._has_data:
                raise CorruptPngError(
                    "the PNG's IEND chunk is not empty, or no IDAT came before it"
                )
        elif kind == b"IHDR" and length != _IHDR.size:
            raise CorruptPngError(f"the PNG's IHDR chunk has {length} bytes, not {_IHDR.size}")
        self._chunks += 1
        self._type = kind

    def _read_ihdr(self, view: memoryview, pos: int) -> int:
        end = pos + _IHDR.size
        if end > len(view):
            return self._wait(PngChecker._read_ihdr, view, pos)
        width, height = _IHDR.unpack_from(view, pos)
        if not width or not height:
            raise CorruptPngError(f"the PNG's IHDR chunk gives {width} x {height}: no pixels")
        if width > _MAX_NUMBER or height > _MAX_NUMBER:
            raise CorruptPngError(f"the PNG's IHDR chunk gives {width} x {height}: too large")
        self._crc = crc32(view[pos:end], _CRC_OF_IHDR)
        return self._read_crc(view, end)

    def _read_covered(self, view: memoryview, pos: int) -> int:
        end = pos + self._left
        self._crc = crc32(view[pos:end], self._crc)
        if end > len(view):
            self._read, self._left = PngChecker._read_covered, end - len(view)
            return len(view)
        return self._read_crc(view, end)

    def _read_crc(self, view: memoryview, pos: int) -> int:
        end = pos + _CRC.size
        if end > len(view):
            return self._wait(PngChecker._read_crc, view, pos)
        if _CRC.unpack_from(view, pos)[0] != self._crc:
            raise CorruptPngError(f"the CRC of {self._where()} in the PNG is wrong")
        last = self._type == b"IEND"
        self._read = PngChecker._read_past_end if last else PngChecker._read_chunk
        return end

    def _read_past_end(self, _view: memoryview, _pos: int) -> int:
        raise CorruptPngError("there is data after the PNG's IEND chunk")

    def _wait(self, read: _Reader, view: memoryview, pos: int) -> int:
        self._read = read
        self._cut = bytes(view[pos:])
        return len(view)

    def _where(self) -> str:
        if not self._chunks:
            return "the signature"
        return f"chunk {self._chunks} ({self._type.decode()})"
