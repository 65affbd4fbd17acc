"""
Let a coverage-guided fuzzer loose on the parsers; for those who have the time.

    pip install atheris && PYTHONPATH=tests/support python tests/fuzz.py scanner -max_total_time=60

The first word is a target: scanner, base64, png, manifest, report, repair or claims; the rest is
for libFuzzer: a folder with inputs to begin with, and options.
"""

import base64
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import atheris  # type: ignore[import-not-found]  # not a requirement: it takes minutes to be of use

with atheris.instrument_imports(include=["batchfetch"]):
    from batchfetch.decoding.base64 import Base64Decoder
    from batchfetch.decoding.png import PngChecker
    from batchfetch.decoding.response import ResultDecoder
    from batchfetch.errors import DecodeError, ManifestError
    from batchfetch.manifest import Manifest, ManifestFormat
    from batchfetch.models import Job
    from batchfetch.report import read_report
    from batchfetch.report.repair import repair
    from batchfetch.storage.claims import Claims, digest

from bodies import TASK_ID
from pngs import SIGNATURE, chunks_of, is_sound
from pngs import png as as_png
from readings import RefusedError, reading_of

# What only `json.loads` accepts: see tests/decoding/test_json.py.
MEANT = re.compile(r"twice|levels deep|not a JSON object|besides the image|unicode")


TEXTS = [each for each in ManifestFormat if each is not ManifestFormat.PARQUET]

LINE = b'{"task_id":"a","outcome":"Error","reason":"service_error","calls":1}\n'


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """
    Return *data* without its first byte, in pieces of the size that byte says, and whole.
    """
    size, data = (data[0] or 1) if data else 1, data[1:]
    return [data[start : start + size] for start in range(0, len(data), size)], data


def scanner(data: bytes) -> None:
    """
    A response is read as Python's own parsers read it, but for the differences that are meant.
    """
    pieces, body = cut(data)
    decoder, base64_decoder, image = ResultDecoder(TASK_ID), Base64Decoder(), b""
    try:
        for piece in pieces:
            for text in decoder.feed(piece):
                image += base64_decoder.decode(text)
        answer = decoder.close()
        base64_decoder.flush()
    except DecodeError as exc:
        if not MEANT.search(str(exc)) and json.detect_encoding(body).startswith("utf-8"):
            with contextlib.suppress(RefusedError):
                raise AssertionError(f"{exc}: {reading_of(body)}") from exc
    else:
        assert (image, answer) == reading_of(body)


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

    The bytes are taken as they are, and as chunks whose CRCs are put right: without that hardly any
    change gets past them.
    """
    pieces, image = cut(data)
    assert accepts_png(pieces) == is_sound(image)
    size, mended = len(pieces[0]) if pieces else 1, with_sound_crcs(image)
    assert accepts_png(mended[i : i + size] for i in range(0, len(mended), size)) == is_sound(
        mended
    )


def accepts_png(pieces: Iterable[bytes]) -> bool:
    """
    Whether the PNG in *pieces* is accepted.
    """
    checker = PngChecker()
    try:
        for piece in pieces:
            checker.feed(piece)
        checker.flush()
    except DecodeError:
        return False
    return True


def with_sound_crcs(image: bytes) -> bytes:
    """
    Return the chunks that *image* may be taken for, with the right CRCs, in a PNG.
    """
    return as_png(chunks_of(image.removeprefix(SIGNATURE)))


def manifest(data: bytes) -> None:
    """
    Whatever is in it, a manifest is rows, or none in a sentence; an id is a word of the text.
    """
    form = TEXTS[data[0] % len(TEXTS)] if data else ManifestFormat.TXT
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data[1:])
        with contextlib.suppress(ManifestError):
            for row in Manifest(file.name, manifest_format=form):
                if isinstance(row, Job):
                    assert not re.search(r"[\s\0-\x1f\x7f]", row.task_id), row
                    # UTF-16, JSON's escapes and quotes written twice are other bytes.
                    if not data[1:].startswith((b"\xff\xfe", b"\xfe\xff")):
                        assert b"\\" in data or b'""' in data or is_written(row.task_id, data), row


def is_written(task_id: str, data: bytes) -> bool:
    """
    Whether *data* has *task_id*; JSON has many ways to write a number.
    """
    return task_id.encode() in data or task_id.lstrip("-").isdigit()


def report(data: bytes) -> None:
    """
    Whatever is in it, a report is outcomes and warnings.
    """
    with tempfile.NamedTemporaryFile() as file, contextlib.redirect_stderr(io.StringIO()):
        Path(file.name).write_bytes(data)
        list(read_report(Path(file.name)))


def repaired(data: bytes) -> None:
    """
    Whatever a report ends with, its whole lines stay, and the next line begins where one may.
    """
    with tempfile.NamedTemporaryFile() as file, contextlib.redirect_stderr(io.StringIO()):
        path = Path(file.name)
        path.write_bytes(LINE + data)
        with path.open("r+b", buffering=0) as report:
            report.seek(0, os.SEEK_END)
            size = repair(report.fileno(), path)
        text = path.read_bytes()
        assert text.startswith(LINE + data[: data.rfind(b"\n") + 1])
        assert text.endswith(b"\n")
        assert size == len(text)
        assert text.removesuffix(b"\n") in LINE + data


def claims(data: bytes) -> None:
    """
    No name of a file makes a claim but on the file and for the owner that it was made for.
    """
    marker, _, name = data.decode(errors="replace").partition("\n")
    filename, owner = name or "a", marker or "b"
    found = Claims()
    found.note(b"", marker)
    assert found.is_for(filename, owner) is None or digest(owner) in marker
    found = Claims()
    found.add(filename, f".batchfetch.{'1' * 16}.{found.text(filename, owner)}.part")
    assert found.is_for(filename, owner) is True
    assert found.is_for(filename, f"{owner}x") is False
    assert f"{filename}x" not in found


TARGETS = {
    "scanner": scanner,
    "base64": base64_text,
    "png": png,
    "manifest": manifest,
    "report": report,
    "repair": repaired,
    "claims": claims,
}

if __name__ == "__main__":
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"usage: fuzz.py {'|'.join(TARGETS)} [LIBFUZZER OPTION...]")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
