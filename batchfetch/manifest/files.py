"""
Opening of manifest files: detect the format, decompress, and refuse files that are not text.
"""

import codecs
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from batchfetch.errors import ManifestError
from batchfetch.manifest.formats import ManifestFormat
from batchfetch.manifest.lines import Lines, describe_error

STDIN = "-"
"""The source name that stands for standard input."""

_BUFFER = 2**16
_SUFFIXES = {f".{known}": known for known in ManifestFormat}
# File types that are passed by mistake, by their first bytes.
_SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a spreadsheet or a zip archive; export it as CSV",
    b"\x1f\x8b": "gzip data; rename the file so that it ends in .gz",
    b"%PDF": "a PDF",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
}


def format_of(source: str) -> ManifestFormat:
    """
    Return the format of *source* by its suffix; standard input is read as `TXT`.

    Raises `ManifestError` if the suffix is not that of a manifest format.
    """
    if source == STDIN:
        return ManifestFormat.TXT
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes)[-1:] or [""]
    if (known := _SUFFIXES.get(suffix[0])) is not None:
        return known
    from difflib import get_close_matches  # noqa: PLC0415 - needed for this error only

    near = get_close_matches(suffix[0], _SUFFIXES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ManifestError(
        f"{source} has no known manifest format: its name must end in {', '.join(_SUFFIXES)}, "
        f"or one of them followed by .gz, or the manifest format must be given{hint}"
    )


def is_regular(source: str) -> bool:
    """
    Whether *source* is a regular file, which can be read again from its beginning.
    """
    return source != STDIN and Path(source).is_file()


@contextmanager
def open_lines(source: str) -> Iterator[Lines]:
    """
    Open *source*, a path or `-`, as lines of UTF-8, decompressed if it ends in `.gz`.

    Raises `ManifestError` if it cannot be opened or its first bytes are not UTF-8 text.
    """
    # The report contains this name as UTF-8, and a path may contain bytes that are not UTF-8.
    name = source.encode(errors="replace").decode()
    try:
        file = _open(source)
    except OSError as exc:
        raise ManifestError(f"{name} cannot be opened: {describe_error(exc)}") from exc
    # Bytes that are not UTF-8 are read as lone surrogates, so one bad line does not end the file.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
    try:
        _require_text(file, name)
        yield Lines(text, name)
    finally:
        text.detach()
        if source != STDIN:
            file.close()


def _open(source: str) -> io.BufferedReader:
    if source == STDIN:
        if (stdin := getattr(sys.stdin, "buffer", None)) is None:
            raise OSError("standard input is closed")
        return cast("io.BufferedReader", stdin)
    if source.lower().endswith(".gz"):
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(source)), _BUFFER)
    return io.BufferedReader(io.FileIO(source), _BUFFER)


def _require_text(file: io.BufferedReader, name: str) -> None:
    try:
        start = file.peek(_BUFFER)
    except (EOFError, OSError, zlib.error) as exc:
        raise ManifestError(f"{name} cannot be read: {describe_error(exc)}") from exc
    for signature, description in _SIGNATURES.items():
        if start.startswith(signature):
            raise ManifestError(f"{name} is not text: it is {description}")
    if b"\0" in start:
        raise ManifestError(f"{name} is not text: it contains zero bytes")
    first = re.split(rb"[\r\n]", start, maxsplit=1)[0]
    try:
        # Incremental, because the last character may continue beyond the peeked bytes.
        codecs.getincrementaldecoder("utf-8")().decode(first)
    except UnicodeDecodeError:
        raise ManifestError(
            f"{name} is not text: its first line is not UTF-8; save the file as UTF-8"
        ) from None
