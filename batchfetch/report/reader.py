"""
Reports of earlier runs, read line by line, whatever happened to them.
"""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from batchfetch.errors import ReportError
from batchfetch.models import OutcomeStatus
from batchfetch.report.lines import MAX_LINE, ReportLine, decode

log = logging.getLogger("batchfetch.report")

_BUFFER = 2**18

# Unusable lines that get a warning each; the others are counted.
_WARNINGS = 10


class Records(Protocol):
    """
    Where outcomes are noted: the ledger.
    """

    def note_previous(
        self, task_id: str, status: OutcomeStatus, *, size: int = 0, path: str | None = None
    ) -> None: ...


def load_report(path: Path, ledger: Records) -> None:
    """
    Note every outcome of the report at *path* in *ledger*, in the report's order.

    Raises `ReportError` if the report is there and cannot be read.
    """
    for line in read_report(path):
        if line.task_id is not None:
            ledger.note_previous(line.task_id, line.status, size=line.bytes or 0, path=line.path)


def read_report(path: Path) -> Iterator[ReportLine]:
    """
    Read the lines of the report at *path*; there are none if it is missing or no plain file.

    Lines that are no outcome are skipped with a warning.  Raises `ReportError` if the report is
    there and cannot be read.
    """
    unusable = 0
    for number, line in _lines(path):
        try:
            if len(line) == MAX_LINE:
                raise ValueError(f"longer than {MAX_LINE} bytes")  # noqa: TRY301 - as any other
            outcome = decode(line)
        except ValueError as exc:
            unusable += 1
            if unusable <= _WARNINGS:
                log.warning("%s, line %d is no outcome and was skipped: %s", path, number, exc)
            continue
        if outcome is not None:
            yield outcome
    if unusable > _WARNINGS:
        log.warning("%s: %d lines are no outcomes and were skipped", path, unusable)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    # Each line and its number; of a line that is too long, its beginning.
    number = 0
    try:
        if path.exists() and not path.is_file():
            return  # Nothing can be read back from a pipe or a terminal.
        with io.BufferedReader(io.FileIO(path), _BUFFER) as file:
            while line := file.readline(MAX_LINE):
                number += 1
                yield number, line
                while len(line) == MAX_LINE and line[-1:] != b"\n":
                    line = file.readline(MAX_LINE)
    except FileNotFoundError:
        return
    except OSError as exc:
        after = f" beyond line {number}" if number else ""
        raise ReportError(f"{path} cannot be read{after}: {exc.strerror or exc}") from exc
