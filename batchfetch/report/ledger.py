"""
Compact record of settled tasks, used file names and whose images they are: 13 bytes for a task, 17
more for an image that is not named by its task's id.
"""

from enum import Enum, auto
from typing import NamedTuple

from batchfetch.hash_table import HashTable
from batchfetch.models import RESUBMITS, Job, OutcomeStatus
from batchfetch.paths import fold_name

_STATUSES = tuple(OutcomeStatus)

# Flags of an id.
_STATUS = 0b0111  # The last outcome: one more than its place in _STATUSES; 0 is none.
_SEEN = 0b1000  # This run's manifest has it.
_NAMED = 0b1_0000  # Its image is not called `<id>.png`, which an entry else stands for, too.
_HAS_IMAGE = 0b10_0000  # An earlier run has put an image at `<id>.png` for it.

_COMPLETED = _STATUSES.index(OutcomeStatus.COMPLETED) + 1

# Flags of a name.
_TAKEN = 0b01  # A row of this run's manifest has it.
_REPORTED = 0b10  # An earlier run has put an image there; the number says for whom.

_SIZE = 2**32 - 1

# The number of a name: a hash of its owner's id, and where the report says so.
_OWNER_BITS = 32
_BLOCK_BITS = 6


class Standing(Enum):
    """
    What a row of the manifest is to those before it.
    """

    FRESH = auto()

    DUPLICATE = auto()
    """An earlier row has the same task."""

    NAME_TAKEN = auto()
    """The image would replace that of an earlier row."""


class Settled(NamedTuple):
    """
    How a task ended in earlier runs.
    """

    status: OutcomeStatus

    size: int
    """The image's bytes, modulo 2³²; 0 if there is none, or if its size is not known."""

    def has_size(self, size: int) -> bool:
        """
        Whether the image had *size* bytes.
        """
        return self.size == size & _SIZE


class Owner(NamedTuple):
    """
    The task whose image a file is, as the report has it.
    """

    key: int
    """A hash of its id."""

    near: int | None
    """The line that says so begins at this byte of the report, or up to `NEAR` - 1 bytes behind."""

    task_id: str | None
    """Its id, if the file is named by it."""

    def is_task(self, task_id: str) -> bool:
        """
        Whether it is the task *task_id*.
        """
        return self.key == _owner_key(task_id.casefold())


NEAR = 2**_BLOCK_BITS
"""Bytes to which the beginning of an owner's line is known; a line has more."""


