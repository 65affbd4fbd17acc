"""
What the columns of a manifest mean, by their names.
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from batchfetch.manifest.rows import RowReader
from batchfetch.models import NO_EXTRA, BadRow, Job

_MEANING: Mapping[str, str] = {
    "task_id": "task_id",
    "taskid": "task_id",
    "id": "task_id",
    "name": "name",
    "submitted_at": "submitted_at",
    "endpoint": "endpoint",
}


class Columns:
    """
    Which value of a row means what, by its *labels*: a header's cells or an object's keys.

    Case and blanks around a label do not matter.  Where `task_id` stands beside another `id`, the
    other one is extra.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = labels
        self._known: dict[str, int] = {}
        self._extra: dict[str, int] = {}
        # A bare `id` comes last; sorting keeps the order of everything else.
        for index in sorted(range(len(labels)), key=lambda i: _folded(labels[i]) == "id"):
            meaning = _MEANING.get(_folded(labels[index]))
            if meaning is not None and meaning not in self._known:
                self._known[meaning] = index
            else:
                self._extra[self._unique(labels[index].strip(), index)] = index

    @property
    def has_task_id(self) -> bool:
        """
        Whether one of the columns holds the task ids.
        """
        return "task_id" in self._known

    def job(self, rows: RowReader, line: int, values: Sequence[JsonValue]) -> Job | BadRow:
        """
        Return the row that begins at *line*, of one value for each label.
        """
        known = {meaning: values[at] for meaning, at in self._known.items()}
        if not self._extra:
            return rows.job(line, **known, extra=NO_EXTRA)
        extra = {label: values[at] for label, at in self._extra.items()}
        return rows.job(line, **known, extra=extra)

    def _unique(self, label: str, index: int) -> str:
        if label and label not in self._extra:
            return label
        return f"{label or 'column'} {index + 1}"


def listed(labels: Sequence[str]) -> str:
    """
    Return the first of *labels*, for people.
    """
    return ", ".join(repr(label.strip()[:40]) for label in labels[:20])


def names_task(label: str) -> bool:
    """
    Whether the column called *label* may hold the task ids.
    """
    return _MEANING.get(_folded(label)) == "task_id"


def _folded(label: str) -> str:
    return label.strip().lower()
