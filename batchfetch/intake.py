"""
Rows of the manifest in, what is to be done about each out.

Here a row meets what earlier runs left behind: the ledger and the images on disk.  Everything
blocks and is called in a thread, a slab of rows at a time.
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
from batchfetch.ledger import Ledger, Settled, Standing
from batchfetch.manifest import Manifest, default_filename
from batchfetch.models import BadRow, Image, Inquiry, Job, Outcome, OutcomeStatus
from batchfetch.settings import Settings
from batchfetch.storage import WRITE_SIZE, Folder

Row = Job | BadRow | str
"""A row of a manifest: read, unusable, or a bare task id."""

Decision = Inquiry | Outcome | None
"""Ask about it; it is decided already in this run; or there is nothing to do."""

# Every row is compared with them, and to look up a member of an enum takes 0.1 us.
_DUPLICATE, _NAME_TAKEN = Standing.DUPLICATE, Standing.NAME_TAKEN

# Rows looked at in one visit to a thread, and the seconds after which fewer will do: some take the
# reading of a large image.
_SLAB = 512
_SLAB_SECONDS = 0.05

# Seconds in which questions in flight may give a descriptor back, and how often that is hoped for.
_BREATH = 0.05
_BREATHS = 200


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
        at_hand = rows.is_at_hand if isinstance(rows, Manifest) else isinstance(rows, Sized)
        self._slab = _SLAB if at_hand else 1
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

    def slab(self) -> list[Decision]:
        """
        Return the decisions about the next rows; `all_read` says whether they were the last.

        Raises `ManifestError` and `StorageError`.
        """
        if self._broken is not None:
            raise self._broken
        until = time.monotonic() + _SLAB_SECONDS
        decisions = []
        try:
            for row in self._rows:
                decisions.append(self.decide(row))
                if len(decisions) >= self._slab or time.monotonic() > until:
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
        Say what is to be done about *row*.  Raises `StorageError`.
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
        inquiry = Inquiry(row, self.tasks)
        if standing is _NAME_TAKEN:
            return _bad_name(inquiry, f"{row.filename} is the name of an earlier row's image")
        if settled is not None and settled.status not in self._asked_again:
            self.already[settled.status] += 1
            return None
        if self._folder is None:
            return inquiry
        return self._decide_patiently(inquiry, settled, self._folder)

    def _decide_patiently(
        self, inquiry: Inquiry, settled: Settled | None, folder: Folder
    ) -> Decision:
        for _ in range(_BREATHS):
            try:
                return self._decide_by_disk(inquiry, settled, folder)
            except UnsafeNameError as exc:
                return _bad_name(inquiry, str(exc))
            except OutOfDescriptorsError:
                self._sleep(_BREATH)
        raise StorageError("no file can be opened; allow more open files (ulimit -n) and run again")

    def _decide_by_disk(
        self, inquiry: Inquiry, settled: Settled | None, folder: Folder
    ) -> Decision:
        filename = inquiry.job.filename
        size = folder.size_of(filename)
        if size is None or self._settings.overwrite:
            return inquiry
        completed = OutcomeStatus.COMPLETED
        if settled is not None and settled.status is completed:
            if not settled.has_size(size):
                return inquiry
            self.already[completed] += 1
            return None
        if not self._ledger.is_reported(filename) and (image := self._adopted(folder, filename)):
            return Outcome.of(inquiry, completed, image=image)
        return inquiry

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
            for piece in folder.read(filename, WRITE_SIZE):
                decoder.decode(piece)
            return decoder.flush()
        except DecodeError:
            return None


def _row_of(task_id: str) -> Job | BadRow:
    try:
        return Job(task_id, default_filename(task_id))
    except ValueError as exc:
        return BadRow("bad_name", str(exc), task_id)


def _bad_name(inquiry: Inquiry, detail: str) -> Outcome:
    return Outcome.of(inquiry, OutcomeStatus.INVALID, reason="bad_name", detail=detail)
