"""
The last line of each task in a few reports, in seventy bytes each.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from math import nan
from typing import NamedTuple

from batchfetch.hash_table import HashTable
from batchfetch.models import OutcomeStatus
from batchfetch.report.entries import Entry, seconds_at

# An image's bytes, whatever a line claims.
_LARGEST = 2**63


# The flag of a task that has been met.
_MET = 1


class Kind(NamedTuple):
    """
    What became of a task.
    """

    outcome: OutcomeStatus
    reason: str | None
    is_adopted: bool
    has_warnings: bool


class Task(NamedTuple):
    """
    A task's last line.
    """

    kind: Kind
    source: int
    """Which of the reports it is in."""

    start: int
    """The byte it begins at."""

    size: int
    """Bytes of the image."""

    calls: int
    waited: float
    """Seconds from the first call to the image; NaN if there is none or it is not known."""

    waited_since_submission: float
    group: str | None
    is_replaced: bool
    """Whether another task of the reports was submitted in its place."""


class Tasks:
    """
    Tasks, each as the line that was finished last has it; with *every_line* each line is a task.

    Only those with one of the outcomes *only* are handed out, and grouped by the column *group_by*.
    """

    def __init__(
        self,
        *,
        only: frozenset[OutcomeStatus] | None = None,
        every_line: bool = False,
        group_by: str | None = None,
    ) -> None:
        self._only = only
        self._every_line = every_line
        self._group_by = group_by
        self._places = HashTable("I")
        self._kinds: dict[Kind, int] = {}
        self._groups: dict[str | None, int] = {}
        self._kind = array("I")
        self._source = array("I")
        self._start = array("Q")
        self._size = array("Q")
        self._calls = array("I")
        self._waited = array("f")
        self._since_submission = array("f")
        self._finished = array("d")
        self._group = array("I")
        # By a task's place: the key of the one that it replaces.  Few have one.
        self._replaces: dict[int, str] = {}

    def add(self, source: int, start: int, entry: Entry, asked: float, ended: float) -> bool:
        """
        Take the line that begins at *start* in report *source*; times are Unix times or NaN.

        Returns whether it is new: a merged report has copies of other reports' lines.
        """
        place = len(self._kind)
        if not self._every_line:
            known, met = self._places.get(entry.key)
            if known:
                place = met
            else:
                self._places.mark(entry.key, _MET, number=place)
        if place == len(self._kind):
            self._make_room()
        elif self._source[place] != source and ended <= self._finished[place]:
            return ended < self._finished[place]  # One of another report, which was overtaken.
        kind = Kind(entry.status, entry.reason, entry.is_adopted, bool(entry.warnings))
        self._kind[place] = self._kinds.setdefault(kind, len(self._kinds))
        self._source[place], self._start[place] = source, start
        self._size[place] = min(entry.bytes or 0, _LARGEST)
        self._calls[place] = entry.calls
        self._finished[place] = ended
        self._waited[place] = self._since_submission[place] = nan
        if entry.is_image:
            self._waited[place] = ended - asked
            if entry.submitted_at is not None:
                self._since_submission[place] = ended - seconds_at(entry.submitted_at)
        # With every line a task has many places, and which is the last is not known.
        if not self._every_line and (replaced := entry.replaces) is not None:
            self._replaces[place] = replaced
        if self._group_by is not None:
            group = entry.column(self._group_by)
            self._group[place] = self._groups.setdefault(group, len(self._groups))
        return True

    @property
    def resubmitted(self) -> tuple[int, Mapping[OutcomeStatus, int]]:
        """
        How many tasks were submitted again, also those that are not in the reports, and what became
        of the last task of each image, whichever outcomes are handed out.
        """
        kinds, replaced = list(self._kinds), self._replaced()
        ends = Counter(
            kinds[self._kind[place]].outcome for place in self._replaces if place not in replaced
        )
        outcomes = {status: ends[status] for status in OutcomeStatus if ends[status]}
        return len(set(self._replaces.values())), outcomes

    def _replaced(self) -> set[int]:
        """
        Return the places of the tasks that another one replaces.
        """
        found = map(self._places.get, set(self._replaces.values()))
        return {place for known, place in found if known}

    def __iter__(self) -> Iterator[Task]:
        """
        Return the tasks in the order in which the reports first name them.
        """
        replaced = self._replaced()
        kinds, groups = list(self._kinds), list(self._groups) or [None]
        for place, kind in enumerate(self._kind):
            if self._only is None or kinds[kind].outcome in self._only:
                yield Task(
                    kinds[kind],
                    self._source[place],
                    self._start[place],
                    self._size[place],
                    self._calls[place],
                    self._waited[place],
                    self._since_submission[place],
                    groups[self._group[place]] if self._group_by is not None else None,
                    place in replaced,
                )

    def starts(self, sources: int) -> "list[array[int]]":
        """
        Return where the tasks' lines begin in each of so many reports.
        """
        found = [array("Q") for _ in range(sources)]
        kinds = list(self._kinds)
        for source, start, kind in zip(self._source, self._start, self._kind, strict=True):
            if self._only is None or kinds[kind].outcome in self._only:
                found[source].append(start)
        return found

    def _make_room(self) -> None:
        for values in (self._kind, self._source, self._start, self._size, self._calls, self._group):
            values.append(0)
        for times in (self._waited, self._since_submission, self._finished):
            times.append(nan)
