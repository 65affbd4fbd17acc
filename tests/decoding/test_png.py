"""
Tests of `decoding.png`, the incremental validator.
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
from pngs import IDAT, IEND, PLTE, SIGNATURE, SMALL, TEXT, chunk, ihdr, is_sound

from batchfetch.decoding.png import PngChecker
from batchfetch.errors import CorruptPngError, NotPngError

# IDAT chunks with parts of a zlib stream's header, and with other data.
PARTS = [chunk(b"IDAT", data) for data in (b"", b"\x78", b"\x01", b"\x78\x01", b"\x78\x02", b"abc")]
BROKEN = chunk(b"tEXt", b"x", crc=0)


def check(pieces):
    """
    Validate the PNG in *pieces*.
    """
    checker = PngChecker()
    for piece in pieces:
        checker.feed(piece)
    checker.flush()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"dpi": (300, 300)}])
def test_accepts_what_pillow_writes(mode, options):
    """
    Images of every pixel format are accepted.
    """
    file = io.BytesIO()
    Image.new(mode, (300, 200)).save(file, "PNG", **options)
    check([file.getvalue()])


def test_the_division_into_pieces_does_not_matter():
    """
    Any division of a valid image is accepted.
    """
    for pieces in splits(SIGNATURE + ihdr() + TEXT + IDAT + IDAT + TEXT + IEND):
        check(pieces)


def test_refuses_every_flipped_bit():
    """
    Every single-bit error is detected.
    """
    for position in range(len(SMALL) * 8):
        image = bytearray(SMALL)
        image[position // 8] ^= 1 << position % 8
        with pytest.raises((NotPngError, CorruptPngError)):
            check([bytes(image)])


@pytest.mark.parametrize(("missing", "module"), [("nothing", "isal.isal_zlib"), ("isal", "zlib")])
def test_uses_isal_if_it_is_installed(missing, module, tmp_path):
    """
    The faster library is used if it is installed; without it the results are the same.
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
def test_refuses_data_without_the_signature(image):
    """
    Data without the PNG signature is not a PNG, which is an error of its own.
    """
    for pieces in splits(image):
        with pytest.raises(NotPngError):
            check(pieces)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "before its IEND chunk, after the signature"),
        ([ihdr()], r"before its IEND chunk, after chunk 1 \(IHDR\)"),
        ([ihdr(), IDAT], r"before its IEND chunk, after chunk 2 \(IDAT\)"),
        ([ihdr(), chunk(b"IDAT", b"\x78\x01c", crc=1), IEND], r"CRC of chunk 2 \(IDAT\)"),
        ([chunk(b"IHDR", bytes(13), crc=1), IDAT, IEND], r"CRC of chunk 1 \(IHDR\)"),
        ([ihdr(), IDAT, chunk(b"IEND", crc=1)], r"CRC of chunk 3 \(IEND\)"),
        ([ihdr(), IDAT, IEND, b"\0"], "data after"),
        ([ihdr(), IDAT, IEND, IEND], "data after"),
        ([IDAT, IEND], "first chunk"),
        ([TEXT, ihdr(), IDAT, IEND], "first chunk"),
        ([ihdr(), ihdr(), IDAT, IEND], "first chunk"),
        ([ihdr(), IDAT, TEXT, IDAT, IEND], "not consecutive"),
        ([ihdr(), struct.pack(">I4s", 2**31, b"IDAT")], r"chunk 1 \(IHDR\)"),
        ([ihdr(), chunk(b"ID T", b""), IEND], "not a chunk"),
        ([ihdr(), chunk(b"ID\xc4T", b""), IEND], "not a chunk"),
    ],
)
def test_names_the_problem_and_its_place(chunks, message):
    """
    An invalid PNG is refused with a message that names the place.
    """
    for pieces in splits(SIGNATURE + b"".join(chunks)):
        with pytest.raises(CorruptPngError, match=message):
            check(pieces)


@given(
    header=st.sampled_from([ihdr(), ihdr(colour=3), ihdr(colour=2), ihdr(colour=2, depth=4)]),
    before=st.lists(st.sampled_from([TEXT, PLTE, chunk(b"PLTE", bytes(4)), ihdr()]), max_size=2),
    data=st.lists(st.sampled_from([IDAT, *PARTS]), max_size=3),
    after=st.lists(st.sampled_from([TEXT, BROKEN, chunk(b"Crit"), PLTE, IDAT, IEND]), max_size=2),
    end=st.sampled_from([b"", IEND, IEND]),
    positions=cuts(),
)
def test_agrees_with_a_reference_reader(header, before, data, after, end, positions):
    """
    An image is accepted exactly if a reader of complete files accepts it.
    """
    image = SIGNATURE + header + b"".join(before + data + after) + end
    try:
        check(cut(image, positions))
    except CorruptPngError:
        assert not is_sound(image)
    else:
        assert is_sound(image)


def test_accepts_a_hundred_thousand_chunks():
    """
    The number of chunks is not limited.
    """
    check([SIGNATURE + ihdr() + TEXT * 100_000 + IDAT + IEND])


def test_accepts_a_chunk_in_many_pieces():
    """
    A chunk's CRC is computed over all pieces it arrives in.
    """
    image = SIGNATURE + ihdr() + chunk(b"IDAT", zlib.compress(bytes(200_000), 0)) + IEND
    check(memoryview(image)[start : start + 1000] for start in range(0, len(image), 1000))
