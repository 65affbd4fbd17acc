"""
Image decoder: decode base64, validate the PNG, limit its size and compute its hash.
"""

import hashlib

from batchfetch.decoding.base64 import Base64Decoder
from batchfetch.decoding.png import PngChecker
from batchfetch.errors import TooLargeError
from batchfetch.models import Image
from batchfetch.settings import Checksum


class ImageDecoder:
    """
    Decodes the image data of a response, piece by piece, into the bytes of a PNG.

    *encoded* says whether the pieces are base64 or the bytes of the PNG; *max_bytes* limits the
    size of the image.  Large pieces are processed almost entirely without the GIL, so `decode` may
    be called in a worker thread; calls must not overlap.
    """

    def __init__(self, *, encoded: bool, checksum: Checksum, max_bytes: int) -> None:
        self._base64 = Base64Decoder() if encoded else None
        self._png = PngChecker()
        self._sha256 = hashlib.sha256() if checksum is Checksum.SHA256 else None
        self._max_bytes = max_bytes
        self._size = 0

    def decode(self, text: bytes | memoryview) -> bytes:
        """
        Return the next bytes of the image.

        Raises `MalformedBase64Error`, `NotPngError`, `CorruptPngError` or `TooLargeError`.
        """
        data = self._base64.decode(text) if self._base64 else bytes(text)
        self._size += len(data)
        if self._size > self._max_bytes:
            raise TooLargeError(
                f"the image has more than {self._max_bytes} bytes; the limit is max_image_bytes"
            )
        self._png.feed(data)
        if self._sha256:
            self._sha256.update(data)
        return data

    def flush(self) -> Image:
        """
        Declare the end of the image and return its size and hash.

        Raises `MalformedBase64Error`, `NotPngError` or `CorruptPngError`.
        """
        if self._base64:
            self._base64.flush()
        self._png.flush()
        return Image(self._size, self._sha256.hexdigest() if self._sha256 else None)
