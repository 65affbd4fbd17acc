"""
Files of text, opened and read line by line in bounded memory.
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
from batchfetch.manifest.lines import Lines, words

STDIN = "-"
"""The name of standard input."""

_BUFFER = 2**16
_SUFFIXES = {f".{known}": known for known in ManifestFormat}
# What people hand over by mistake, by its first bytes.
_FOREIGN = {
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a spreadsheet or a zip archive",
    b"\x1f\x8b": "gzipped; name it so, ending in .gz",
    b"%PDF": "a PDF",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
}


def format_of(source: str) -> ManifestFormat:
    """
    Return what *source*'s suffix says of its format; standard input is text.

    Raises `ManifestError` if it says nothing.
    """
    if source == STDIN:
        return ManifestFormat.TXT
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes)[-1:] or [""]
    if (known := _SUFFIXES.get(suffix[0])) is not None:
        return known
    from difflib import get_close_matches  # noqa: PLC0415 - most people make no mistake

    near = get_close_matches(suffix[0], _SUFFIXES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ManifestError(
        f"{source} does not say what it is: its name must end in {', '.join(_SUFFIXES)}, "
        f"or one of them and .gz, unless the manifest format is given{hint}"
    )


def is_regular(source: str) -> bool:
    """
    Whether *source* is a file that can be read again from its beginning.
    """
    return source != STDIN and Path(source).is_file()


@contextmanager
def open_lines(source: str) -> Iterator[Lines]:
    """
    Open *source*, a path or `-`, as lines of UTF-8, unzipped if it ends in `.gz`.

    Raises `ManifestError` if it cannot be opened or does not begin like text.
    """
    # The report shows it, and a path may hold bytes that are not UTF-8.
    name = source.encode(errors="replace").decode()
    try:
        file = _open(source)
    except OSError as exc:
        raise ManifestError(f"{name} cannot be opened: {words(exc)}") from exc
    # Lone surrogates stand for bytes that are not UTF-8, so one bad line does not end the file.
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
            raise OSError("it is closed")
        return cast("io.BufferedReader", stdin)
    if source.lower().endswith(".gz"):
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(source)), _BUFFER)
    return io.BufferedReader(io.FileIO(source), _BUFFER)


def _require_text(file: io.BufferedReader, name: str) -> None:
    try:
        start = file.peek(_BUFFER)
    except (EOFError, OSError, zlib.error) as exc:
        raise ManifestError(f"{name} cannot be read: {words(exc)}") from exc
    for signature, what in _FOREIGN.items():
        if start.startswith(signature):
            raise ManifestError(f"{name} is not text: it is {what}")
    if b"\0" in start:
        raise ManifestError(f"{name} is not text: it holds zero bytes")
    first = re.split(rb"[\r\n]", start, maxsplit=1)[0]
    try:
        # Incremental, because the last character may continue beyond what was looked at.
        codecs.getincrementaldecoder("utf-8")().decode(first)
    except UnicodeDecodeError:
        raise ManifestError(f"{name} is not text: its first line is not UTF-8") from None
