"""
The PNG validator beside Pillow, on sound files and on damaged copies of them.

Where the two differ is listed here, with the reason; on everything else they must agree.
"""

import io
import re
import warnings
from enum import Enum, auto

import pytest
from damage import damaged
from PIL import Image, PngImagePlugin
from pngs import SIGNATURE, is_sound
from pngsuite import SOUND

from batchfetch.decoding import PngChecker
from batchfetch.errors import DecodeError


class Verdict(Enum):
    """
    How far Pillow gets with a file.
    """

    NO_STRUCTURE = auto()
    """It refuses the chunks."""

    NO_PIXELS = auto()
    """It takes the chunks and refuses the image data."""

    SOUND = auto()


# What Pillow reads and is no PNG by the standard.
ONLY_PILLOW_ACCEPTS = {
    "Pillow reads no further than the type of IEND": [
        ("bytes after the end", "basn0g01"),
        ("second image after the end", "basn0g01"),
        ("IEND twice", "basn0g01"),
        (r"(ends inside|length of|CRC of) IEND", "basn0g01"),
        (r"\w{4} last", "tbbn0g04"),
    ],
    "Pillow takes IHDR wherever it comes, and as often, in any length": [
        (r"\w{4} (first|twice)", "tbbn0g04"),
        (r"(ancillary|critical) chunk before IHDR", "basn0g01"),
        ("length of IHDR, CRC sound", "basn0g01"),
    ],
    "Pillow leaves out what it does not know, and what comes between IDAT chunks": [
        (r"(critical chunk|no chunk type) before \w{4}", "basn0g01"),
        ("ancillary chunk before IDAT", "oi4n2c16"),
        ("text inside IDAT", "oi4n2c16"),
        (r"IDAT (first|last)", "oi4n2c16"),
    ],
    "Pillow takes every number for the only compression, and for either interlacing": [
        (r"(compression|interlace) in IHDR", "basn0g01"),
    ],
    "Pillow paints in grey what has no palette, and takes a palette of any length anywhere": [
        ("without PLTE", "basn3p01"),
        ("colour type in IHDR", "basn0g01"),
        (r"PLTE (first|last|twice|of .*)", "basn3p01"),
    ],
}

# What only decompressing the image data can tell, which batchfetch does not do.
ONLY_PILLOW_REFUSES_PIXELS = {
    "the header is allowed, and the image data is that of another one": [
        (r"(depth|colour type) in IHDR", "basn0g08"),
    ],
    "every chunk is sound, and one of several IDAT chunks is missing, or is there twice": [
        (r"without IDAT|IDAT twice", "oi4n2c16"),
    ],
    "the image data begins as a zlib stream, and does not go on as one": [
        ("zlib header alone", "basn0g01"),
        (r"pixels.*", "basn0g01"),
    ],
}

# Only ancillary chunks, which decoders may leave out.
ONLY_PILLOW_REFUSES_CHUNKS = {
    "an ancillary chunk has a sound CRC and data that is too short": [
        (r"[a-z]\w{3} cut or extended", "tbbn0g04"),
    ],
    "the data of tRNS does not fit the colour type": [
        ("colour type in IHDR", "tbbn3p08"),
    ],
}


def explains(differences, kind):
    """
    Whether this kind of damage is among the *differences*.
    """
    rows = [row for rows in differences.values() for row in rows]
    return any(re.fullmatch(pattern, kind) for pattern, _ in rows)


def examples(differences):
    """
    Return each pattern of *differences* with the name of a file that shows it.
    """
    return [row for rows in differences.values() for row in rows]


def by_pillow(image):
    """
    Return how far Pillow gets with *image*; a warning counts as an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with Image.open(io.BytesIO(image), formats=["PNG"]) as opened:
                opened.verify()
        except Exception:  # noqa: BLE001 - Pillow has no class for what a damaged file raises
            return Verdict.NO_STRUCTURE
        try:
            with Image.open(io.BytesIO(image), formats=["PNG"]) as opened:
                opened.load()
        except Exception:  # noqa: BLE001 - see above
            return Verdict.NO_PIXELS
    return Verdict.SOUND


def is_accepted(image):
    """
    Whether the validator accepts *image*.
    """
    checker = PngChecker()
    try:
        checker.feed(image)
        checker.flush()
    except DecodeError:
        return False
    return True


LISTS = {
    Verdict.SOUND: ONLY_PILLOW_ACCEPTS,
    Verdict.NO_PIXELS: ONLY_PILLOW_REFUSES_PIXELS,
    Verdict.NO_STRUCTURE: ONLY_PILLOW_REFUSES_CHUNKS,
}


@pytest.mark.parametrize("name", SOUND)
def test_damaged_files(name):
    """
    A damaged file is judged as Pillow judges it, but for the differences that are listed.
    """
    assert by_pillow(SOUND[name]) is Verdict.SOUND
    copies = [(kind, copy) for kind, copy in damaged(SOUND[name]) if copy != SOUND[name]]
    assert len(copies) > 100
    for kind, copy in copies:
        verdict, accepted = by_pillow(copy), is_accepted(copy)
        assert accepted is is_sound(copy), kind
        if accepted is not (verdict is Verdict.SOUND):
            assert explains(LISTS[verdict], kind), f"{kind}: {verdict}, accepted: {accepted}"


@pytest.mark.parametrize(
    ("pattern", "name", "verdict"),
    [(*row, verdict) for verdict, differences in LISTS.items() for row in examples(differences)],
)
def test_the_listed_differences_exist(pattern, name, verdict):
    """
    Each difference that is listed is one.
    """
    copies = [copy for kind, copy in damaged(SOUND[name]) if re.fullmatch(pattern, kind)]
    accepted = verdict is not Verdict.SOUND
    assert any(by_pillow(copy) is verdict and is_accepted(copy) is accepted for copy in copies)


def written_by_pillow():
    """
    Return PNGs of every mode, with every option that Pillow can write.
    """
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "page", zip=True)
    text.add_itxt("Title", "Seite ü", "de", zip=True)
    text.add(b"prIv", b"\0\1")
    options = [
        *({"compress_level": level} for level in range(10)),
        *({"compress_type": kind} for kind in range(5)),
        *({"optimize": True}, {"dpi": (300, 300)}, {"icc_profile": b"not one"}),
        *({"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, {"pnginfo": text}),
        {"save_all": True, "append_images": [Image.new("L", (31, 17), 9)]},
    ]
    modes = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
    cases = [(mode, option) for mode in modes for option in options]
    cases += [("P", {"bits": bits}) for bits in (1, 2, 4, 8)]
    cases += [(mode, {"transparency": 0}) for mode in ("1", "L", "P")]
    cases += [("RGB", {"transparency": (0, 0, 0)})]
    for mode, option in cases:
        file = io.BytesIO()
        Image.linear_gradient("L").resize((31, 17)).convert(mode).save(file, "PNG", **option)
        yield file.getvalue()


def test_what_pillow_writes():
    """
    Every file that Pillow writes is accepted, whatever the mode, palette, metadata or frames.
    """
    images = list(written_by_pillow())
    assert all(image.startswith(SIGNATURE) for image in images)
    assert [is_accepted(image) for image in images] == [True] * 155
