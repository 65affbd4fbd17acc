"""
Let a coverage-guided fuzzer loose on the parsers; for those who have the time.

    pip install atheris && python tests/fuzz.py scanner -max_total_time=60

The first word is a target: scanner, base64, png, manifest or report; the rest is for libFuzzer.
"""

import base64
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]  # not a requirement: it takes minutes to be of use

with atheris.instrument_imports(include=["batchfetch"]):
    from batchfetch.decoding.base64 import Base64Decoder
    from batchfetch.decoding.png import PngChecker
    from batchfetch.decoding.response import ResultDecoder
    from batchfetch.errors import DecodeError, ManifestError
    from batchfetch.manifest import Manifest, ManifestFormat
    from batchfetch.models import TaskStatus
    from batchfetch.report import read_report

from pngs import is_sound


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """
    Return *data* without its first byte, in pieces of the size that byte says, and whole.
    """
    size, data = (data[0] or 1) if data else 1, data[1:]
    return [data[start : start + size] for start in range(0, len(data), size)], data


def scanner(data: bytes) -> None:
    """
    What is accepted is JSON, and its image what a parser and a strict decoder make of it.
    """
    pieces, body = cut(data)
    decoder, base64_decoder, image = ResultDecoder("t"), Base64Decoder(), b""
    try:
        for piece in pieces:
            for text in decoder.feed(piece):
                image += base64_decoder.decode(text)
        answer = decoder.close()
        base64_decoder.flush()
    except DecodeError:
        return
    document = json.loads(body.decode("utf-8-sig"))
    if answer.status is TaskStatus.COMPLETED and image:
        assert image == base64.b64decode(document["results"][0]["data"], validate=True)


def base64_text(data: bytes) -> None:
    """
    What is accepted decodes to the same bytes by the standard library's strict decoder.
    """
    pieces, text = cut(data)
    decoder = Base64Decoder()
    try:
        decoded = b"".join(map(decoder.decode, pieces))
        decoder.flush()
    except DecodeError:
        return
    assert decoded == base64.b64decode(text, validate=True)


def png(data: bytes) -> None:
    """
    What is accepted is sound by the plain reading, and nothing sound is refused.
    """
    pieces, image = cut(data)
    checker = PngChecker()
    try:
        for piece in pieces:
            checker.feed(piece)
        checker.flush()
    except DecodeError:
        assert not is_sound(image)
    else:
        assert is_sound(image)


def manifest(data: bytes) -> None:
    """
    Whatever is in it, a manifest is rows, or none in a sentence.
    """
    form = list(ManifestFormat)[data[0] % len(ManifestFormat)] if data else ManifestFormat.TXT
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data[1:])
        with contextlib.suppress(ManifestError):
            list(Manifest(file.name, manifest_format=form))


def report(data: bytes) -> None:
    """
    Whatever is in it, a report is outcomes and warnings.
    """
    with tempfile.NamedTemporaryFile() as file, contextlib.redirect_stderr(io.StringIO()):
        Path(file.name).write_bytes(data)
        list(read_report(Path(file.name)))


TARGETS = {
    "scanner": scanner,
    "base64": base64_text,
    "png": png,
    "manifest": manifest,
    "report": report,
}

if __name__ == "__main__":
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"usage: fuzz.py {'|'.join(TARGETS)} [LIBFUZZER OPTION...]")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
