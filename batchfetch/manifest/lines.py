"""
Line reader for manifests: numbered lines in bounded memory.
"""

import zlib
from collections.abc import Iterator
from typing import TextIO

from batchfetch.errors import ManifestError

MAX_ROW = 2**20
"""The most characters of a row, including its line end."""

MARKS = "\ufeff\x1a"
"""What may stand before a row where files were put together: a byte order mark, or the ^Z that ends
a file of DOS."""


class UnusableLineError(Exception):
    """
    A line that cannot be used; reading may go on with the next one.
    """


class Lines:
    """
    Iterator over the lines of *stream*; `number` counts them from 1 and *name* is for messages.

    Bytes that are not valid in the file's encoding are lone surrogates in the text.  Raises
    `UnusableLineError` for a line of more than `MAX_ROW` characters, after which iteration can go
    on, and `ManifestError` if the stream cannot be read further.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self.name = name
        self.number = 0
        self._stream = stream
        self._within_line = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        self.number += 1
        if is_cut(line):
            while is_cut(line):
                line = self._read()
            raise UnusableLineError(f"the line is longer than {MAX_ROW} characters; shorten it")
        return line

    def piece(self) -> str:
        """
        Return the next line, or the next `MAX_ROW` characters of a longer one; empty at the end.
        """
        piece = self._read()
        if piece:
            if not self._within_line:
                self.number += 1
            self._within_line = piece[-1] != "\n"
        return piece

    def _read(self) -> str:
        try:
            line = self._stream.readline(MAX_ROW)
        except (EOFError, OSError, zlib.error) as exc:
            raise ManifestError(
                f"{self.name} cannot be read beyond line {self.number}: {describe_error(exc)};"
                " copy or export it again"
            ) from exc
        if line[-1:] == "\x1a" and len(line) < MAX_ROW:
            return line.rstrip("\x1a")  # Without a line end, so the file ends here.
        return line


def is_cut(piece: str) -> bool:
    """
    Whether *piece* is part of a longer line that goes on in the next piece.
    """
    return len(piece) == MAX_ROW and piece[-1] != "\n"


def is_utf8(text: str) -> bool:
    """
    Whether *text* has no lone surrogates, which stand for bytes that could not be decoded.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe_error(exc: Exception) -> str:
    """
    Return the message of *exc*, without the error number and path of an `OSError`.
    """
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
