"""
The smallest files that are images by their first bytes.
"""

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels of a page"
JPEG = b"\xff\xd8\xff\xe0" + b"pixels of a photograph"
TIFF = b"II*\0" + b"pixels of a scan"
BIG_ENDIAN_TIFF = b"MM\0*" + b"pixels of a scan"
GIF = b"GIF89a" + b"pixels of a drawing"
BMP = b"BM" + bytes(12) + (40).to_bytes(4, "little") + bytes(36)


def write(path, content=PNG):
    """
    Write *content* at *path*, whose folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
