"""
The lines of a manifest, numbered and in bounded memory.
"""

import zlib
from collections.abc import Iterator
from typing import TextIO

from batchfetch.errors import ManifestError

MAX_ROW = 2**20
"""Characters of a row, its end included."""


class UnusableLineError(Exception):
    """
    One line cannot be used; the next one may.
    """


class Lines:
    """
    The lines of *stream*, numbered, each in bounded memory.

    A line that is too long or not UTF-8 raises `UnusableLineError`; reading goes on after it.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self.name = name
        self.number = 0
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == MAX_ROW and line[-1] != "\n":
            while line and line[-1] != "\n":
                line = self._read()
            raise UnusableLineError(f"the line is longer than {MAX_ROW} characters")
        if not line.isascii():
            _require_utf8(line)
        return line

    def _read(self) -> str:
        try:
            return self._stream.readline(MAX_ROW)
        except (EOFError, OSError, zlib.error) as exc:
            raise ManifestError(
                f"{self.name} cannot be read beyond line {self.number}: {words(exc)}"
            ) from exc


def _require_utf8(line: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError:  # Bytes that are not UTF-8 were kept as lone surrogates.
        raise UnusableLineError("the line is not UTF-8") from None


def words(exc: Exception) -> str:
    """
    Return what *exc* says, without numbers and paths.
    """
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
