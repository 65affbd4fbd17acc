"""
Read a report of an earlier run line by line, a damaged one included.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from pydantic import ValidationError

from batchfetch.errors import ReportError, SettingsError
from batchfetch.models import Outcome
from batchfetch.report.advice import report_error
from batchfetch.report.lines import AROUND, MAX_LINE, ReportLine, decode, is_torn

log = logging.getLogger("batchfetch.report")

_BUFFER = 2**18

L = TypeVar("L")


def require_report(path: Path, decode: Callable[[bytes], object] = decode) -> None:
    """
    Raise `SettingsError` if there are lines at *path* and none of them is a report's: one that
    *decode* reads.

    The torn beginning of a first line is no whole line: a run died there.  Raises `ReportError` if
    the file is there and cannot be read.
    """
    is_foreign = False
    for _, _, line in raw_lines(path):
        try:
            if decode(line) is not None:
                return
        except ValueError:
            is_foreign = is_foreign or not is_torn(line)
    if is_foreign:
        raise SettingsError(
            f"{path} has lines and none of them is a report's, so it stays as it is;"
            " choose another --report"
        )


def read_lines(path: Path) -> Iterator[tuple[int, ReportLine]]:
    """
    Read the lines of the report at *path*, each with the byte it begins at; there are none if it is
    missing or no plain file.

    Lines that are no outcome are skipped with a warning.  Raises `ReportError` if the report is
    there and cannot be read.
    """
    yield from LineReader(path, decode)


class LineReader(Generic[L]):
    """
    The lines of the report at *path*, each with the byte it begins at, as *decode* reads them: it
    returns None for a blank line and raises `ValueError` for one that is no outcome.

    Those are skipped, the first *warnings* of them with a warning each; the others are counted.
    With a *window* only that is read, and a last line that is torn is no reason for a warning:
    another run may be writing it.  Iteration raises `ReportError` if the report is there and cannot
    be read.
    """

    def __init__(
        self,
        path: Path,
        decode: Callable[[bytes], L | None],
        *,
        warnings: int = 10,
        window: "Window | None" = None,
    ) -> None:
        self._path = path
        self._decode = decode
        self._warnings = warnings
        self._window = window
        self.unusable = 0
        """Lines skipped so far."""

    def __iter__(self) -> Iterator[tuple[int, L]]:
        for number, start, line in raw_lines(self._path, window=self._window):
            try:
                if len(line) == MAX_LINE:
                    raise ValueError(f"longer than {MAX_LINE} bytes")  # noqa: TRY301 - as any other
                decoded = self._decode(line)
            except ValueError as exc:
                if self._window is None or not is_torn(line):
                    self._skip(number, exc)
                continue
            if decoded is not None:
                yield start, decoded
        if self.unusable > self._warnings:
            log.warning("%s: %d lines are no outcomes and were skipped", self._path, self.unusable)

    def _skip(self, number: int, error: ValueError) -> None:
        self.unusable += 1
        if self.unusable <= self._warnings:
            log.warning("%s, line %d is no outcome and was skipped: %s", self._path, number, error)


def outcome_from(line: bytes) -> Outcome | None:
    """
    Return all that *line* says; None if it was edited by hand, beyond what a later run needs.
    """
    try:
        return Outcome.model_validate_json(line.strip(AROUND))
    except ValidationError:
        return None


@contextmanager
def open_to_read(path: Path) -> Iterator[BinaryIO]:
    """
    Open the report at *path*, for lines whose beginning is known.

    Raises `ReportError`, also if reading in the block fails.
    """
    with _errors(path):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise ReportError(
                f"the report {path} was removed by another program while it was read; run the"
                " command again"
            ) from None
        with file:
            yield file


def outcome_at(file: BinaryIO, start: int) -> Outcome | None:
    """
    Return what the line of *file* says that begins at *start*, as `outcome_from` does.
    """
    file.seek(start)
    return outcome_from(file.readline(MAX_LINE))


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise report_error(path, "read", exc) from exc


@dataclass(frozen=True, slots=True)
class Window:
    """
    What is read of a report that may be growing.
    """

    end: int
    """Only so many bytes."""

    buffer: int
    """Bytes read at once; the file is open only for that."""


class _WindowFile(io.RawIOBase):
    # Any number of reports can be read side by side, however few files may be open.
    def __init__(self, path: Path, end: int) -> None:
        self._path = path
        self._end = end
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        room = memoryview(buffer)[: self._end - self._at]
        with io.FileIO(self._path) as file:
            file.seek(self._at)
            read = file.readinto(room) or 0
        self._at += read
        return read


def raw_lines(
    path: Path,
    error: Callable[[Path, str, OSError], ReportError] = report_error,
    *,
    window: Window | None = None,
) -> Iterator[tuple[int, int, bytes]]:
    """
    Read each line at *path* with its number and the byte it begins at; of one that is longer than
    `MAX_LINE`, its beginning.  There are none if the file is missing or no plain file; with a
    *window* only that is read.

    Raises *error* if it is there and cannot be read.
    """
    number = start = 0
    try:
        if path.exists() and not path.is_file():
            return  # Nothing can be read back from a pipe or a terminal.
        raw = io.FileIO(path) if window is None else _WindowFile(path, window.end)
        with io.BufferedReader(raw, _BUFFER if window is None else window.buffer) as file:
            while line := file.readline(MAX_LINE):
                number += 1
                yield number, start, line
                start += len(line)
                while len(line) == MAX_LINE and line[-1:] != b"\n":
                    line = file.readline(MAX_LINE)
                    start += len(line)
    except FileNotFoundError:
        return
    except OSError as exc:
        after = f" beyond line {number}" if number else ""
        raise error(path, f"read{after}", exc) from exc
