"""
The report of a run and those of its shards, read as one ledger.
"""

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from math import inf, isnan
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from batchfetch.errors import ReportError
from batchfetch.models import RESUBMITS, Outcome
from batchfetch.paths import expand_home, is_store, is_there, report_at
from batchfetch.report.advice import report_error
from batchfetch.report.entries import decode_entry, seconds_at
from batchfetch.report.ledger import NEAR, Ledger, Owner
from batchfetch.report.lines import MAX_LINE, ReportLine, decode
from batchfetch.report.reader import (
    LineReader,
    Window,
    open_to_read,
    outcome_at,
    raw_lines,
    require_report,
)
from batchfetch.settings import Settings
from batchfetch.sharding import shards_of

OTHERS = 2**37
"""Places from here on are in other reports than the first, which may grow up to that."""

# Bytes that are read at once of each of several reports, and of all of them together.
_BUFFER = 2**18
_BUFFERS = 2**24
_LEAST_BUFFER = 2**14

_RESUBMITS = f'"{RESUBMITS}"'.encode()


class _Part(NamedTuple):
    path: Path
    place: int
    """Where its first byte is among those of all reports."""

    window: Window | None


class Reports:
    """
    The report *own* and the *others* that belong to the same output.

    *own* is read as it is; of the others, which other processes may be writing, only what is there
    now.  A line's place is the byte it begins at: in *own*, or from `OTHERS` on in one of the
    others.  Raises `ReportError` if one of these may not be looked at.
    """

    def __init__(self, own: Path, others: Sequence[Path] = ()) -> None:
        self._parts = [_Part(own, 0, None)]
        place = OTHERS
        buffer = max(_LEAST_BUFFER, min(_BUFFER, _BUFFERS // (len(others) + 1)))
        for path in others:
            if (size := _size_of(path)) is not None:
                self._parts.append(_Part(path, place, Window(size, buffer)))
                place += -(-size // NEAR) * NEAR

    @property
    def others(self) -> Sequence[Path]:
        """
        The reports that are only read.
        """
        return [part.path for part in self._parts[1:]]

    def require(self) -> None:
        """
        Raise `SettingsError` if one of them is no report, `ReportError` if it cannot be read.
        """
        for part in self._parts:
            require_report(part.path)

    def lines(self) -> Iterator[tuple[int, ReportLine]]:
        """
        Read the lines of all reports, each with its place, in the order in which they were
        finished; those of one report stay in its order.

        Lines that are no outcome are skipped with a warning.  Raises `ReportError`.
        """
        if len(self._parts) == 1:
            yield from LineReader(self._parts[0].path, decode)
            return
        for _, place, line in heapq.merge(*map(_timed, self._parts), key=itemgetter(0)):
            yield place, line

    def raw_lines(self) -> Iterator[bytes]:
        """
        Read the lines of one report after the other as they are.  Raises `ReportError`.
        """
        for part in self._parts:
            for _, _, line in raw_lines(part.path, window=part.window):
                yield line

    def locate(self, place: int) -> tuple[Path, int]:
        """
        Return the report that has the line at *place*, and the byte there.
        """
        part = next(part for part in reversed(self._parts) if part.place <= place)
        return part.path, place - part.place

    def outcomes_at(self, places: Sequence[int]) -> Iterator[Outcome]:
        """
        Read the outcomes at *places*, in that order, as far as they are still there.

        Raises `ReportError`.
        """
        for path, found in groupby(map(self.locate, places), key=itemgetter(0)):
            with open_to_read(path) as file:
                outcomes = (outcome_at(file, start) for _, start in found)
                yield from (outcome for outcome in outcomes if outcome is not None)


def _size_of(path: Path) -> int | None:
    """
    Return the bytes of the report at *path*; None if it is not there.  Raises `ReportError`.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise report_error(path, "read", exc) from exc


def _timed(part: _Part) -> Iterator[tuple[float, int, ReportLine]]:
    """
    Read the lines of a report with their place, and the latest time up to each.
    """
    latest = -inf
    for start, line in LineReader(part.path, decode, window=part.window):
        finished = seconds_at(line.finished_at)
        if not isnan(finished):
            latest = max(latest, finished)
        yield latest, part.place + start, line


def reports_of(settings: Settings) -> Reports:
    """
    Return the reports that are the ledger of a run with *settings*: its own, that of a run without
    shards, and those of all shards beside it, of whatever number.
    """
    own, whole = settings.report_path, settings.whole_report_path
    # In the output a link may have been planted; a report that is named is the user's own.
    beside = reports_beside(whole, follow_links=settings.report is not None)
    return Reports(own, [path for path in beside if path != own])


def reports_beside(whole: Path, *, follow_links: bool = True) -> Sequence[Path]:
    """
    Return those of the report *whole* and of its shards that are there.

    Raises `ReportError` if their folder cannot be read.
    """
    pattern = shards_of(whole)
    try:
        with os.scandir(whole.parent) as entries:
            names = [
                entry.name
                for entry in entries
                if (entry.name == whole.name or pattern.fullmatch(entry.name))
                and entry.is_file(follow_symlinks=follow_links)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise ReportError(
            f"the folder {whole.parent} cannot be searched for reports: {exc.strerror}; allow this"
            " user to read it"
        ) from exc
    return [whole.with_name(name) for name in sorted(names)]


def load_report(report: Path | Reports, ledger: Ledger) -> None:
    """
    Note every outcome of *report*, one or several, in *ledger*; of a task the last one counts.

    Raises `SettingsError` if what is there is no report, `ReportError` if it cannot be read.
    """
    reports = _several(report)
    reports.require()
    for place, line in reports.lines():
        if line.task_id is not None:
            ledger.note_previous(
                line.task_id, line.status, size=line.bytes or 0, path=line.path, start=place
            )


def read_owner(report: Path | Reports, owner: Owner) -> str | None:
    """
    Return the id of *owner*, which a ledger of *report* has named; None if its line has gone since.

    Raises `ReportError` if the report cannot be read.
    """
    if owner.near is None:
        return owner.task_id
    path, near = _several(report).locate(owner.near)
    if not path.exists():
        return None
    with open_to_read(path) as file:
        # The newline before the line is in what is read, unless the line is the report's first.
        file.seek(max(0, near - 1))
        before = file.read(min(near, 1) + NEAR)
        starts = [0] if near == 0 else []
        starts += [at + 1 for at, byte in enumerate(before) if byte == ord("\n")]
        for start in starts:
            file.seek(max(0, near - 1) + start)
            with suppress(ValueError):
                line = decode(file.readline(MAX_LINE))
                if line is not None and line.task_id and owner.is_task(line.task_id):
                    return line.task_id
    return None


def read_successors(reports: Reports) -> Mapping[str, Sequence[str]]:
    """
    Return which tasks of *reports* were submitted in place of which: by the id of the old one, in
    lower case, those of the new ones.

    Raises `ReportError` if a report cannot be read.
    """
    successors: dict[str, list[str]] = {}
    for line in reports.raw_lines():
        if _RESUBMITS in line:
            with suppress(ValueError):
                entry = decode_entry(line)
                if entry is not None and entry.task_id is not None and entry.replaces is not None:
                    successors.setdefault(entry.replaces, []).append(entry.key)
    return successors


class LastLines:
    """
    Where the last line of each task is in *report*, one or several, a hundred bytes for each.

    Raises `ReportError` if a report is there and cannot be read.
    """

    def __init__(self, report: Path | Reports) -> None:
        self.reports = _several(report)
        # By the hash of the id; rows without one have a line each.
        self._places: dict[int, int] = {}
        for place, line in self.reports.lines():
            who = (line.manifest, line.line) if line.task_id is None else line.task_id.casefold()
            self._places[hash(str(who))] = place

    def outcome_of(self, task_id: str) -> Outcome | None:
        """
        Return what the last line about *task_id* says; None if there is none.
        """
        place = self.place_of(task_id)
        return None if place is None else next(self.reports.outcomes_at([place]), None)

    def place_of(self, task_id: str) -> int | None:
        """
        Return the place of the last line about *task_id*; None if there is none.
        """
        return self._places.get(hash(task_id.casefold()))

    def __iter__(self) -> Iterator[Outcome]:
        """
        Read the last line of each task, in the order of the reports.
        """
        yield from self.reports.outcomes_at(sorted(self._places.values()))


def read_report(path: str | Path) -> Iterator[Outcome]:
    """
    Read the last line of each task in a report, in the report's order.

    *path* is a report, an output folder with a `report.jsonl`, or the URL of a store, whose report
    is in the working directory.  For an output, the reports of its shards count, too; so they do
    for a report that is not there.  Raises `ReportError` if there is none, or if it cannot be read.
    """
    try:
        report, found = report_at(path), reports_at(path)
    except ValueError as exc:
        raise ReportError(f"{path} cannot be read: {exc}") from None
    if not found:
        raise ReportError(f"there is no report at {report}; give a report or an output folder")
    return iter(LastLines(Reports(found[0], found[1:])))


def reports_at(place: str | Path) -> Sequence[Path]:
    """
    Return the reports that *place* stands for: of an output its own and those of its shards, else
    the file, or if it is not there those of its shards.

    Raises `ReportError` if their folder cannot be read, `ValueError` as `report_at` does.
    """
    path = report_at(place)
    is_output = is_store(place) or Path(expand_home(place)) != path
    return reports_beside(path) if is_output or not is_there(path) else [path]


def _several(report: Path | Reports) -> Reports:
    return report if isinstance(report, Reports) else Reports(report)
