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
_HOLDS = 0b100_0000  # It is `_NAMED`, and its row has the name whose hash the number is.
_ASKED = 0b1000_0000  # This run asks about it, or has asked.

_DECIDED = _STATUS  # In place of an outcome: this run has decided it.
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

    SUCCESSOR = auto()
    """It resubmits the task of an earlier row, and takes that one's name."""

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

        Returns what it is to the rows before it, and its last outcome.
        """
        task_id = job.task_id.casefold()
        flags, size = self._ids.mark(task_id, _SEEN)
        if flags & _SEEN:
            return Standing.DUPLICATE, None
        return self._claim_name(job, task_id), _settled(flags, size) if flags else None

    def begin_asking(self, task_id: str) -> None:
        """
        Note that this run asks about a task.
        """
        self._ids.mark(task_id.casefold(), _ASKED)

    def end_asking(self, task_id: str) -> None:
        """
        Note that this run has decided a task, if it has asked about it.
        """
        key = task_id.casefold()
        if self._ids.get(key)[0] & _ASKED:
            self._ids.mark(key, _DECIDED)

    def is_asked(self, task_id: str) -> bool:
        """
        Whether this run asks about a task, or has asked.
        """
        return bool(self._ids.get(task_id.casefold())[0] & _ASKED)

    def is_decided(self, task_id: str) -> bool:
        """
        Whether this run has asked about a task and decided it.
        """
        return self._ids.get(task_id.casefold())[0] & _STATUS == _DECIDED

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

    def _claim_name(self, job: Job, task_id: str) -> Standing:
        # Most rows have no name of their own; then the id's entry stands for both.
        if _is_default(job.task_id, job.filename):
            filename = f"{task_id}.png"
            if not self._names.used or not self._names.get(filename)[0] & _TAKEN:
                return _FRESH
        else:
            filename = fold_name(job.filename)
        # By now the size of its image was looked up.
        self._ids.mark(task_id, _NAMED | _HOLDS, number=_name_key(filename))
        if self._take(filename):
            return _FRESH
        resubmits = job.extra.get(RESUBMITS)
        holder = resubmits.casefold() if isinstance(resubmits, str) else task_id
        if holder != task_id and self._take_over(filename, holder):
            return Standing.SUCCESSOR
        self._ids.mark(task_id, 0, clear=_HOLDS)
        return Standing.NAME_TAKEN

    def _take(self, filename: str) -> bool:
        namesake, _ = self._ids.get(filename.removesuffix(".png"))
        if namesake & (_SEEN | _NAMED) == _SEEN:
            return False
        return not self._names.mark(filename, _TAKEN)[0] & _TAKEN

    def _take_over(self, filename: str, holder: str) -> bool:
        """
        Take the name *filename* from the row of the task *holder*; return whether that row had it.
        """
        flags, number = self._ids.get(holder)
        if flags & _HOLDS:
            if number != _name_key(filename):
                return False
            self._ids.mark(holder, 0, clear=_HOLDS)
            return True
        if flags & (_SEEN | _NAMED) != _SEEN or filename != f"{holder}.png":
            return False
        self._ids.mark(holder, _NAMED)
        self._names.mark(filename, _TAKEN)
        return True


# What nearly every row is; to look up a member of an enum takes 0.1 us.
_FRESH = Standing.FRESH


def _settled(flags: int, number: int) -> Settled | None:
    known = flags & _STATUS
    if known in {0, _DECIDED}:
        return None
    # The number of a row with a name of its own is its size no longer.
    has_size = known == _COMPLETED and not flags & _NAMED
    return Settled(_STATUSES[known - 1], number if has_size else 0)


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
