"""
`decoding.png`: image bytes in pieces → sound, or why not.
"""

import io
import struct
import subprocess
import sys
import zlib

import pytest
from bodies import cut, cuts, splits
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pngs import IDAT, IEND, SIGNATURE, SMALL, TEXT, chunk, ihdr, is_sound

from batchfetch.decoding.png import PngChecker
from batchfetch.errors import CorruptPngError, NotPngError


def check(pieces):
    """
    Walk through *pieces* to the end.
    """
    checker = PngChecker()
    for piece in pieces:
        checker.feed(piece)
    checker.flush()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"dpi": (300, 300)}])
def test_accepts_what_pillow_writes(mode, options):
    """
    Images of every kind pass.
    """
    file = io.BytesIO()
    Image.new(mode, (300, 200)).save(file, "PNG", **options)
    check([file.getvalue()])


def test_does_not_care_where_it_is_cut():
    """
    Any division of a sound image passes.
    """
    for pieces in splits(SIGNATURE + ihdr() + TEXT + IDAT + IDAT + TEXT + IEND):
        check(pieces)


def test_refuses_every_flipped_bit():
    """
    No single wrong bit goes unseen.
    """
    for position in range(len(SMALL) * 8):
        image = bytearray(SMALL)
        image[position // 8] ^= 1 << position % 8
        with pytest.raises((NotPngError, CorruptPngError)):
            check([bytes(image)])


@pytest.mark.parametrize(("missing", "module"), [("nothing", "isal.isal_zlib"), ("isal", "zlib")])
def test_checks_with_what_is_installed(missing, module, tmp_path):
    """
    The faster library is used if it is there, and nothing depends on it.
    """
    program = """if True:
        import sys
        from pathlib import Path
        sys.modules[sys.argv[1]] = None
        from batchfetch.decoding import png
        print(png.crc32.__module__)
        for file in map(Path, sys.argv[2:]):
            checker = png.PngChecker()
            try:
                checker.feed(file.read_bytes())
                checker.flush()
                print("sound")
            except png.CorruptPngError as exc:
                print(exc)
    """
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    sound.write_bytes(SMALL)
    broken.write_bytes(SMALL[:-20] + bytes([SMALL[-20] ^ 1]) + SMALL[-19:])
    done = subprocess.run(
        [sys.executable, "-c", program, missing, sound, broken],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        module,
        "sound",
        "the CRC of chunk 2 (IDAT) in the PNG is wrong",
    ]


def test_refuses_every_proper_prefix():
    """
    An image that ends early is refused.
    """
    for end in range(len(SMALL)):
        with pytest.raises((NotPngError, CorruptPngError)):
            check([SMALL[:end]])


@pytest.mark.parametrize(
    "image",
    [b"", SIGNATURE[:7], b"\xff\xd8\xff\xe0 JFIF", b"GIF89a..", SMALL[1:], b"<html></html>"],
)
def test_says_what_is_no_png(image):
    """
    Without the signature it is no PNG at all.
    """
    for pieces in splits(image):
        with pytest.raises(NotPngError):
            check(pieces)


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([], "before its IEND chunk, after the signature"),
        ([ihdr()], r"before its IEND chunk, after chunk 1 \(IHDR\)"),
        ([ihdr(), IDAT], r"before its IEND chunk, after chunk 2 \(IDAT\)"),
        ([ihdr(), chunk(b"IDAT", b"abc", crc=1), IEND], r"CRC of chunk 2 \(IDAT\)"),
        ([ihdr(), IDAT, chunk(b"IEND", crc=1)], r"CRC of chunk 3 \(IEND\)"),
        ([ihdr(), IDAT, IEND, b"\0"], "follows"),
        ([ihdr(), IDAT, IEND, IEND], "follows"),
        ([IDAT, IEND], "first chunk"),
        ([TEXT, ihdr(), IDAT, IEND], "first chunk"),
        ([ihdr(), ihdr(), IDAT, IEND], "first chunk"),
        ([ihdr(width=0), IDAT, IEND], "no pixels"),
        ([ihdr(height=0), IDAT, IEND], "no pixels"),
        ([ihdr(width=2**31), IDAT, IEND], "too large"),
        ([chunk(b"IHDR", b"12 bytes....")], "12 bytes"),
        ([ihdr(), IEND], "no IDAT"),
        ([ihdr(), IDAT, TEXT, IDAT, IEND], "one run"),
        ([ihdr(), IDAT, chunk(b"IEND", b"x")], "IEND"),
        ([ihdr(), struct.pack(">I4s", 2**31, b"IDAT")], r"chunk 1 \(IHDR\)"),
        ([ihdr(), chunk(b"ID T", b""), IEND], "no chunk"),
        ([ihdr(), chunk(b"ID\xc4T", b""), IEND], "no chunk"),
    ],
)
def test_says_what_is_wrong(chunks, words):
    """
    A PNG that is not sound is refused with a sentence that names the place.
    """
    for pieces in splits(SIGNATURE + b"".join(chunks)):
        with pytest.raises(CorruptPngError, match=words):
            check(pieces)


@given(
    chunks=st.lists(
        st.sampled_from([ihdr(), IDAT, IEND, TEXT, chunk(b"IDAT"), chunk(b"tEXt", b"x", crc=0)]),
        max_size=5,
    ),
    positions=cuts(),
)
def test_agrees_with_a_plain_reading(chunks, positions):
    """
    Accepted is what a reader of whole files accepts.
    """
    image = SIGNATURE + ihdr() + b"".join(chunks)
    try:
        check(cut(image, positions))
    except CorruptPngError:
        assert not is_sound(image)
    else:
        assert is_sound(image)


def test_takes_chunks_by_the_hundred_thousand():
    """
    Very many very small chunks are as good as few large ones.
    """
    check([SIGNATURE + ihdr() + TEXT * 100_000 + IDAT + IEND])


def test_takes_a_chunk_in_many_pieces():
    """
    A chunk's CRC is the same however many pieces it comes in.
    """
    image = SIGNATURE + ihdr() + chunk(b"IDAT", zlib.compress(bytes(200_000), 0)) + IEND
    check(memoryview(image)[start : start + 1000] for start in range(0, len(image), 1000))
