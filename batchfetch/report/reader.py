"""
Read reports of earlier runs line by line, damaged ones included.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from pydantic import ValidationError

from batchfetch.errors import ReportError, SettingsError
from batchfetch.models import Outcome
from batchfetch.paths import report_at
from batchfetch.report.advice import report_error
from batchfetch.report.ledger import NEAR, Ledger, Owner
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


def load_report(path: Path, ledger: Ledger) -> None:
    """
    Note every outcome of the report at *path* in *ledger*, in the report's order.

    Raises `SettingsError` if what is there is no report, `ReportError` if it cannot be read.
    """
    require_report(path)
    for start, line in read_lines(path):
        if line.task_id is not None:
            ledger.note_previous(
                line.task_id, line.status, size=line.bytes or 0, path=line.path, start=start
            )


def read_owner(path: Path, owner: Owner) -> str | None:
    """
    Return the id of *owner*, which a ledger of the report at *path* has named; None if its line
    has gone since.

    Raises `ReportError` if the report cannot be read.
    """
    if owner.near is None:
        return owner.task_id
    with _errors(path), suppress(FileNotFoundError), path.open("rb") as file:
        # The newline before the line is in what is read, unless the line is the report's first.
        file.seek(max(0, owner.near - 1))
        before = file.read(min(owner.near, 1) + NEAR)
        starts = [0] if owner.near == 0 else []
        starts += [at + 1 for at, byte in enumerate(before) if byte == ord("\n")]
        for start in starts:
            file.seek(max(0, owner.near - 1) + start)
            with suppress(ValueError):
                line = decode(file.readline(MAX_LINE))
                if line is not None and line.task_id and owner.is_task(line.task_id):
                    return line.task_id
    return None


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
    Iteration raises `ReportError` if the report is there and cannot be read.
    """

    def __init__(
        self, path: Path, decode: Callable[[bytes], L | None], *, warnings: int = 10
    ) -> None:
        self._path = path
        self._decode = decode
        self._warnings = warnings
        self.unusable = 0
        """Lines skipped so far."""

    def __iter__(self) -> Iterator[tuple[int, L]]:
        for number, start, line in raw_lines(self._path):
            try:
                if len(line) == MAX_LINE:
                    raise ValueError(f"longer than {MAX_LINE} bytes")  # noqa: TRY301 - as any other
                decoded = self._decode(line)
            except ValueError as exc:
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


class LastLines:
    """
    Where the last line of each task begins in the report at *path*, a hundred bytes for each.

    Raises `ReportError` if the report is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # By the hash of the id; rows without one have a line each.
        self._starts: dict[int, int] = {}
        for start, line in read_lines(path):
            who = (line.manifest, line.line) if line.task_id is None else line.task_id.casefold()
            self._starts[hash(str(who))] = start

    def outcome_of(self, task_id: str) -> Outcome | None:
        """
        Return what the last line about *task_id* says; None if there is none.
        """
        start = self.start_of(task_id)
        if start is None:
            return None
        with _errors(self._path), self._path.open("rb") as file:
            return _outcome_at(file, start)

    def start_of(self, task_id: str) -> int | None:
        """
        Return the byte at which the last line about *task_id* begins; None if there is none.
        """
        return self._starts.get(hash(task_id.casefold()))

    def __iter__(self) -> Iterator[Outcome]:
        """
        Read the last line of each task, in the report's order.
        """
        if not self._starts:
            return
        with _errors(self._path), self._path.open("rb") as file:
            for start in sorted(self._starts.values()):
                outcome = _outcome_at(file, start)
                if outcome is not None:
                    yield outcome


def read_report(path: str | Path) -> Iterator[Outcome]:
    """
    Read the last line of each task in a report, in the report's order.

    *path* is a report, an output folder with a `report.jsonl`, or the URL of a store, whose report
    is in the working directory.  Raises `ReportError` if there is
    none, or if it cannot be read.
    """
    try:
        report = report_at(path)
    except ValueError as exc:
        raise ReportError(f"{path} cannot be read: {exc}") from None
    if not report.exists():
        raise ReportError(f"there is no report at {report}; give a report or an output folder")
    return iter(LastLines(report))


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
    with _errors(path), path.open("rb") as file:
        yield file


def _outcome_at(file: BinaryIO, start: int) -> Outcome | None:
    file.seek(start)
    return outcome_from(file.readline(MAX_LINE))


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise report_error(path, "read", exc) from exc


def raw_lines(
    path: Path, error: Callable[[Path, str, OSError], ReportError] = report_error
) -> Iterator[tuple[int, int, bytes]]:
    """
    Read each line at *path* with its number and the byte it begins at; of one that is longer than
    `MAX_LINE`, its beginning.  There are none if the file is missing or no plain file.

    Raises *error* if it is there and cannot be read.
    """
    number = start = 0
    try:
        if path.exists() and not path.is_file():
            return  # Nothing can be read back from a pipe or a terminal.
        with io.BufferedReader(io.FileIO(path), _BUFFER) as file:
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
