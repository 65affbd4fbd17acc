"""
PngSuite: what is accepted and refused of real files, here and by the whole command.
"""

import base64
import hashlib

import pytest
from bodies import splits
from hypothesis import given
from hypothesis import strategies as st
from origin import Origin, serving
from pngs import is_sound
from pngsuite import BROKEN, IMAGES, SOUND
from replies import carrying, http, text_of

import batchfetch
from batchfetch.decoding import ImageDecoder, PngChecker
from batchfetch.errors import CorruptPngError, NotPngError
from batchfetch.models import Image, OutcomeStatus
from batchfetch.settings import Checksum

# What the author says is wrong with each, and how it is refused.
REASONS = {
    "xs1n0g01": (NotPngError, "does not begin with the PNG signature"),
    "xs2n0g01": (NotPngError, "does not begin with the PNG signature"),
    "xs4n0g01": (NotPngError, "does not begin with the PNG signature"),
    "xs7n0g01": (NotPngError, "does not begin with the PNG signature"),
    "xcrn0g04": (NotPngError, "does not begin with the PNG signature"),
    "xlfn0g04": (NotPngError, "does not begin with the PNG signature"),
    "xhdn0g08": (CorruptPngError, r"CRC of chunk 1 \(IHDR\)"),
    "xc1n0g08": (CorruptPngError, "bit depth 8 and colour type 1"),
    "xc9n2c08": (CorruptPngError, "bit depth 8 and colour type 9"),
    "xd0n2c08": (CorruptPngError, "bit depth 0 and colour type 2"),
    "xd3n2c08": (CorruptPngError, "bit depth 3 and colour type 2"),
    "xd9n2c08": (CorruptPngError, "bit depth 99 and colour type 2"),
    "xdtn0g01": (CorruptPngError, "no image data"),
    "xcsn0g01": (CorruptPngError, r"CRC of chunk 3 \(IDAT\)"),
}


def decode(pieces, *, encoded=False):
    """
    Return the bytes of the image in *pieces*, and its size and hash.
    """
    decoder = ImageDecoder(encoded=encoded, checksum=Checksum.SHA256, max_bytes=2**20)
    data = b"".join([decoder.decode(piece) for piece in pieces])
    return data, decoder.flush()


def test_the_suite_is_complete():
    """
    The archive holds the 161 sound files and the 14 broken ones.
    """
    assert (len(SOUND), BROKEN.keys()) == (161, REASONS.keys())


@pytest.mark.parametrize("name", SOUND)
def test_accepts_every_sound_file(name):
    """
    A sound file is accepted and left as it is, whole, in single bytes and cut at any position.
    """
    image = SOUND[name]
    expected = image, Image(len(image), hashlib.sha256(image).hexdigest())
    assert decode([base64.b64encode(image)], encoded=True) == expected
    assert decode([image[i : i + 1] for i in range(len(image))]) == expected
    for position in range(len(image)):
        checker = PngChecker()
        checker.feed(memoryview(image)[:position])
        checker.feed(memoryview(image)[position:])
        checker.flush()
    assert is_sound(image)


@pytest.mark.parametrize("name", REASONS)
def test_refuses_every_broken_file(name):
    """
    A broken file is refused in any division, and the message names what is wrong.
    """
    error, message = REASONS[name]
    for pieces in splits(BROKEN[name]):
        with pytest.raises(error, match=message):
            decode(pieces)
    assert not is_sound(BROKEN[name])


@given(name=st.sampled_from(sorted(IMAGES)), sizes=st.lists(st.integers(1, 400), min_size=1))
def test_the_division_into_pieces_does_not_matter(name, sizes):
    """
    In pieces of any sizes a sound file is accepted as it is, and a broken one refused.
    """
    image, pieces = IMAGES[name], []
    start = 0
    while start < len(image):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(image[start : start + size])
        start += size
    if name in SOUND:
        assert decode(pieces)[0] == image
    else:
        error, message = REASONS[name]
        with pytest.raises(error, match=message):
            decode(pieces)


@pytest.mark.parametrize("endpoint", ["task", "file"])
def test_a_run_fetches_the_sound_files_and_refuses_the_broken_ones(tmp_path, endpoint):
    """
    By real HTTP, as JSON and as files: 161 images as they are, 14 reasons, no trace of the 14.
    """

    def reply(image):
        if endpoint == "task":
            return carrying(text_of(image))
        return http(image, 200, "Content-Type: image/png")

    with serving(Origin({name: [reply(image)] for name, image in IMAGES.items()})) as origin:
        summary = batchfetch.fetch(
            jobs=IMAGES,
            output=str(tmp_path),
            base_url=origin.base_url,
            endpoint=endpoint,
            attempts=1,
            credentials=batchfetch.Credentials(access_token="any"),
        )
    assert summary.outcomes == {
        OutcomeStatus.COMPLETED: len(SOUND),
        OutcomeStatus.FAILED: len(BROKEN),
    }
    names = {path.name for path in tmp_path.iterdir() if "report" not in path.name}
    assert names - {f"{name}.png" for name in SOUND} <= {".batchfetch.lock"}
    assert {name: (tmp_path / f"{name}.png").read_bytes() for name in SOUND} == SOUND
    assert {line.task_id: line.reason for line in batchfetch.read_report(tmp_path)} == {
        name: REASONS[name][0].reason if name in REASONS else None for name in IMAGES
    }
