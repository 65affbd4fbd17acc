"""
Mapping of a manifest's column names or object keys to the fields of a job.
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from batchfetch.manifest.rows import RowReader
from batchfetch.models import NO_EXTRA, BadRow, Job

_FIELDS: Mapping[str, str] = {
    "task_id": "task_id",
    "taskid": "task_id",
    "id": "task_id",
    "name": "name",
    "submitted_at": "submitted_at",
    "endpoint": "endpoint",
}


class Columns:
    """
    The fields that the values of a row belong to, by its *labels*: header cells or object keys.

    Labels are compared without case and surrounding blanks.  If there is a `task_id` as well as an
    `id`, the `id` is an extra column.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = labels
        self._known: dict[str, int] = {}
        self._extra: dict[str, int] = {}
        # `id` comes last, so that `task_id` takes precedence; the sort keeps all other order.
        for index in sorted(range(len(labels)), key=lambda i: _normalized(labels[i]) == "id"):
            field = _FIELDS.get(_normalized(labels[index]))
            if field is not None and field not in self._known:
                self._known[field] = index
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
        Return the row that begins at *line* as a job, or a bad row if it cannot be used.

        *values* holds one value for each label, in the same order.
        """
        known = {field: values[index] for field, index in self._known.items()}
        if not self._extra:
            return rows.job(line, **known, extra=NO_EXTRA)
        extra = {label: values[index] for label, index in self._extra.items()}
        return rows.job(line, **known, extra=extra)

    def _unique(self, label: str, index: int) -> str:
        if label and label not in self._extra:
            return label
        return f"{label or 'column'} {index + 1}"


def quote_labels(labels: Sequence[str]) -> str:
    """
    Return the first 20 of *labels*, quoted and separated by commas, for an error message.
    """
    return ", ".join(repr(label.strip()[:40]) for label in labels[:20])


def is_task_id_label(label: str) -> bool:
    """
    Whether *label* is one of the names of the column of task ids.
    """
    return _FIELDS.get(_normalized(label)) == "task_id"


def _normalized(label: str) -> str:
    return label.strip().lower()
