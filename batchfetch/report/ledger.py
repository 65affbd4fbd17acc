"""
Compact record of settled tasks and used file names, about twelve bytes each.

A table keeps hashes of 64 bits in place of text.  Twelve bits choose one of 4096 sorted arrays, the
rest is found there by bisection.  Sorted arrays have no gaps and grow by a sixteenth, where a hash
table would be a third empty and double.

Ten million ids have two that share a hash in one run of 370 000: n² / 2⁶⁵.  The second would be
taken for the first.  Python keys its hash (SipHash) anew in every process: a manifest cannot be
written to collide, and what collided once does not in the next run.
"""

import unicodedata
from array import array
from bisect import bisect_left
from enum import Enum, auto
from typing import NamedTuple

from batchfetch.models import Job, OutcomeStatus

_STATUSES = tuple(OutcomeStatus)

# Flags of an id.
_STATUS = 0b0111  # The last outcome: one more than its place in _STATUSES; 0 is none.
_SEEN = 0b1000  # This run's manifest has it.
_NAMED = 0b1_0000  # Its image is not called `<id>.png`, which an entry else stands for, too.

# Flags of a name.
_TAKEN = 0b01  # A row of this run's manifest has it.
_REPORTED = 0b10  # An earlier run has put an image there.


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


class Ledger:
    """
    What earlier runs made of every task, and what this run's manifest has named so far.

    Ids that differ only in case are one task, as they are for the service.  Names that differ only
    in case or in how an accent is written are one file, as they are on some systems.
    """

    def __init__(self) -> None:
        self._ids = _Table(sized=True)
        self._names = _Table()

    def note_previous(
        self, task_id: str, status: OutcomeStatus, *, size: int = 0, path: str | None = None
    ) -> None:
        """
        Note the last outcome of a task; *size* (bytes) and *path* are those of its image.
        """
        flags = _STATUSES.index(status) + 1
        self._ids.mark(task_id.casefold(), flags, clear=_STATUS, size=size & _SIZE)
        if path is not None and path != f"{task_id}.png":
            self._names.mark(_folded(path), _REPORTED)

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
        if not self._claims_name(job, task_id):
            return Standing.NAME_TAKEN, None
        return (Standing.FRESH, _settled(flags, size)) if flags else _UNKNOWN

    def is_reported(self, filename: str) -> bool:
        """
        Whether an image at *filename* is known to be a task's, by a line of the report.
        """
        folded = _folded(filename)
        if self._names.get(folded)[0] & _REPORTED:
            return True
        owner = self.lookup(folded.removesuffix(".png"))
        return owner is not None and owner.status is OutcomeStatus.COMPLETED

    def _claims_name(self, job: Job, task_id: str) -> bool:
        # Most rows have no name of their own; then the id's entry stands for both.
        if job.filename == f"{job.task_id}.png" and task_id.isascii():
            if not self._names.used or not self._names.get(f"{task_id}.png")[0] & _TAKEN:
                return True
            self._ids.mark(task_id, _NAMED)
            return False
        self._ids.mark(task_id, _NAMED)
        filename = _folded(job.filename)
        namesake, _ = self._ids.get(filename.removesuffix(".png"))
        if namesake & (_SEEN | _NAMED) == _SEEN:
            return False
        return not self._names.mark(filename, _TAKEN)[0] & _TAKEN


# What nearly every row is; to look up a member of an enum takes 0.1 us.
_UNKNOWN = Standing.FRESH, None


def _settled(flags: int, size: int) -> Settled | None:
    known = flags & _STATUS
    return Settled(_STATUSES[known - 1], size) if known else None


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


_SEGMENTS = 2**12
_HASH = 2**64 - 2**8
_FLAGS = 2**8
_SIZE = 2**32 - 1


class _Table:
    """
    A map from text to eight flags and, if *sized*, a number of 32 bits.

    A word is the text's hash with the flags in its low byte.  Nothing is lost by that: those eight
    bits are among the twelve that chose the segment.
    """

    def __init__(self, *, sized: bool = False) -> None:
        self._words = [array("Q") for _ in range(_SEGMENTS)]
        self._sizes = [array("I") for _ in range(_SEGMENTS)] if sized else None
        self.used = False

    def get(self, text: str) -> tuple[int, int]:
        """
        Return the flags and the number of *text*; zeros if it is not there.
        """
        hashed = hash(text)
        segment, key = hashed % _SEGMENTS, hashed & _HASH
        words = self._words[segment]
        place = bisect_left(words, key)
        if place == len(words) or words[place] - key >= _FLAGS:
            return 0, 0
        return words[place] - key, self._sizes[segment][place] if self._sizes else 0

    def mark(
        self, text: str, flags: int, *, clear: int = 0, size: int | None = None
    ) -> tuple[int, int]:
        """
        Clear and set flags of *text*, and its number unless None.  Returns what they were.
        """
        hashed = hash(text)
        segment, key = hashed % _SEGMENTS, hashed & _HASH
        words = self._words[segment]
        sizes = self._sizes[segment] if self._sizes else None
        place = bisect_left(words, key)
        if place == len(words) or words[place] - key >= _FLAGS:
            words.insert(place, key | flags)
            if sizes is not None:
                sizes.insert(place, size or 0)
            self.used = True
            return 0, 0
        before = words[place] - key, sizes[place] if sizes is not None else 0
        words[place] = key | (before[0] & ~clear) | flags
        if sizes is not None and size is not None:
            sizes[place] = size
        return before
