"""
Mapping of a manifest's column names or object keys to the fields of a job.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from batchfetch.errors import ManifestError
from batchfetch.manifest.rows import RowReader
from batchfetch.manifest.values import shown, without_surrogates
from batchfetch.models import NO_EXTRA, REPORT_COLUMNS, BadRow, Job

_FIELDS: Mapping[str, str] = {
    "taskid": "task_id",
    "id": "task_id",
    "name": "name",
    "submittedat": "submitted_at",
    "endpoint": "endpoint",
}

# Letters at the beginning of a label that say what was meant: `submitted`, `submit_time`.
_STEM = 6

# Blanks, dashes, underscores and what programs leave around a label do not matter.
_SLACK = 4
_DROPPED = dict.fromkeys(map(ord, " \t\u00a0-_\"'\ufeff"))


class MissingColumnError(ManifestError):
    """
    A table lacks a column that it needs; the message quotes those that it has.
    """


class ColumnNames(NamedTuple):
    """
    Names of the columns of task ids and of image names; None for the usual ones.
    """

    task_id: str | None = None
    name: str | None = None

    def field_of(self, label: str) -> str | None:
        """
        Return the field of a job that the column *label* holds; None for an extra column.
        """
        key = label_key(label)
        if self.task_id is not None and key == label_key(self.task_id):
            return "task_id"
        if self.name is not None and key == label_key(self.name):
            return "name"
        field = _FIELDS.get(key)
        # A usual name counts only if no other was given for that column.
        return None if field in self._chosen else field

    @property
    def name_is_task_id(self) -> bool:
        """
        Whether one column was given for both.
        """
        keys = {label_key(label) for label in self if label is not None}
        return None not in self and len(keys) == 1

    @property
    def _chosen(self) -> set[str]:
        return {field for field, label in self._asdict().items() if label is not None}


USUAL_NAMES = ColumnNames()


class Columns:
    """
    The fields that the values of a row belong to, by its *labels*: header cells or object keys.

    Case, blanks, dashes and underscores in labels do not matter.  If there is a `task_id` as well
    as an `id`, the `id` is an extra column.  In a table made of a report, what the report says of
    a task is none of its columns.
    """

    def __init__(self, labels: Sequence[str], names: ColumnNames = USUAL_NAMES) -> None:
        self.labels = labels
        self.keys = {*_FIELDS, *map(label_key, labels)}
        """These labels and the usual ones, without what does not matter in them."""

        self.longest_label = max(map(len, [*_FIELDS, *labels])) + _SLACK
        """The most characters that a label may have where the header is repeated."""

        self.is_report = set(labels).issuperset(REPORT_COLUMNS)
        """Whether this is a table made of a report; its rows without a task id are none."""

        self._known: dict[str, int] = {}
        self._extra: dict[str, int] = {}
        # A label as it was given comes first and `id` last; the sort keeps all other order.
        order = [(label.strip() not in names, label_key(label) == "id") for label in labels]
        for index in sorted(range(len(labels)), key=order.__getitem__):
            field = names.field_of(labels[index])
            if field is not None and field not in self._known:
                self._known[field] = index
            elif not (self.is_report and labels[index] in REPORT_COLUMNS):
                self._extra[self._unique(labels[index].strip(), index)] = index
        if names.name_is_task_id and self.has_task_id:
            self._known["name"] = self._known["task_id"]

    @property
    def has_task_id(self) -> bool:
        """
        Whether one of the columns holds the task ids.
        """
        return "task_id" in self._known

    @property
    def has_name(self) -> bool:
        """
        Whether one of the columns holds the names of the images.
        """
        return "name" in self._known

    @property
    def id_index(self) -> int:
        """
        Which of the columns holds the task ids.
        """
        return self._known["task_id"]

    def misspelt(self) -> Iterator[tuple[str, str]]:
        """
        Yield each extra column whose label is nearly that of a field without a column, and the
        field.
        """
        missing = [field for field in _FIELDS.values() if field not in self._known]
        for label in self._extra:
            for field in missing:
                if _is_slip(label_key(label), label_key(field)):
                    yield label, field

    def fits(self, cells: Sequence[str]) -> bool:
        """
        Whether *cells* are certainly a row: as many as the labels, and one word as the id.
        """
        return len(cells) == len(self.labels) and len(cells[self.id_index].split()) == 1

    def job(
        self,
        rows: RowReader,
        line: int,
        values: Sequence[JsonValue],
        *,
        undecoded: bool = False,
    ) -> Job | BadRow:
        """
        Return the row that begins at *line* as a job, or a bad row if it cannot be used.

        *values* holds one value for each label, in the same order.  If it may hold *undecoded*
        bytes, as lone surrogates, those in extra columns are replaced, with a warning.
        """
        known = {field: values[index] for field, index in self._known.items()}
        if not self._extra:
            return rows.job(line, **known, extra=NO_EXTRA)
        extra = {label: values[index] for label, index in self._extra.items()}
        if undecoded:
            extra = _mended(extra, rows, line)
        return rows.job(line, **known, extra=extra)

    def field_at(self, index: int) -> str | None:
        """
        Return the field of a job that the column at *index* holds; None for an extra column.
        """
        return next((field for field, known in self._known.items() if known == index), None)

    def jobs(
        self,
        rows: RowReader,
        first_line: int,
        cells: Sequence[Sequence[Any]],
        *,
        undecoded: bool = False,
    ) -> Iterator[Job | BadRow]:
        """
        Return the rows from *first_line* on, whose *cells* are given column by column.

        They are those of `job`; what holds the times of submission may have datetimes, too.
        """
        if undecoded or (self.is_report and None in cells[self.id_index]):
            found = enumerate(zip(*cells, strict=True), first_line)
            return (
                self.job(rows, line, values, undecoded=undecoded)
                for line, values in found
                if not self.is_report or values[self.id_index] is not None
            )
        known = {field: cells[index] for field, index in self._known.items()}
        if not self._extra:
            return rows.jobs(first_line, **known)
        others = zip(*(cells[index] for index in self._extra.values()), strict=True)
        extra = [dict(zip(self._extra, values)) for values in others]  # noqa: B905 - as many
        return rows.jobs(first_line, **known, extra=extra)

    def _unique(self, label: str, index: int) -> str:
        if label and label not in self._extra:
            return label
        return f"{label or 'column'} {index + 1}"


def require_columns(columns: Columns, names: ColumnNames, source: str) -> None:
    """
    Raise `MissingColumnError` if *columns*, those of the table *source*, lack the one of task ids,
    or one that was named.
    """
    found = quote_labels(columns.labels)
    for label, is_there in ((names.task_id, columns.has_task_id), (names.name, columns.has_name)):
        if label is not None and not is_there:
            raise MissingColumnError(
                f"{source} has no column {shown(label)}; its columns are {found}; give one"
            )
    if not columns.has_task_id:
        raise MissingColumnError(
            f"{source} has no column task_id; its columns are {found};"
            " rename one, or name it with --id-column"
        )


def _mended(extra: Mapping[str, JsonValue], rows: RowReader, line: int) -> dict[str, JsonValue]:
    mended = {}
    for label, value in extra.items():
        mended[without_surrogates(label)] = without_surrogates(value)
        if mended.get(label) != value:
            rows.note_lost_bytes(line, label)
    return mended


def _is_slip(key: str, meant: str) -> bool:
    """
    Whether *key* may be *meant* with a letter too many, too few or in the wrong place, or with
    another ending.
    """
    short, long = sorted((key, meant), key=len)
    return (
        sorted(short) == sorted(long)
        or short in {long[:place] + long[place + 1 :] for place in range(len(long))}
        or (len(short) >= _STEM and short[:_STEM] == long[:_STEM])
    )


def label_key(label: str) -> str:
    """
    Return *label* without what does not matter in a column's name.
    """
    return label.translate(_DROPPED).casefold()


def quote_labels(labels: Sequence[str]) -> str:
    """
    Return the first 20 of *labels*, quoted and separated by commas, for an error message.
    """
    return ", ".join(repr(label.strip()[:40]) for label in labels[:20])
