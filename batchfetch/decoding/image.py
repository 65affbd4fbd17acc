"""
The image's text in pieces → its bytes, checked, measured and hashed.
"""

import hashlib

from batchfetch.decoding.base64 import Base64Decoder
from batchfetch.decoding.png import PngChecker
from batchfetch.errors import TooLargeError
from batchfetch.models import Image
from batchfetch.settings import Checksum


class ImageDecoder:
    """
    Turn what an answer holds of an image, piece by piece, into the image's bytes.

    *encoded* says whether the pieces are base64 or already the PNG itself; *max_bytes* bounds the
    image.  For large pieces nearly all the time is spent without the GIL, so `decode` is best
    called in a worker thread; calls must not overlap.
    """

    def __init__(self, *, encoded: bool, checksum: Checksum, max_bytes: int) -> None:
        self._base64 = Base64Decoder() if encoded else None
        self._png = PngChecker()
        self._sha256 = hashlib.sha256() if checksum is Checksum.SHA256 else None
        self._max_bytes = max_bytes
        self._size = 0

    def decode(self, text: bytes | memoryview) -> bytes:
        """
        Return the image's next bytes.

        Raises `MalformedBase64Error`, `NotPngError`, `CorruptPngError` or `TooLargeError`.
        """
        data = self._base64.decode(text) if self._base64 else bytes(text)
        self._size += len(data)
        if self._size > self._max_bytes:
            raise TooLargeError(f"the image has more than {self._max_bytes} bytes")
        self._png.feed(data)
        if self._sha256:
            self._sha256.update(data)
        return data

    def flush(self) -> Image:
        """
        Declare the end of the image and return its measures.

        Raises `MalformedBase64Error`, `NotPngError` or `CorruptPngError`.
        """
        if self._base64:
            self._base64.flush()
        self._png.flush()
        return Image(self._size, self._sha256.hexdigest() if self._sha256 else None)
