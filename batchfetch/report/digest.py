"""
Read reports from beginning to end, and keep what their figures and tables are made of.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pydantic_core import from_json

from batchfetch.errors import ReportError
from batchfetch.models import OutcomeStatus
from batchfetch.paths import is_store
from batchfetch.report.count import TaskCount
from batchfetch.report.entries import Entry, decode_entry, seconds_at
from batchfetch.report.figures import Example, Figures, Groups, Resubmitted, RunFigures, Trouble
from batchfetch.report.lines import AROUND, MAX_LINE
from batchfetch.report.periods import Period, Periods
from batchfetch.report.reader import LineReader, open_to_read
from batchfetch.report.runs import read_runs
from batchfetch.report.tasks import Task, Tasks

log = logging.getLogger("batchfetch.report")

# Unusable lines that get a warning each; the others are counted.
_WARNINGS = 3

_SHOWN_RUNS = 20


@dataclass(frozen=True, slots=True)
class Source:
    """
    A report to be read.
    """

    path: Path

    given: str
    """What it was called: itself, or its folder."""

    @property
    def name(self) -> str:
        """
        What figures call it.
        """
        return str(self.path)


class Digest:
    """
    What *sources* say, as one report: the last line of each task, or *every_line*.  A line that is
    in two of them counts where it was met first.

    *only* leaves out tasks with other outcomes, *group_by* is a column of the manifest.  Raises
    `ReportError` if one of them cannot be read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        only: frozenset[OutcomeStatus] | None = None,
        every_line: bool = False,
        group_by: str | None = None,
    ) -> None:
        self.sources = sources
        self.columns: dict[str, None] = {}
        """The manifests' other columns, in the order in which they were met."""

        self._tasks = Tasks(only=only, every_line=every_line, group_by=group_by)
        self._group_by = group_by
        self._periods: list[Periods] = []
        self._lines = 0
        self._unusable = 0
        for number, source in enumerate(sources):
            self._read(number, source)
        self._count = TaskCount(self._tasks, grouped=group_by is not None)

    def _read(self, number: int, source: Source) -> None:
        periods = Periods(source.name, read_runs(source.path))
        tasks, columns = self._tasks, self.columns
        entries = LineReader(source.path, decode_entry, warnings=_WARNINGS)
        for start, entry in entries:
            self._lines += 1
            asked, ended = seconds_at(entry.first_call_at), seconds_at(entry.finished_at)
            if tasks.add(number, start, entry, asked, ended):
                periods.add(entry, asked, ended)
            if not columns.keys() >= entry.extra.keys():
                columns.update(dict.fromkeys(entry.extra))
        self._periods.append(periods)
        self._unusable += entries.unusable

    @property
    def logged(self) -> list[Period]:
        """
        The runs of all reports, in the order in which they began.
        """
        found = [(run.began_at, period) for period in self._all() if (run := period.run)]
        return [period for _, period in sorted(found, key=lambda pair: pair[0])]

    @property
    def unlogged(self) -> list[Period]:
        """
        Lines of no logged run, by report.
        """
        return [periods.unlogged for periods in self._periods if periods.unlogged.outcomes]

    def _all(self) -> Iterator[Period]:
        for periods in self._periods:
            yield from (*periods.of_runs, periods.unlogged)

    def figures(self, *, price_per_call: float | None = None) -> Figures:
        """
        Return the figures; without *price_per_call* there is no cost.
        """
        count = self._count
        calls = sum(period.calls for period in self._all())
        early = [n for period in self._all() if (n := period.said("asked_too_early")) is not None]
        return Figures(
            reports=[source.name for source in self.sources],
            lines=self._lines,
            unusable_lines=self._unusable,
            tasks=count.kinds.total(),
            outcomes=count.outcomes,
            reasons=count.reasons,
            troubles=self._troubles(),
            resubmitted=self._resubmitted(),
            with_warnings=count.with_warnings,
            images=count.images,
            adopted=count.adopted,
            bytes=count.bytes,
            calls=calls,
            calls_per_image=round(calls / count.images, 3) if count.images else None,
            asked_too_early=sum(early) if early else None,
            cost=None if price_per_call is None else round(calls * price_per_call, 6),
            time_to_image=count.times,
            runs=self._runs(),
            groups=self._groups(),
        )

    def _resubmitted(self) -> Resubmitted:
        tasks, outcomes = self._tasks.resubmitted
        return Resubmitted(tasks=tasks, outcomes=outcomes)

    def _runs(self) -> list[RunFigures]:
        figures = [period.figures() for period in self.logged[-_SHOWN_RUNS:]]
        return [run for run in figures if run is not None]

    def _groups(self) -> Groups | None:
        return self._count.groups(self._group_by) if self._group_by is not None else None

    def _troubles(self) -> list[Trouble]:
        troubles = self._count.troubles
        found = {
            (number, start): entry for number, start, entry in self.entries(t for t, _ in troubles)
        }
        return [
            Trouble(
                outcome=task.kind.outcome,
                reason=task.kind.reason,
                tasks=tasks,
                resubmitted=self._count.replaced[task.kind.outcome, task.kind.reason],
                example=_example(entry, self.sources[task.source]),
            )
            for task, tasks in troubles
            if (entry := found.get((task.source, task.start)))  # None if the file was cut off.
        ]

    def outputs(self, number: int) -> list[Path]:
        """
        Return where images of source *number* may be: beside it, or where its runs put them.
        """
        known = [Path(output) for output in self._given(number) if not is_store(output)]
        return list(dict.fromkeys([self.sources[number].path.parent, *known]))

    def store(self, number: int) -> str | None:
        """
        Return the URL to which the last run of source *number* put images; None if it had a folder.
        """
        last = next(iter(self._given(number)), None)
        return last if is_store(last) else None

    def _given(self, number: int) -> list[str]:
        outputs = [
            run.settings.get("output") for p in self._periods[number].of_runs if (run := p.run)
        ]
        return [output for output in reversed(outputs) if isinstance(output, str)]

    def tasks(self) -> Iterator[Task]:
        """
        Return the tasks in the order in which the reports first name them.
        """
        return iter(self._tasks)

    def lines(self) -> Iterator[bytes]:
        """
        Read the lines of all tasks again, in the order of the reports; none has its line end.

        Raises `ReportError` if a report cannot be read, or was cut short or replaced meanwhile.
        """
        for number, starts in enumerate(self._tasks.starts(len(self.sources))):
            path = self.sources[number].path
            for start, line in _lines_at(path, starts):
                if not _is_object(line):
                    raise ReportError(
                        f"the report {path} was changed by another program while it was read: at"
                        f" byte {start} is no line any more; run the command again"
                    )
                yield line

    def entries(self, tasks: Iterable[Task]) -> Iterator[tuple[int, int, Entry]]:
        """
        Read the lines of *tasks*, which are held in memory, again, in the order of the reports.

        Each comes with its report's number among the sources, and the byte it begins at.
        """
        starts: dict[int, list[int]] = {}
        for task in tasks:
            starts.setdefault(task.source, []).append(task.start)
        for number in sorted(starts):
            for start, line in _lines_at(self.sources[number].path, starts[number]):
                with suppress(ValueError):  # The report was changed meanwhile.
                    if (entry := decode_entry(line)) is not None:
                        yield number, start, entry


def _lines_at(path: Path, starts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    # Mostly they are sorted, and a sorted copy takes five times the memory of an array.
    is_sorted = all(before <= after for before, after in pairwise(starts))
    with open_to_read(path) as file:
        for start in starts if is_sorted else sorted(starts):
            file.seek(start)
            yield start, file.readline(MAX_LINE).strip(AROUND)


def _is_object(line: bytes) -> bool:
    try:
        from_json(line)
    except ValueError:
        return False
    return line.startswith(b"{")


def _example(entry: Entry, source: Source) -> Example:
    return Example(
        task_id=entry.task_id,
        detail=entry.detail or "; ".join(entry.messages) or None,
        report=source.name,
        manifest=None if entry.manifest is None else str(entry.manifest),
        line=entry.line if isinstance(entry.line, int) else None,
    )
