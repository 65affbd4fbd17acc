"""
Count the tasks of reports: by what became of them, and by a column.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

from batchfetch.models import OutcomeStatus
from batchfetch.report.figures import Group, Groups, Times
from batchfetch.report.spread import spread_of
from batchfetch.report.tasks import Kind, Task

_COMPLETED = OutcomeStatus.COMPLETED


class TaskCount:
    """
    What became of *tasks*; if *grouped*, for each group, too.
    """

    def __init__(self, tasks: Iterable[Task], *, grouped: bool = False) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.first: dict[tuple[OutcomeStatus, str | None], Task] = {}
        """The first task of each outcome but Completed and reason."""

        self.replaced: Counter[tuple[OutcomeStatus, str | None]] = Counter()
        """Those of them in whose place another task was submitted, by outcome and reason."""

        self.bytes = 0
        """Of the images fetched."""

        self._waited = array("f")
        self._since_submission = array("f")
        self._groups: dict[str | None, _GroupCount] = {}
        for task in tasks:
            self._add(task)
            if grouped:
                self._groups.setdefault(task.group, _GroupCount()).add(task)

    def _add(self, task: Task) -> None:
        kind = task.kind
        self.kinds[kind] += 1
        if kind.outcome is not _COMPLETED:
            which = kind.outcome, kind.reason
            self.replaced[which] += task.is_replaced
            # One that is still to be seen to is the better example.
            if which not in self.first or self.first[which].is_replaced > task.is_replaced:
                self.first[which] = task
        elif not kind.is_adopted:
            self.bytes += task.size
            # Less than nothing, or not a number: a clock was set back, or it is not known.
            if task.waited >= 0:
                self._waited.append(task.waited)
            if task.waited_since_submission >= 0:
                self._since_submission.append(task.waited_since_submission)

    @property
    def outcomes(self) -> dict[OutcomeStatus, int]:
        """
        Tasks by outcome, without zeros.
        """
        return outcomes_of(self.kinds)

    @property
    def reasons(self) -> dict[str, int]:
        """
        Tasks by reason, the most frequent first.
        """
        found: Counter[str] = Counter()
        for kind, count in self.kinds.items():
            if kind.reason is not None and kind.outcome is not _COMPLETED:
                found[kind.reason] += count
        return dict(found.most_common())

    @property
    def troubles(self) -> list[tuple[Task, int]]:
        """
        The first task of each outcome but Completed and reason, and how many there are.
        """
        found: Counter[tuple[OutcomeStatus, str | None]] = Counter()
        for kind, count in self.kinds.items():
            if kind.outcome is not _COMPLETED:
                found[kind.outcome, kind.reason] += count
        return [(self.first[which], count) for which, count in found.most_common()]

    @property
    def with_warnings(self) -> int:
        """
        Completed tasks with a warning of the service.
        """
        return sum(n for k, n in self.kinds.items() if k.outcome is _COMPLETED and k.has_warnings)

    @property
    def adopted(self) -> int:
        """
        Tasks whose image was there already.
        """
        return sum(count for kind, count in self.kinds.items() if kind.is_adopted)

    @property
    def images(self) -> int:
        """
        Images that were fetched.
        """
        return self.outcomes.get(_COMPLETED, 0) - self.adopted

    @property
    def times(self) -> Times:
        """
        How long the images that were fetched took.
        """
        return Times(
            from_submission=spread_of(self._since_submission),
            from_first_call=spread_of(self._waited),
        )

    def groups(self, column: str) -> Groups:
        """
        Return the tasks by their group, which is what they have in *column*.
        """
        named = [count.figures(value) for value, count in self._groups.items()]
        return Groups(column=column, groups=sorted(named, key=_rank))


def _rank(group: Group) -> tuple[int, bool, str]:
    return -group.tasks, group.value is None, group.value or ""


class _GroupCount:
    # A few counters for each of what may be very many groups.
    __slots__ = ("_bytes", "_calls", "_kinds")

    def __init__(self) -> None:
        self._kinds: dict[Kind, int] = {}
        self._bytes = 0
        self._calls = 0

    def add(self, task: Task) -> None:
        self._kinds[task.kind] = self._kinds.get(task.kind, 0) + 1
        self._calls += task.calls
        if not task.kind.is_adopted:
            self._bytes += task.size

    def figures(self, value: str | None) -> Group:
        outcomes = outcomes_of(self._kinds)
        adopted = sum(count for kind, count in self._kinds.items() if kind.is_adopted)
        return Group(
            value=value,
            tasks=sum(self._kinds.values()),
            outcomes=outcomes,
            images=outcomes.get(_COMPLETED, 0) - adopted,
            adopted=adopted,
            bytes=self._bytes,
            calls=self._calls,
        )


def outcomes_of(kinds: Mapping[Kind, int]) -> dict[OutcomeStatus, int]:
    """
    Return how many there are of each outcome, without zeros, in the order of `OutcomeStatus`.
    """
    found: Counter[OutcomeStatus] = Counter()
    for kind, count in kinds.items():
        found[kind.outcome] += count
    return {status: found[status] for status in OutcomeStatus if found[status]}
