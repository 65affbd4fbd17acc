"""
Image filters of the stand-in.
"""

import io
import struct
import zlib

import pytest
from PIL import Image

from batchfetch.sandbox.filters import Filter, apply_filter


def picture(mode="RGB", file_format="PNG"):
    """
    Return a file of a 60 by 40 image, dark grey on the left and light on the right.
    """
    image = Image.new("L", (60, 40), 60)
    image.paste(200, (30, 0, 60, 40))
    packed = io.BytesIO()
    image.convert(mode).save(packed, file_format)
    return packed.getvalue()


def filtered(kind, image):
    """
    Return the decoded result, which must be a PNG.
    """
    result = Image.open(io.BytesIO(apply_filter(kind, image, with_pillow=True)))
    assert result.format == "PNG"
    result.load()
    return result


def test_binarized_images_are_black_and_white():
    """
    Binarization leaves one bit per pixel: dark becomes black, light becomes white.
    """
    result = filtered(Filter.BINARIZE, picture())
    assert (result.mode, result.getpixel((10, 10)), result.getpixel((50, 10))) == ("1", 0, 255)


def test_upscaled_images_are_twice_as_large():
    """
    Upsampling doubles width and height.
    """
    assert filtered(Filter.UPSCALE, picture()).size == (120, 80)


def test_deskewed_images_are_turned_a_little():
    """
    A rotated image is slightly larger and white in the corners.
    """
    result = filtered(Filter.DESKEW, picture())
    assert 60 < result.width < 70
    assert 40 < result.height < 50
    assert result.getpixel((0, 0)) == (255, 255, 255)


def test_dewarped_images_keep_their_pixels():
    """
    Dewarping a flat page changes nothing.
    """
    result = filtered(Filter.DEWARP, picture())
    assert result.tobytes() == Image.open(io.BytesIO(picture())).tobytes()


@pytest.mark.parametrize("kind", Filter)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_kind_of_png_is_accepted(kind, mode):
    """
    Every filter accepts every pixel format.
    """
    assert filtered(kind, picture(mode)).width >= 60


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "BMP", "GIF"])
def test_other_formats_are_accepted(file_format):
    """
    A file of another format is returned as a PNG.
    """
    assert filtered(Filter.DEWARP, picture(file_format=file_format)).size == (60, 40)


def test_transparency_is_white():
    """
    Transparent pixels become white.
    """
    packed = io.BytesIO()
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(packed, "PNG")
    assert filtered(Filter.DEWARP, packed.getvalue()).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    "image",
    [b"", b"hello", picture()[:60], picture()[:-40], picture(file_format="JPEG")[:100]],
)
def test_a_damaged_image_is_refused_with_a_message(image):
    """
    A file that cannot be read gives a message for the submitter.
    """
    with pytest.raises(ValueError, match=r"^The image cannot be read: .*\.$"):
        apply_filter(Filter.DEWARP, image, with_pillow=True)


def test_a_huge_image_is_refused():
    """
    A small file that would decode to very many pixels is refused before it is decoded.
    """
    packed = io.BytesIO()
    Image.new("1", (8000, 8000)).save(packed, "PNG")
    with pytest.raises(ValueError, match="more than 50000000 pixels"):
        apply_filter(Filter.UPSCALE, packed.getvalue(), with_pillow=True)


def test_an_absurd_image_is_refused():
    """
    A header that announces billions of pixels is refused by Pillow's own limit.
    """
    header = struct.pack(">4sIIBBBBB", b"IHDR", 100_000, 100_000, 8, 0, 0, 0, 0)
    image = picture()[:12] + header + struct.pack(">I", zlib.crc32(header)) + picture()[33:]
    with pytest.raises(ValueError, match="too many pixels"):
        apply_filter(Filter.UPSCALE, image, with_pillow=True)


def test_without_pillow_a_png_is_left_alone():
    """
    A PNG is returned byte for byte if filters cannot be applied.
    """
    assert apply_filter(Filter.BINARIZE, picture(), with_pillow=False) == picture()


def test_without_pillow_other_formats_are_refused():
    """
    The message names the package to install.
    """
    with pytest.raises(ValueError, match=r"install batchfetch\[filters\]"):
        apply_filter(Filter.BINARIZE, picture(file_format="JPEG"), with_pillow=False)
