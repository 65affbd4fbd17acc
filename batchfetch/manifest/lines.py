"""
Line reader for manifests: numbered lines in bounded memory.
"""

import zlib
from collections.abc import Iterator
from typing import TextIO

from batchfetch.errors import ManifestError

MAX_ROW = 2**20
"""The most characters of a row, including its line end."""


class UnusableLineError(Exception):
    """
    A line that cannot be used; reading may go on with the next one.
    """


class Lines:
    """
    Iterator over the lines of *stream*; `number` counts them from 1 and *name* is for messages.

    Raises `UnusableLineError` for a line of more than `MAX_ROW` characters or that is not UTF-8,
    after which iteration can go on, and `ManifestError` if the stream cannot be read further.
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
                f"{self.name} cannot be read beyond line {self.number}: {describe_error(exc)}"
            ) from exc


def _require_utf8(line: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError:  # Bytes that are not UTF-8 were read as lone surrogates.
        raise UnusableLineError("the line is not UTF-8") from None


def describe_error(exc: Exception) -> str:
    """
    Return the message of *exc*, without the error number and path of an `OSError`.
    """
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
