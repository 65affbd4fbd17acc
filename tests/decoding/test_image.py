"""
Tests of `decoding.image`: decoding, validation, size limit and hash.
"""

import base64
import hashlib
import itertools
import tracemalloc

import pytest
from bodies import splits
from pngs import IDAT, IEND, SIGNATURE, SMALL, chunk, ihdr

from batchfetch.decoding import ImageDecoder, ResultDecoder
from batchfetch.errors import (
    CorruptPngError,
    MalformedBase64Error,
    NotPngError,
    TooLargeError,
)
from batchfetch.models import Image, TaskStatus
from batchfetch.settings import Checksum

MIB = 2**20


def decode(pieces, *, encoded=True, checksum=Checksum.SHA256, max_bytes=MIB):
    """
    Return the bytes of the image in *pieces*, and its size and hash.
    """
    decoder = ImageDecoder(encoded=encoded, checksum=checksum, max_bytes=max_bytes)
    data = b"".join([decoder.decode(piece) for piece in pieces])
    return data, decoder.flush()


def test_decodes_base64():
    """
    Base64 in any division becomes the image, its size and its SHA-256.
    """
    image = Image(len(SMALL), hashlib.sha256(SMALL).hexdigest())
    for pieces in splits(base64.b64encode(SMALL)):
        assert decode(pieces) == (SMALL, image)


def test_accepts_an_image_that_is_not_encoded():
    """
    Data that is not base64 is validated, measured and hashed in the same way.
    """
    image = Image(len(SMALL), hashlib.sha256(SMALL).hexdigest())
    for pieces in splits(SMALL):
        assert decode(map(memoryview, pieces), encoded=False) == (SMALL, image)


def test_hashes_only_on_request():
    """
    Without a checksum the result has the size only.
    """
    assert decode([SMALL], encoded=False, checksum=Checksum.NONE)[1] == Image(len(SMALL), None)


def test_the_limit_is_the_largest_size_allowed():
    """
    An image of exactly the limit is accepted; one byte more is refused before it is returned.
    """
    decode([SMALL], encoded=False, max_bytes=len(SMALL))
    decoder = ImageDecoder(encoded=False, checksum=Checksum.NONE, max_bytes=len(SMALL) - 1)
    assert decoder.decode(SMALL[:-1]) == SMALL[:-1]
    with pytest.raises(TooLargeError, match=f"more than {len(SMALL) - 1} bytes"):
        decoder.decode(SMALL[-1:])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", NotPngError),
        (base64.b64encode(b"GIF89a.."), NotPngError),
        (base64.b64encode(SMALL[:-1]), CorruptPngError),
        (base64.b64encode(SMALL + b"\0"), CorruptPngError),
        (base64.b64encode(SIGNATURE + ihdr() + chunk(b"IDAT", b"abc", crc=0)), CorruptPngError),
        (base64.b64encode(SMALL)[:-1], MalformedBase64Error),
        (base64.b64encode(SMALL) + b"\n", MalformedBase64Error),
        (base64.b64encode(SMALL).replace(b"i", b"-"), MalformedBase64Error),
    ],
)
def test_refuses_invalid_images(text, error):
    """
    Text that is not base64, not a PNG, or not a valid one is refused, in any division.
    """
    for pieces in splits(text):
        with pytest.raises(error):
            decode(pieces)


def large_body(mebibytes):
    """
    Generate a completed task's answer with an image of *mebibytes*, in network-sized pieces.
    """
    # The lengths of both are multiples of three, so that their base64 can be joined.
    start = SIGNATURE + ihdr() + chunk(b"IDAT", b"\x78\x01\0")
    block = chunk(b"IDAT", bytes(3 * 2**16 - 12))
    yield b'{"taskStatus":"Completed","results":[{"data":"' + base64.b64encode(start)
    yield from itertools.repeat(base64.b64encode(block), mebibytes * MIB // len(block) + 1)
    yield base64.b64encode(IEND) + b'"}]}'


def test_memory_does_not_grow_with_the_image():
    """
    A large image is decoded in the memory of a few pieces.
    """
    results = ResultDecoder("any")
    decoder = ImageDecoder(encoded=True, checksum=Checksum.SHA256, max_bytes=100 * MIB)
    tracemalloc.start()
    try:
        for piece in large_body(64):
            for text in results.feed(piece):
                decoder.decode(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert results.close().status is TaskStatus.COMPLETED
    assert decoder.flush().size > 64 * MIB
    assert peak < 2 * MIB


def test_decoders_are_independent():
    """
    Two images decoded in turn each get their own hash.
    """
    pair = [
        ImageDecoder(encoded=False, checksum=Checksum.SHA256, max_bytes=MIB),
        ImageDecoder(encoded=False, checksum=Checksum.SHA256, max_bytes=MIB),
    ]
    other = SIGNATURE + ihdr() + IDAT + IDAT + IEND
    for position in range(len(other)):
        pair[0].decode(SMALL[position : position + 1])
        pair[1].decode(other[position : position + 1])
    assert [decoder.flush().sha256 for decoder in pair] == [
        hashlib.sha256(image).hexdigest() for image in (SMALL, other)
    ]
