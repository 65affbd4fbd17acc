"""
Decide what is to be done about each row of the manifest.

Rows are compared with what earlier runs left behind: the ledger, and the images in the storage.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sized
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import anyio
from anyio import to_thread

from batchfetch.decoding import ImageDecoder
from batchfetch.errors import (
    DecodeError,
    ManifestError,
    OutOfDescriptorsError,
    StorageError,
    UnsafeNameError,
)
from batchfetch.manifest import Manifest, RowReader
from batchfetch.models import BadRow, Image, Job, JobState, Outcome, OutcomeStatus
from batchfetch.report import LastLines, Ledger, Settled, Standing
from batchfetch.settings import Settings
from batchfetch.storage import Found, Storage

T = TypeVar("T")

Row = Job | BadRow | str
"""A row of a manifest: read, unusable, or a bare task id."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """
    An earlier run has settled the task.
    """

    outcome: Outcome


Decision = JobState | Outcome | Earlier
"""Ask about it; it is decided already in this run; or it was, in an earlier one."""

_Fresh = tuple[JobState, Settled | None]
"""A job that has still to be looked up in the storage, and its last outcome."""

# Every row is compared with them, and to look up a member of an enum takes 0.1 us.
_DUPLICATE, _NAME_TAKEN = Standing.DUPLICATE, Standing.NAME_TAKEN
_COMPLETED = OutcomeStatus.COMPLETED

# Rows looked at in one go: half a millisecond, and it is the event loop's.
_CHUNK = 64

# Seconds between two tries to open a file while none can be opened, and how often it is tried:
# questions in flight may give a descriptor back.
_RETRY_DELAY = 0.05
_RETRIES = 200


# Reads rows that come out of no manifest.
_READER = RowReader(None)


class Inline(Protocol):
    """
    Runs a little blocking work without delaying the event loop.
    """

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Intake:
    """
    Decides chunk by chunk, and counts.

    *rows* is read by *inline* if it is at hand, else in a thread of its own.  With *earlier* tasks
    settled by earlier runs are decisions, too.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        ledger: Ledger,
        storage: Storage,
        settings: Settings,
        *,
        inline: Inline,
        earlier: LastLines | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._rows = iter(rows)
        self._is_checked = isinstance(rows, Manifest)
        # A row that has come out of a pipe must not wait for the next one.
        at_hand = rows.is_at_hand if isinstance(rows, Manifest) else isinstance(rows, Sized)
        self._chunk_size = _CHUNK if at_hand else 1
        self._inline = inline if at_hand else None
        self._sleep = sleep
        self._earlier = earlier
        self._ledger = ledger
        self._storage = storage
        self._settings = settings
        # Rows that take time: an image has to be read, or a descriptor waited for.
        self._deferred: deque[_Fresh] = deque()
        # Outcomes of earlier runs that do not settle a task; an image may be gone or half there.
        self._asked_again = {_COMPLETED, *settings.retry}
        self.tasks = 0
        """Rows met, repeated ids counted once."""

        self.already: Counter[OutcomeStatus] = Counter()
        """Tasks settled by earlier runs, by their outcome."""

        self.repeated = 0
        """Rows whose task an earlier row has named."""

        self.all_read = False
        self._ended = False
        self._broken: ManifestError | None = None

    @property
    def deferred(self) -> int:
        """
        Rows that are read, and decided in chunks of their own.
        """
        return len(self._deferred)

    async def chunk(self) -> list[Decision]:
        """
        Return the decisions about the next rows; `all_read` says whether they were the last.

        Raises `ManifestError` and `StorageError`.
        """
        if self._deferred:
            decision = await self._decide_slowly(*self._deferred.popleft())
            decisions = [] if decision is None else [decision]
        else:
            rows = [] if self._broken else await self._read()
            if self._broken is not None and not rows:
                raise self._broken
            decisions = await self._decide(rows)
        self.all_read = self._ended and not self._deferred
        return decisions

    async def _read(self) -> list[Row]:
        if self._inline is not None:
            return await self._inline(self._next_rows)
        return await to_thread.run_sync(self._next_rows, abandon_on_cancel=True)

    def _next_rows(self) -> list[Row]:
        rows: list[Row] = []
        try:
            rows.extend(islice(self._rows, self._chunk_size))
        except ManifestError as exc:
            self._broken = exc  # For the next call: what was read by now is good.
        else:
            self._ended = len(rows) < self._chunk_size
        return rows

    async def _decide(self, rows: list[Row]) -> list[Decision]:
        decisions: list[Decision] = []
        fresh: list[_Fresh] = []
        for row in rows:
            admitted = self._admit(row)
            if isinstance(admitted, tuple):
                fresh.append(admitted)
            elif admitted is not None:
                decisions.append(admitted)
        found = await self._storage.stat([state.job.filename for state, _ in fresh])
        for (state, settled), there in zip(fresh, found, strict=True):
            decision = self._decide_by_storage(state, settled, there)
            if decision is not None:
                decisions.append(decision)
        return decisions

    def _admit(self, row: Row) -> _Fresh | Outcome | Earlier | None:
        if not self._is_checked:
            row = _checked(row)
        if isinstance(row, BadRow):
            self.tasks += 1
            return Outcome.invalid(row)
        assert isinstance(row, Job)  # noqa: S101 - a manifest has no bare ids
        standing, settled = self._ledger.admit(row)
        if standing is _DUPLICATE:
            self.repeated += 1
            return None
        self.tasks += 1
        state = JobState(row, self.tasks)
        if standing is _NAME_TAKEN:
            return _bad_name(state, f"{row.filename} is the name of an earlier row's image")
        if settled is not None and settled.status not in self._asked_again:
            return self._settled_earlier(row, settled.status)
        return state, settled

    def _settled_earlier(self, job: Job, status: OutcomeStatus) -> Earlier | None:
        self.already[status] += 1
        outcome = None if self._earlier is None else self._earlier.outcome_of(job.task_id)
        return None if outcome is None else Earlier(outcome)

    def _decide_by_storage(
        self, state: JobState, settled: Settled | None, found: Found
    ) -> Decision | None:
        match found:
            case UnsafeNameError():
                return _bad_name(state, str(found))
            case OutOfDescriptorsError():
                self._deferred.append((state, settled))
                return None
            case int() if not self._settings.overwrite:
                return self._decide_by_size(state, settled, found)
            case _:
                return state

    def _decide_by_size(
        self, state: JobState, settled: Settled | None, size: int
    ) -> Decision | None:
        if settled is not None and settled.status is _COMPLETED:
            if not settled.has_size(size):
                return state
            return self._settled_earlier(state.job, _COMPLETED)
        if self._ledger.is_reported(state.job.filename):
            return state
        self._deferred.append((state, settled))
        return None

    async def _decide_slowly(self, state: JobState, settled: Settled | None) -> Decision | None:
        """
        Decide about a row that was deferred.
        """
        filename = state.job.filename
        for _ in range(_RETRIES):
            try:
                (found,) = await self._storage.stat([filename])
                if isinstance(found, int) and not self._settings.overwrite:
                    return await self._adopt(state, settled, found)
                if not isinstance(found, OutOfDescriptorsError):
                    return self._decide_by_storage(state, settled, found)
            except UnsafeNameError as exc:
                return _bad_name(state, str(exc))
            except OutOfDescriptorsError:
                pass
            await self._sleep(_RETRY_DELAY)
        raise StorageError("no file can be opened; allow more open files (ulimit -n) and run again")

    async def _adopt(self, state: JobState, settled: Settled | None, size: int) -> Decision | None:
        if self._ledger.is_reported(state.job.filename) or (
            settled is not None and settled.status is _COMPLETED
        ):
            return self._decide_by_size(state, settled, size)
        image = await self._sound_image(state.job.filename)
        return state if image is None else Outcome.of(state, _COMPLETED, image=image)

    async def _sound_image(self, filename: str) -> Image | None:
        """
        Return what the image under *filename* is, if it is one: a run died before it was reported.
        """
        decoder = ImageDecoder(
            encoded=False,
            checksum=self._settings.checksum,
            max_bytes=self._settings.max_image_bytes,
        )
        try:
            # Closed here, also if the image turns out not to be sound in its middle.
            async with aclosing(self._storage.read(filename)) as pieces:
                async for piece in pieces:
                    decoder.decode(piece)
            return decoder.flush()
        except DecodeError:
            return None


def _checked(row: Row) -> Job | BadRow:
    """
    Return *row*, which came out of no manifest, by a manifest's rules.
    """
    match row:
        case BadRow():
            return row
        case str():
            return _READER.job(None, row)
        case Job():
            reader = RowReader(row.manifest) if row.manifest else _READER
            return reader.job(
                *(row.line, row.task_id, row.name or row.filename or None),
                *(row.submitted_at, row.endpoint, row.extra),
            )


def _bad_name(state: JobState, detail: str) -> Outcome:
    return Outcome.of(state, OutcomeStatus.INVALID, reason="bad_name", detail=detail)
