"""
Image formats by the first bytes of a file; no file is opened here.

These are the formats that the vendor's pages name for images.
"""

START = 64
"""Bytes of a file's beginning that tell its format."""

FORMATS = "PNG, JPEG, TIFF, BMP or GIF"
"""The formats, for a message."""

_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"GIF87a",
    b"GIF89a",
)

# Two letters are little, so the length of the header that follows is looked at, too.
_BITMAP = b"BM"
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_AT_HEADER = 14


def is_image(start: bytes) -> bool:
    """
    Whether a file that begins with *start*, its first `START` bytes, is an image.
    """
    if start.startswith(_SIGNATURES):
        return True
    length = start[_AT_HEADER : _AT_HEADER + 4]
    return start.startswith(_BITMAP) and int.from_bytes(length, "little") in _BITMAP_HEADERS
