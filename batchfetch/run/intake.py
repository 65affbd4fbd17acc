"""
Decide what is to be done about each row of the manifest.

Rows are compared with what earlier runs left behind: the ledger, and the images in the storage.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sized
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import anyio
from anyio import to_thread

from batchfetch.errors import (
    JobError,
    ManifestError,
    OutOfDescriptorsError,
    StorageError,
    UnsafeNameError,
)
from batchfetch.manifest import Manifest, RowReader
from batchfetch.models import RESUBMITS, BadRow, Job, JobState, Outcome, OutcomeStatus
from batchfetch.report import LastLines, Ledger, Reports, Settled, Standing
from batchfetch.run.placement import Placed, Placement, bad_name
from batchfetch.run.turns import Turns
from batchfetch.settings import Settings
from batchfetch.sharding import Shard
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


class _Fresh(NamedTuple):
    """
    A job that has still to be looked up in the storage.
    """

    state: JobState
    settled: Settled | None

    is_name_taken: bool = False
    """Whether an earlier row has its name: then it is refused unless its image is there, or that of
    a task that was submitted in its place."""

    after: str | None = None
    """The task of an earlier row, whose name it takes: it waits until that task is decided."""


# Every row is compared with them, and to look up a member of an enum takes 0.1 us.
_FRESH, _DUPLICATE, _NAME_TAKEN = Standing.FRESH, Standing.DUPLICATE, Standing.NAME_TAKEN
_COMPLETED, _FAILED = OutcomeStatus.COMPLETED, OutcomeStatus.FAILED

_DONE = frozenset({Placed.SETTLED, Placed.SUPERSEDED})

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
    Decides chunk by chunk, and counts; of a shard only its own rows, but all are compared.

    *ledger* is that of *reports*, by default of the report of *settings*.  *rows* is read by
    *inline* if it is at hand, else in a thread of its own.  With *earlier* tasks settled by earlier
    runs are decisions, too.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        ledger: Ledger,
        storage: Storage,
        settings: Settings,
        *,
        inline: Inline,
        reports: Reports | None = None,
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
        self._reports = reports or Reports(settings.report_path)
        self._placement = Placement(ledger, self._reports, storage, settings)
        self._shard = settings.shard
        # What this run fetches again is not spared for the sake of an earlier row.
        self._spares = not (settings.replace or settings.overwrite)
        # Rows that take time: an image has to be read, or a descriptor waited for.
        self._deferred: deque[_Fresh] = deque()
        self._turns: Turns[_Fresh] = Turns(ledger)
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
        return len(self._deferred) + self._turns.ready

    async def chunk(self) -> list[Decision]:
        """
        Return the decisions about the next rows; `all_read` says whether they were the last.

        Raises `ManifestError` and `StorageError`.
        """
        if self._deferred:
            decisions = self._noted(await self._decide_slowly(self._deferred.popleft()))
        elif self._turns.ready or (self._ended and self._turns.is_pending):
            turn = await self._turns.next()
            decisions = [] if turn is None else [await self._decide_in_turn(turn)]
        else:
            rows = [] if self._broken else await self._read()
            if self._broken is not None and not rows:
                raise self._broken
            decisions = await self._decide(rows)
        self.all_read = self._ended and not self._deferred and not self._turns.is_pending
        return decisions

    def take_turns(self, release: Callable[[], Awaitable[None]]) -> None:
        """
        Have a task that takes the name of another one of this run wait until that one is `decided`,
        and then for *release*, which is to release the claim on its image.
        """
        self._turns.release = release

    def decided(self, outcome: Outcome) -> None:
        """
        Note that *outcome* is in the report.
        """
        self._turns.decided(outcome)

    def stop_waiting(self) -> None:
        """
        Have no task wait any longer for another one: none will be decided from now on.
        """
        self._turns.stop()

    async def recover(self, state: JobState, storage: Storage) -> Outcome | None:
        """
        Return the outcome of a job that was handed out and lost, if its image is in *storage*, the
        output as it is now; None if it has to be asked about.

        Raises `StorageError`.
        """
        settled = self._ledger.lookup(state.job.task_id)
        try:
            placement = Placement(self._ledger, self._reports, storage, self._settings)
            return await placement.recover(state, settled)
        except JobError:
            return None  # What asks about it meets the same, and reports it.

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
            if isinstance(admitted, _Fresh):
                fresh.append(admitted)
            elif admitted is not None:
                decisions.append(admitted)
        found = await self._storage.stat([row.state.job.filename for row in fresh])
        for looked_up, there in zip(fresh, found, strict=True):
            decisions += self._noted(self._decide_by_storage(looked_up, there))
        return decisions

    def _noted(self, decision: Decision | None) -> list[Decision]:
        if decision is None:
            return []
        self._turns.note(decision)
        return [decision]

    def _admit(self, row: Row) -> _Fresh | Outcome | Earlier | None:
        if not self._is_checked:
            row = _checked(row)
        assert not isinstance(row, str)  # noqa: S101 - a manifest has no bare ids
        if self._shard is None or _is_in(self._shard, row):
            return self._admit_own(row)
        # Rows of other shards are entered, too: who is first decides about ids and names.
        if isinstance(row, Job):
            self._ledger.admit(row)
        return None

    def _admit_own(self, row: Job | BadRow) -> _Fresh | Outcome | Earlier | None:
        if isinstance(row, BadRow):
            self.tasks += 1
            return Outcome.invalid(row)
        standing, settled = self._ledger.admit(row)
        if standing is _DUPLICATE:
            self.repeated += 1
            return None
        self.tasks += 1
        failed_earlier = settled is not None and settled.status is _FAILED
        state = JobState(row, self.tasks, failed_earlier=failed_earlier)
        if standing is _NAME_TAKEN:
            return (
                _Fresh(state, settled, is_name_taken=True) if self._spares else _name_taken(state)
            )
        if settled is not None and settled.status not in self._asked_again:
            return self._settled_earlier(row, settled.status)
        return _Fresh(state, settled, after=None if standing is _FRESH else _resubmitted(row))

    def _settled_earlier(self, job: Job, status: OutcomeStatus) -> Earlier | None:
        self.already[status] += 1
        outcome = None if self._earlier is None else self._earlier.outcome_of(job.task_id)
        return None if outcome is None else Earlier(outcome)

    def _decide_by_storage(self, fresh: _Fresh, found: Found) -> Decision | None:
        if fresh.after is not None and self._has_to_wait(fresh, fresh.after):
            return None
        match found:
            case UnsafeNameError():
                return bad_name(fresh.state, str(found))
            case OutOfDescriptorsError():
                self._deferred.append(fresh)
                return None
            case int():
                placed = self._placement.judge(fresh.state.job, fresh.settled, found)
                return self._decide_placed(fresh, placed)
            case _:
                return self._decide_placed(fresh, Placed.ASK)

    def _decide_placed(self, fresh: _Fresh, placed: Placed) -> Decision | None:
        if placed in _DONE:
            return self._settled_earlier(fresh.state.job, self._status(fresh))
        if placed is Placed.UNCLEAR:
            self._deferred.append(fresh)
            return None
        return _name_taken(fresh.state) if fresh.is_name_taken else fresh.state

    def _status(self, fresh: _Fresh) -> OutcomeStatus:
        # There is an image, but a task may be known to have none.
        settled = fresh.settled
        if settled is None or settled.status in self._asked_again:
            return _COMPLETED
        return settled.status

    def _has_to_wait(self, fresh: _Fresh, after: str) -> bool:
        """
        Whether *fresh* has its turn after the task *after*, whose name it takes: two tasks with one
        name are not fetched at once, and of what this run puts in place the ledger knows nothing.
        """
        key = after.casefold()
        if any(each.state.job.task_id.casefold() == key for each in self._deferred):
            self._deferred.append(fresh)
            return True
        return self._turns.wait(fresh, fresh.state.job.task_id, after=after)

    async def _decide_in_turn(self, fresh: _Fresh) -> Decision:
        """
        Decide about a row that has waited: if there is an image at its place, it is that of the
        task that it has waited for, or one that this could have replaced.
        """
        (found,) = await self._storage.stat([fresh.state.job.filename])
        return (
            bad_name(fresh.state, str(found)) if isinstance(found, UnsafeNameError) else fresh.state
        )

    async def _decide_by_look(self, fresh: _Fresh, size: int) -> Decision | None:
        state = fresh.state
        if fresh.is_name_taken:
            is_done = await self._placement.is_superseded(state.job)
            return self._decide_placed(fresh, Placed.SUPERSEDED if is_done else Placed.ASK)
        placed = await self._placement.look(state, fresh.settled, size)
        return placed if isinstance(placed, Outcome) else self._decide_placed(fresh, placed)

    async def _decide_slowly(self, fresh: _Fresh) -> Decision | None:
        """
        Decide about a row that was deferred.
        """
        state = fresh.state
        for _ in range(_RETRIES):
            try:
                (found,) = await self._storage.stat([state.job.filename])
                if isinstance(found, int):
                    if fresh.after is not None and self._has_to_wait(fresh, fresh.after):
                        return None
                    return await self._decide_by_look(fresh, found)
                if not isinstance(found, OutOfDescriptorsError):
                    return self._decide_by_storage(fresh, found)
            except UnsafeNameError as exc:
                return bad_name(state, str(exc))
            except OutOfDescriptorsError:
                pass
            await self._sleep(_RETRY_DELAY)
        raise StorageError("no file can be opened; allow more open files (ulimit -n) and run again")


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


def _is_in(shard: Shard, row: Job | BadRow) -> bool:
    return shard.has_line(row.line) if row.task_id is None else shard.has(row.task_id)


def _resubmitted(job: Job) -> str | None:
    task_id = job.extra.get(RESUBMITS)
    return task_id if isinstance(task_id, str) else None


def _name_taken(state: JobState) -> Outcome:
    return bad_name(state, f"{state.job.filename} is the name of an earlier row's image")
