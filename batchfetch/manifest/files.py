"""
Opening of manifest files: find the format, decompress, decode, and refuse files that are not text.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from batchfetch.errors import ManifestError
from batchfetch.manifest.formats import ManifestFormat
from batchfetch.manifest.kinds import kind_of, suffix_help
from batchfetch.manifest.lines import Lines, describe_error
from batchfetch.manifest.parts import is_folder_of_parts, printable
from batchfetch.paths import is_file, is_folder

STDIN = "-"
"""The source name that stands for standard input."""

_BUFFER = 2**16
_SUFFIXES = {f".{known}": known for known in ManifestFormat} | {".ndjson": ManifestFormat.JSONL}

# The first two are also the beginning of the others' marks, so the longer ones come first.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Like `surrogateescape`, which cannot be used for encodings whose invalid bytes may be ASCII.
_MARK_UNDECODED = "batchfetch-mark-undecoded"
codecs.register_error(
    _MARK_UNDECODED, lambda error: ("\udcff", cast("UnicodeDecodeError", error).end)
)


def format_of(source: str) -> ManifestFormat:
    """
    Return the format of *source* by its suffix, or by the part files in it if it is a folder;
    standard input is read as `TXT`.

    Raises `ManifestError` if the suffix is not that of a manifest format.
    """
    if source == STDIN:
        return ManifestFormat.TXT
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    if is_folder_of_parts(Path(source)):
        return ManifestFormat.PARQUET
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes)[-1:] or [""]
    if (known := _SUFFIXES.get(suffix[0])) is not None:
        return known
    raise ManifestError(f"{printable(source)} {suffix_help(source, suffix[0], _SUFFIXES)}")


def is_repeatable(source: str) -> bool:
    """
    Whether *source* is a regular file or a folder, which can be read again from its beginning.
    """
    return source != STDIN and (is_file(source) or is_folder(source))


def end_of_lines(source: str) -> int | None:
    """
    Return the size of *source* in bytes if it is a regular file that ends with a whole line.
    """
    if not is_repeatable(source) or _is_compressed(source):
        return None
    try:
        with Path(source).open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - 1))
            return size if file.read(1) in {b"", b"\n"} else None
    except OSError:  # Opening it for its lines will say why.
        return None


@contextmanager
def open_lines(source: str, end: int | None = None) -> Iterator[Lines]:
    """
    Open *source*, a path or `-`, as lines of text, decompressed if it ends in `.gz`.

    It is read up to the byte *end*, if given.  Raises `ManifestError` if it cannot be opened or is
    not text.
    """
    name = printable(source)
    try:
        file = _open(source, end)
    except OSError as exc:
        raise ManifestError(
            f"{name} cannot be opened: {describe_error(exc)}; give one that can be read"
        ) from exc
    try:
        # Bytes that are not text are read as lone surrogates, so one of them does not end the file.
        encoding = _encoding(file, name)
        errors = "surrogateescape" if encoding == "utf-8-sig" else _MARK_UNDECODED
        text = io.TextIOWrapper(file, encoding=encoding, errors=errors)
        try:
            yield Lines(text, name)
        finally:
            text.detach()
    finally:
        if source != STDIN:
            file.close()


class _Beginning(io.FileIO):
    """
    The first *size* bytes of a file; what is appended to it meanwhile is not read.
    """

    def __init__(self, path: str, size: int) -> None:
        super().__init__(path)
        self._left = size

    def readinto(self, buffer: Any, /) -> int | None:
        """
        Read into *buffer* and return how many bytes were read.
        """
        count = super().readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        return count


def _is_compressed(source: str) -> bool:
    return source.lower().endswith(".gz")


def _open(source: str, end: int | None) -> io.BufferedReader:
    if source == STDIN:
        if (stdin := getattr(sys.stdin, "buffer", None)) is None:
            raise OSError("standard input is closed")
        return cast("io.BufferedReader", stdin)
    if _is_compressed(source):
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(source)), _BUFFER)
    raw = io.FileIO(source) if end is None else _Beginning(source, end)
    return io.BufferedReader(raw, _BUFFER)


def _encoding(file: io.BufferedReader, name: str) -> str:
    """
    Return the encoding of *file* by its byte order mark; raise `ManifestError` if it is not text.
    """
    try:
        start = file.peek(_BUFFER)
    except (EOFError, OSError, zlib.error) as exc:
        raise ManifestError(
            f"{name} cannot be read: {describe_error(exc)}; copy or export it again"
        ) from exc
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    if (kind := kind_of(start)) is not None:
        raise ManifestError(f"{name} is not text: it is {kind}")
    if b"\0" in start:
        raise ManifestError(
            f"{name} is not text: it contains zero bytes; if it is UTF-16, save it as UTF-8"
        )
    return "utf-8-sig"
