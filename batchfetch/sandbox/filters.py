"""
Image filters of the stand-in, applied with Pillow if it is installed.

Without Pillow, or with filters switched off, a PNG is returned unchanged and any other format is
refused.
"""

import importlib.util
import io
import struct
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_SKEW = 1.5
_MAX_PIXELS = 50_000_000


class Filter(StrEnum):
    """
    The service's four filters, by the short names of their endpoints.
    """

    DESKEW = "deskew"
    DEWARP = "dewarp"
    UPSCALE = "upscale"
    BINARIZE = "binarize"


def apply_filter(kind: Filter, image: bytes, *, with_pillow: bool) -> bytes:
    """
    Return *image*, a file of any format that Pillow reads, as a filtered PNG.

    Raises `ValueError` with a message for the submitter if the image cannot be processed.
    """
    if with_pillow and importlib.util.find_spec("PIL"):
        return _filtered(kind, image)
    if image.startswith(_PNG):
        return image
    raise ValueError("Only PNG images are accepted; install batchfetch[filters] for other formats.")


def _filtered(kind: Filter, image: bytes) -> bytes:
    from PIL import Image  # noqa: PLC0415 - an extra, needed only here

    try:
        with Image.open(io.BytesIO(image)) as opened:
            result = _apply(kind, _flattened(opened))
    # The exceptions that Pillow's readers raise for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as exc:
        raise ValueError(f"The image cannot be read: {exc}.") from exc
    except Image.DecompressionBombError as exc:
        raise ValueError("The image has too many pixels.") from exc
    packed = io.BytesIO()
    result.save(packed, "PNG")
    return packed.getvalue()


def _flattened(image: "Image.Image") -> "Image.Image":
    """
    Return *image* as grey or RGB, with a white background if it has transparency.

    Raises `ValueError` if it has too many pixels.
    """
    if image.width * image.height > _MAX_PIXELS:
        raise ValueError(f"it has more than {_MAX_PIXELS} pixels")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        sheet = image.copy()
        sheet.paste("white", (0, 0, *image.size))
        sheet.alpha_composite(image)
        return sheet.convert("RGB")
    return image.convert("L" if image.mode in {"1", "L"} else "RGB")


def _apply(kind: Filter, image: "Image.Image") -> "Image.Image":
    from PIL import Image  # noqa: PLC0415 - as above

    match kind:
        case Filter.DESKEW:
            return image.rotate(_SKEW, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
        case Filter.UPSCALE:
            size = (2 * image.width, 2 * image.height)
            return image.resize(size, Image.Resampling.LANCZOS)
        case Filter.BINARIZE:
            return image.convert("L").convert("1", dither=Image.Dither.NONE)
        case Filter.DEWARP:
            return image
