"""
Names that rows of a manifest have: an image that is to be added to it may not have one of them.
"""

import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batchfetch.hash_table import HashTable
from batchfetch.manifest import job_of
from batchfetch.models import RESUBMITS, Job
from batchfetch.paths import fold_name
from batchfetch.report.lines import MAX_LINE
from batchfetch.sources.names import name_key
from batchfetch.submission.manifest_file import manifest_errors, row_of

_TAKEN = 1

_RESUBMITS = f'"{RESUBMITS}"'.encode()

# What programs put before a line: a byte order mark, ^Z.
_MARKS = b"\xef\xbb\xbf\x1a"

# The beginning of nearly all lines that `submit` writes: an id and a name that are what they are,
# five characters at least because words like NULL are none.  All others take ten times as long.
_ORDINARY = re.compile(
    rb'\{"task_id":"[0-9A-Za-z-]{5,200}","name":"'
    rb'((?:[A-Za-z0-9_][A-Za-z0-9_-]{0,100}/){0,7}[A-Za-z0-9_][A-Za-z0-9_-]{4,200})","'
)


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
            found = _ORDINARY.match(line)
            if found and _RESUBMITS not in line:
                _enter(rows, f"{found[1].decode()}.png".lower(), start)
            elif (job := _job_of(line)) is not None:
                key = fold_name(job.filename)
                resubmits = job.extra.get(RESUBMITS)
                if not _enter(rows, key, start) and resubmits is not None:
                    _, holder = rows.get(key)
                    if _holder_at(earlier, holder).is_task(resubmits):
                        rows.mark(key, _TAKEN, number=start)
            start += len(line)
    return rows


def _enter(rows: HashTable, key: str, start: int) -> bool:
    is_new = not rows.get(key)[0]
    if is_new:
        rows.mark(key, _TAKEN, number=start)
    return is_new


def _job_of(line: bytes) -> Job | None:
    return job_of(row_of(line.lstrip(_MARKS)))


def _holder_at(file: BinaryIO, start: int) -> Holder:
    file.seek(start)
    job = _job_of(file.readline(MAX_LINE))
    if job is None:  # It was changed meanwhile.
        return Holder(None, None, None)
    return Holder(job.task_id, job.endpoint, job.extra.get("source_sha256"))