class Ledger:
    """
    What earlier runs made of every task, and what this run's manifest has named so far.

    Ids that differ only in case are one task, as they are for the service.  Names that differ only
    in case or in how an accent is written are one file, as they are on some systems.
    """

    def __init__(self) -> None:
        self._ids = HashTable("I")
        self._names = HashTable("Q")

    def note_previous(
        self,
        task_id: str,
        status: OutcomeStatus,
        *,
        size: int = 0,
        path: str | None = None,
        start: int = 0,
    ) -> None:
        """
        Note the last outcome of a task; *size* (bytes) and *path* are those of its image, *start*
        is where in the report its line begins.

        An unusable row says nothing of the task, and is not noted.
        """
        if status is OutcomeStatus.INVALID:
            return
        key = task_id.casefold()
        flags = _STATUSES.index(status) + 1
        if path is None:
            self._ids.mark(key, flags, clear=_STATUS, number=size & _SIZE)
            return
        is_default = _is_default(task_id, path)
        flags |= _HAS_IMAGE if is_default else 0
        self._ids.mark(key, flags, clear=_STATUS, number=size & _SIZE)
        name = fold_name(path)
        # An entry among the names says more than that of the id: it may be of another task.
        if not is_default or (self._names.used and self._names.get(name)[0] & _REPORTED):
            self._names.mark(name, _REPORTED, number=_owner_key(key) << _OWNER_BITS | _block(start))

    def lookup(self, task_id: str) -> Settled | None:
        """
        Return the last outcome noted of a task; None if there is none.
        """
        return _settled(*self._ids.get(task_id.casefold()))

    def admit(self, job: Job) -> tuple[Standing, Settled | None]:
        """
        Enter the next row of the manifest.

        Returns what it is to the rows before it, and, if it is fresh, its last outcome.
        """
        task_id = job.task_id.casefold()
        flags, size = self._ids.mark(task_id, _SEEN)
        if flags & _SEEN:
            return Standing.DUPLICATE, None
        if not self._claims_name(job, task_id, flags) and not self._resubmits_holder(job):
            return Standing.NAME_TAKEN, None
        return (Standing.FRESH, _settled(flags, size)) if flags else _UNKNOWN

    def owner_of(self, filename: str) -> "Owner | None":
        """
        Return the task to which the report gives the image at *filename*: that of the last line
        with this path; None if there is none.
        """
        name = fold_name(filename)
        if self._names.used:
            flags, number = self._names.get(name)
            if flags & _REPORTED:
                return Owner(number >> _OWNER_BITS, (number & _SIZE) << _BLOCK_BITS, None)
        if name.isascii() and name.endswith(".png"):
            key = name.removesuffix(".png")
            if self._ids.get(key)[0] & _HAS_IMAGE:
                return Owner(_owner_key(key), None, filename[: -len(".png")])
        return None

    def _claims_name(self, job: Job, task_id: str, flags: int) -> bool:
        # Most rows have no name of their own; then the id's entry stands for both.
        if _is_default(job.task_id, job.filename):
            if not self._names.used or not self._names.get(f"{task_id}.png")[0] & _TAKEN:
                return True
            self._ids.mark(task_id, _NAMED)
            return False
        filename = fold_name(job.filename)
        # For a row that resubmits this one's task; what has an image has an owner's entry.
        number = None if _has_size(flags) else _name_key(filename)
        self._ids.mark(task_id, _NAMED, number=number)
        namesake, _ = self._ids.get(filename.removesuffix(".png"))
        if namesake & (_SEEN | _NAMED) == _SEEN:
            return False
        return not self._names.mark(filename, _TAKEN)[0] & _TAKEN

    def _resubmits_holder(self, job: Job) -> bool:
        """
        Whether *job* says that it was submitted in place of a task of this manifest, and that one's
        row has its name.
        """
        resubmits = job.extra.get(RESUBMITS)
        if not isinstance(resubmits, str):
            return False
        flags, number = self._ids.get(resubmits.casefold())
        if not flags & _SEEN:
            return False
        filename = fold_name(job.filename)
        if not flags & _NAMED:
            return filename == f"{resubmits.casefold()}.png"
        if _has_size(flags):
            owner = self.owner_of(job.filename)
            return owner is not None and owner.is_task(resubmits)
        return number == _name_key(filename)


# What nearly every row is; to look up a member of an enum takes 0.1 us.
_UNKNOWN = Standing.FRESH, None


def _settled(flags: int, size: int) -> Settled | None:
    known = flags & _STATUS
    if not known:
        return None
    return Settled(_STATUSES[known - 1], size if _has_size(flags) else 0)


def _has_size(flags: int) -> bool:
    """
    Whether the number of an id with *flags* is the size of its image: else it is its row's name.
    """
    return flags & _STATUS == _COMPLETED


def _is_default(task_id: str, filename: str) -> bool:
    """
    Whether *filename* is the plain name by *task_id*: then the id's entry stands for the name, too.
    """
    return filename == f"{task_id}.png" and task_id.isascii()


def _name_key(folded_name: str) -> int:
    return hash(folded_name) & _SIZE


def _owner_key(folded_id: str) -> int:
    # Other bits than those that choose a table's segment.
    return hash(folded_id) >> 20 & _SIZE


def _block(start: int) -> int:
    return start >> _BLOCK_BITS & _SIZE
