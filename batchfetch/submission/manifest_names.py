"""
Names that rows of a manifest have: an image that is to be added to it may not have one of them.
"""

from pathlib import Path
from typing import BinaryIO, NamedTuple

from batchfetch.hash_table import HashTable
from batchfetch.models import RESUBMITS
from batchfetch.report.lines import MAX_LINE
from batchfetch.sources.names import name_key
from batchfetch.submission.manifest_file import manifest_errors, row_of, task_id_of

_TAKEN = 1


class Holder(NamedTuple):
    """
    The row of a manifest that has a name.
    """

    task_id: str | None
    endpoint: object
    source_sha256: object

    def is_task(self, task_id: object) -> bool:
        """
        Whether it is about the task *task_id*.
        """
        if self.task_id is None or not isinstance(task_id, str):
            return False
        return self.task_id.casefold() == task_id.casefold()


class ManifestNames:
    """
    The names in the manifest at *path*, in none if that is None; read when first asked for, 17
    bytes for each.

    Of two rows with one name `fetch` takes the first, unless the second says that it resubmits the
    task of the first: then the name is the second one's.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: HashTable | None = None

    def holder(self, name: str, *, resubmits: object = None) -> Holder | None:
        """
        Return the row that has *name* and keeps it from a task that repeats the task *resubmits*;
        None if there is none.

        Raises `StorageError` if the manifest cannot be read.
        """
        if self._path is None:
            return None
        with manifest_errors(self._path):
            if self._rows is None:
                self._rows = _read(self._path)
            taken, start = self._rows.get(name_key(name))
            if not taken:
                return None
            with self._path.open("rb") as file:
                holder = _holder_at(file, start)
        return None if holder.is_task(resubmits) else holder


def _read(path: Path) -> HashTable:
    """
    Return where in the manifest at *path* the row with each name begins.
    """
    rows = HashTable("Q")
    start = 0
    if not path.is_file():  # A pipe or a device cannot be read back.
        return rows
    with path.open("rb") as file, path.open("rb") as earlier:
        while line := file.readline(MAX_LINE):
            row = row_of(line)
            if (task_id := task_id_of(row)) is not None:
                name = row.get("name")
                key = name_key(name if isinstance(name, str) and name else task_id)
                taken, holder = rows.get(key)
                if not taken or (
                    RESUBMITS in row and _holder_at(earlier, holder).is_task(row[RESUBMITS])
                ):
                    rows.mark(key, _TAKEN, number=start)
            start += len(line)
    return rows


def _holder_at(file: BinaryIO, start: int) -> Holder:
    file.seek(start)
    row = row_of(file.readline(MAX_LINE))
    return Holder(task_id_of(row), row.get("endpoint"), row.get("source_sha256"))
