"""
Tests of `decoding.chunks`, the rules for the critical chunks of a PNG.
"""

import itertools
import struct
import zlib

import pytest
from bodies import splits
from pngs import IDAT, IEND, PLTE, SIGNATURE, TEXT, chunk, ihdr

from batchfetch.decoding.chunks import ChunkRules
from batchfetch.decoding.png import PngChecker
from batchfetch.errors import CorruptPngError

PALETTED = ihdr(colour=3)
IMAGE = zlib.compress(b"\0ab\0cd")

# Table 11.1 of the standard.
ALLOWED = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}


def check(pieces):
    """
    Validate the PNG in *pieces*.
    """
    checker = PngChecker()
    for piece in pieces:
        checker.feed(piece)
    checker.flush()


def data(*sizes, image=IMAGE):
    """
    Return *image* in IDAT chunks of these sizes, and one with what is left.
    """
    ends = [*itertools.accumulate(sizes), len(image)]
    return b"".join(
        chunk(b"IDAT", image[start:end]) for start, end in itertools.pairwise([0, *ends])
    )


def test_knows_every_pixel_format():
    """
    Of all 65 536 colour types and bit depths those that the standard lists are accepted.
    """
    for colour, depth in itertools.product(range(256), repeat=2):
        rules = ChunkRules()
        header = struct.pack(">IIBBBBB", 1, 1, depth, colour, 0, 0, 0)
        if depth in ALLOWED.get(colour, ()):
            rules.read_header(header)
        else:
            with pytest.raises(CorruptPngError, match=f"bit depth {depth} and colour .* {colour}:"):
                rules.read_header(header)


def test_knows_every_zlib_header():
    """
    Of all two-byte beginnings those that zlib takes are accepted, but for preset dictionaries.
    """
    for start in map(bytes, itertools.product(range(256), repeat=2)):
        rules = ChunkRules()
        try:
            zlib.decompressobj().decompress(start)
            is_header = not start[1] & 0x20
        except zlib.error:
            is_header = False
        if is_header:
            rules.read_zlib_header(start)
        else:
            with pytest.raises(CorruptPngError, match=f"begins with {start.hex(' ')}: not a zlib"):
                rules.read_zlib_header(start)


@pytest.mark.parametrize(
    "chunks",
    [
        [ihdr(width=2**31 - 1, height=2**31 - 1), IDAT],
        [ihdr(interlace=1), IDAT],
        [PALETTED, PLTE, IDAT],
        [PALETTED, TEXT, PLTE, TEXT, IDAT],
        [ihdr(colour=2), PLTE, IDAT],
        [ihdr(colour=6), PLTE, IDAT],
        [PALETTED, chunk(b"PLTE", bytes(3)), IDAT],
        [PALETTED, chunk(b"PLTE", bytes(768)), IDAT],
        [ihdr(colour=3, depth=1), chunk(b"PLTE", bytes(768)), IDAT],
        [ihdr(), data(0, 1, 0, 1, 0)],
        [ihdr(), data(1), chunk(b"IDAT"), TEXT],
        [ihdr(), *(chunk(kind, b"\0") for kind in (b"tRNS", b"abCd", b"abcd")), IDAT],
        [ihdr(), chunk(b"acTL", bytes(8)), IDAT, chunk(b"fdAT", b"abcd")],
    ],
)
def test_accepts_what_the_standard_allows(chunks):
    """
    Palettes, divided image data and unknown ancillary chunks are accepted, in any division.
    """
    for pieces in splits(SIGNATURE + b"".join(chunks) + IEND):
        check(pieces)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([ihdr(width=0), IDAT], "0 x 2: no pixels"),
        ([ihdr(height=0), IDAT], "2 x 0: no pixels"),
        ([ihdr(width=2**31), IDAT], "2147483648 x 2: too large"),
        ([ihdr(height=2**32 - 1), IDAT], "2 x 4294967295: too large"),
        ([chunk(b"IHDR", b"12 bytes....")], "IHDR chunk has 12 bytes, not 13"),
        ([chunk(b"IHDR", b"14 bytes......")], "IHDR chunk has 14 bytes, not 13"),
        ([ihdr(depth=16, colour=3), PLTE, IDAT], "bit depth 16 and colour type 3"),
        ([ihdr(compression=1), IDAT], "compression 1, filter 0 and interlace 0"),
        ([ihdr(filtering=1), IDAT], "compression 0, filter 1 and interlace 0"),
        ([ihdr(filtering=64), IDAT], "filter 64"),
        ([ihdr(interlace=2), IDAT], "interlace 2"),
        ([ihdr(interlace=7), IDAT], "interlace 7"),
        ([PALETTED, IDAT], "colour type 3 and no PLTE"),
        ([PALETTED, IDAT, PLTE], "colour type 3 and no PLTE"),
        ([PALETTED, PLTE, PLTE, IDAT], "PLTE chunk after another"),
        ([ihdr(colour=2), IDAT, PLTE], "after its IDAT chunks"),
        ([PALETTED, chunk(b"PLTE"), IDAT], "PLTE chunk has 0 bytes"),
        ([PALETTED, chunk(b"PLTE", bytes(4)), IDAT], "PLTE chunk has 4 bytes"),
        ([ihdr(colour=2), chunk(b"PLTE", bytes(771)), IDAT], "PLTE chunk has 771 bytes"),
        ([ihdr(), PLTE, IDAT], "PLTE chunk, which colour type 0"),
        ([ihdr(colour=4), PLTE, IDAT], "PLTE chunk, which colour type 4"),
        ([ihdr()], "no image data"),
        ([ihdr(), chunk(b"IDAT")], "no image data"),
        ([ihdr(), chunk(b"IDAT"), chunk(b"IDAT")], "no image data"),
        ([ihdr(), chunk(b"IDAT", b"\x78")], "no image data"),
        ([ihdr(), data(image=b"\x79\x9c\x63")], "begins with 79 9c"),
        ([ihdr(), data(1, image=b"\x78\x9d\x63")], "begins with 78 9d"),
        ([ihdr(), data(0, 1, 0, image=bytes(9))], "begins with 00 00"),
        ([ihdr(), data(image=b"\x78\xbb")], "begins with 78 bb"),
        ([ihdr(), data(image=b"\x1f\x8b\x08\0")], "begins with 1f 8b"),
        ([ihdr(), IDAT, TEXT, IDAT], "not consecutive"),
        ([ihdr(), chunk(b"IDAT"), TEXT, IDAT], "not consecutive"),
        ([ihdr(), IDAT, chunk(b"IEND", b"x")], "IEND chunk has 1 bytes, not 0"),
        ([ihdr(), chunk(b"FRAC"), IDAT], "a chunk FRAC, which is critical"),
        ([ihdr(), chunk(b"IDaT"), IDAT], "a chunk IDaT, which is critical"),
        ([ihdr(), IDAT, chunk(b"Iend")], "a chunk Iend, which is critical"),
        ([chunk(b"CgBI", bytes(4)), ihdr(), IDAT], "first chunk must be IHDR"),
    ],
)
def test_names_the_rule_that_is_broken(chunks, message):
    """
    A PNG that breaks a rule is refused in any division, with a message that names what is wrong.
    """
    for pieces in splits(SIGNATURE + b"".join(chunks) + IEND):
        with pytest.raises(CorruptPngError, match=message):
            check(pieces)
