"""
Validate a PNG stream: signature, chunks and their CRCs.

Source: PNG Specification (Third Edition), sections 5.2, 5.3 and 5.5.
"""

import struct
from collections.abc import Callable

from batchfetch.decoding.chunks import HEADER_SIZE, MAX_NUMBER, ChunkRules
from batchfetch.errors import CorruptPngError, NotPngError

try:  # Optional: faster, and it releases the GIL only briefly per chunk.
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_HEADER = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_CRC_OF_IHDR = crc32(b"IHDR")
_CRC_OF_IDAT = crc32(b"IDAT")
_START = SIGNATURE + _HEADER.pack(HEADER_SIZE, b"IHDR")

_Reader = Callable[["PngChecker", memoryview, int], int]


class PngChecker:
    """
    Validates a PNG, fed in pieces of any size, without decoding its pixels.

    A PNG is valid if it has the signature; IHDR as the first chunk, with values that the standard
    allows together; PLTE before the image data where the colour type needs one, and none where it
    must not have one; consecutive IDAT chunks, whose data begins with the header of a zlib stream;
    an empty IEND as the last chunk, with nothing after it; no other critical chunk; and the correct
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
        self._rules = ChunkRules()

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
            self._enter(b"IHDR", HEADER_SIZE)
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
        if kind == b"IDAT":
            self._crc, self._left = _CRC_OF_IDAT, length
            return self._read_image_data(view, data)
        self._crc, self._left = 0, len(kind) + length
        return self._read_covered(view, data - len(kind))

    def _enter(self, kind: bytes, length: int) -> None:
        if not kind.isalpha() or length > MAX_NUMBER:
            raise CorruptPngError(f"the data after {self._where()} in the PNG is not a chunk")
        self._rules.enter(kind, length)
        self._chunks += 1
        self._type = kind

    def _read_ihdr(self, view: memoryview, pos: int) -> int:
        crc = pos + HEADER_SIZE
        if crc + _CRC.size > len(view):
            return self._wait(PngChecker._read_ihdr, view, pos)
        # The CRC is checked first: damage on the way is not reported as an odd image.
        self._crc = crc32(view[pos:crc], _CRC_OF_IHDR)
        end = self._read_crc(view, crc)
        self._rules.read_header(view[pos:crc])
        return end

    def _read_image_data(self, view: memoryview, pos: int) -> int:
        if missing := self._rules.zlib_bytes_missing:
            end = pos + min(missing, self._left)
            if end > len(view):
                return self._wait(PngChecker._read_image_data, view, pos)
            self._rules.read_zlib_header(view[pos:end])
        return self._read_covered(view, pos)

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
