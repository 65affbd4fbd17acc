"""
Rows of the manifest in, what is to be done about each out.

Here a row meets what earlier runs left behind: the ledger and the images on disk.  It is called for
a slab of rows at a time: here and there a row takes time, and those want a thread.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sized

from batchfetch.decoding import ImageDecoder
from batchfetch.errors import (
    DecodeError,
    ManifestError,
    OutOfDescriptorsError,
    StorageError,
    UnsafeNameError,
)
from batchfetch.manifest import Manifest, default_filename
from batchfetch.models import BadRow, Image, Job, JobState, Outcome, OutcomeStatus
from batchfetch.report.ledger import Ledger, Settled, Standing
from batchfetch.settings import Settings
from batchfetch.storage import Folder

Row = Job | BadRow | str
"""A row of a manifest: read, unusable, or a bare task id."""

Decision = JobState | Outcome | None
"""Ask about it; it is decided already in this run; or there is nothing to do."""

# Every row is compared with them, and to look up a member of an enum takes 0.1 us.
_DUPLICATE, _NAME_TAKEN = Standing.DUPLICATE, Standing.NAME_TAKEN

# Rows looked at in one go: half a millisecond, and it is the event loop's.
_CHUNK = 64

# Bytes read at a time of an image that is there already.
_PIECE = 256 * 1024

# Seconds in which questions in flight may give a descriptor back, and how often that is hoped for.
_RETRY_DELAY = 0.05
_RETRIES = 200


class Intake:
    """
    Decides row by row, and counts.

    *folder* is the output, None if there is none yet.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        ledger: Ledger,
        folder: Folder | None,
        settings: Settings,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._rows = iter(rows)
        # A row that has come out of a pipe must not wait for the next one.
        self._at_hand = rows.is_at_hand if isinstance(rows, Manifest) else isinstance(rows, Sized)
        # A row that takes time: an image is there that has to be read.
        self._deferred: _TakesTimeError | None = None
        self._ledger = ledger
        self._folder = folder
        self._settings = settings
        # Outcomes of earlier runs that do not settle a task; an image may be gone or half there.
        self._asked_again = {OutcomeStatus.COMPLETED, *settings.retry}
        self.tasks = 0
        """Rows met, repeated ids counted once."""

        self.already: Counter[OutcomeStatus] = Counter()
        """Tasks settled by earlier runs, by their outcome."""

        self.repeated = 0
        """Rows whose task an earlier row has named."""

        self.all_read = False
        self._broken: ManifestError | None = None

    @property
    def takes_time(self) -> bool:
        """
        Whether the next `chunk` may block for long: it waits for a pipe, or reads an image.
        """
        return not self._at_hand or self._deferred is not None

    def chunk(self) -> list[Decision]:
        """
        Return the decisions about the next rows; `all_read` says whether they were the last.

        Raises `ManifestError` and `StorageError`.
        """
        if self._broken is not None:
            raise self._broken
        decisions: list[Decision] = []
        if self._deferred is not None:
            decisions.append(self._decide_in_time(self._deferred))
            self._deferred = None
        try:
            for row in self._rows:
                decisions.append(self._decide_inline(row))
                if len(decisions) >= _CHUNK or not self._at_hand:
                    return decisions
        except _TakesTimeError as exc:
            self._deferred = exc  # The next call begins with it.
            return decisions
        except ManifestError as exc:
            self._broken = exc  # For the next call, too: what was read by now is good.
            if not decisions:
                raise
        else:
            self.all_read = True
        return decisions

    def decide(self, row: Row) -> Decision:
        """
        Say what is to be done about *row*, however long it takes.  Raises `StorageError`.
        """
        try:
            return self._decide_inline(row)
        except _TakesTimeError as exc:
            return self._decide_in_time(exc)

    def _decide_inline(self, row: Row) -> Decision:
        """
        Say what is to be done about *row*.  Raises `_TakesTimeError` if that takes time.
        """
        if isinstance(row, str):
            row = _row_of(row)
        if isinstance(row, BadRow):
            self.tasks += 1
            return Outcome.invalid(row)
        standing, settled = self._ledger.admit(row)
        if standing is _DUPLICATE:
            self.repeated += 1
            return None
        self.tasks += 1
        state = JobState(row, self.tasks)
        if standing is _NAME_TAKEN:
            return _bad_name(state, f"{row.filename} is the name of an earlier row's image")
        if settled is not None and settled.status not in self._asked_again:
            self.already[settled.status] += 1
            return None
        return self._decide_fresh(state, settled)

    def _decide_fresh(self, state: JobState, settled: Settled | None) -> Decision:
        try:
            return self._decide_by_disk(state, settled, in_time=False)
        except UnsafeNameError as exc:
            return _bad_name(state, str(exc))
        except OutOfDescriptorsError:
            raise _TakesTimeError(state, settled) from None

    def _decide_in_time(self, deferred: "_TakesTimeError") -> Decision:
        """
        Say what is to be done about a row that was laid by.
        """
        for _ in range(_RETRIES):
            try:
                return self._decide_by_disk(deferred.state, deferred.settled, in_time=True)
            except UnsafeNameError as exc:
                return _bad_name(deferred.state, str(exc))
            except OutOfDescriptorsError:
                self._sleep(_RETRY_DELAY)
        raise StorageError("no file can be opened; allow more open files (ulimit -n) and run again")

    def _decide_by_disk(
        self, state: JobState, settled: Settled | None, *, in_time: bool
    ) -> Decision:
        folder, filename = self._folder, state.job.filename
        size = None if folder is None else folder.size_of(filename)
        if folder is None or size is None or self._settings.overwrite:
            return state
        completed = OutcomeStatus.COMPLETED
        if settled is not None and settled.status is completed:
            if not settled.has_size(size):
                return state
            self.already[completed] += 1
            return None
        if self._ledger.is_reported(filename):
            return state
        if not in_time:
            raise _TakesTimeError(state, settled)
        image = self._adopted(folder, filename)
        return state if image is None else Outcome.of(state, completed, image=image)

    def _adopted(self, folder: Folder, filename: str) -> Image | None:
        """
        Return what the image at *filename* is, if it is one: a run died before it was reported.
        """
        decoder = ImageDecoder(
            encoded=False,
            checksum=self._settings.checksum,
            max_bytes=self._settings.max_image_bytes,
        )
        try:
            for piece in folder.read(filename, _PIECE):
                decoder.decode(piece)
            return decoder.flush()
        except DecodeError:
            return None


class _TakesTimeError(Exception):
    """
    A row cannot be decided at once: its image has to be read, or a descriptor waited for.
    """

    def __init__(self, state: JobState, settled: Settled | None) -> None:
        super().__init__(state.job.task_id)
        self.state = state
        self.settled = settled


def _row_of(task_id: str) -> Job | BadRow:
    try:
        return Job(task_id, default_filename(task_id))
    except ValueError as exc:
        return BadRow("bad_name", str(exc), task_id)


def _bad_name(state: JobState, detail: str) -> Outcome:
    return Outcome.of(state, OutcomeStatus.INVALID, reason="bad_name", detail=detail)
