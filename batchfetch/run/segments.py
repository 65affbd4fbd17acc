"""
Keep copies of the report with the images, and bring in what other machines have left there.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import CancelScope, create_task_group, move_on_after, to_thread

from batchfetch.errors import StorageError
from batchfetch.exception_groups import unwrapped
from batchfetch.report import Ledger, Newest, ReportWriter, SegmentLog, load_segment
from batchfetch.storage import ReportKeeper

log = logging.getLogger(__name__)

# Seconds between two segments: what a machine loses that is lost itself.
_EVERY = 30.0

# Seconds that the last one may take if an error ended the run: often it was the store's.
_LAST = 20.0

_NOT_YET = "new lines of %s are not kept with the images yet: %s"


@asynccontextmanager
async def kept_report(
    keeper: ReportKeeper,
    report: ReportWriter,
    path: Path,
    *,
    beside: Sequence[Path] = (),
    every: float = _EVERY,
    last: float = _LAST,
) -> AsyncIterator[None]:
    """
    Add to the *report* at *path* what *keeper* has beyond it and beyond the reports *beside* it,
    and keep there what is new during the block, *every* so many seconds and at its end; after an
    error for *last* seconds at most.

    Raises `StorageError` if it cannot be done at first.  Later a warning says so: the next run
    sends what is left.
    """
    if not report.is_regular:
        yield
        return
    copies = _Copies(keeper, report, path, beside)
    await copies.open()
    with unwrapped():
        async with create_task_group() as tasks:
            tasks.start_soon(copies.send_from_time_to_time, every)
            patience: float | None = last
            try:
                yield
                patience = None
            finally:
                tasks.cancel_scope.cancel()
                with move_on_after(patience, shield=True) as scope:
                    await copies.send()
                if scope.cancelled_caught:
                    log.warning(_NOT_YET, path, f"the store did not answer within {last:.0f} s")


async def note_kept(
    keeper: ReportKeeper, path: Path, ledger: Ledger, *, beside: Sequence[Path] = ()
) -> None:
    """
    Note in *ledger* what *keeper* has beyond the report at *path* and those *beside* it, and write
    nothing.

    To be called before the report itself is noted, which knows better.  Raises `StorageError`.
    """
    logs = await to_thread.run_sync(_logs_of, [path, *beside])
    for name in _missing(logs, await keeper.segments()):
        segment = await keeper.read_segment(name)
        await to_thread.run_sync(load_segment, segment, ledger)


def _logs_of(reports: Sequence[Path]) -> Sequence[SegmentLog]:
    """
    Return what is noted beside each of *reports*.
    """
    return [SegmentLog(path, read_only=True) for path in reports]


def _missing(logs: Sequence[SegmentLog], kept: Mapping[str, int]) -> Sequence[str]:
    """
    Return the names of those of the segments *kept* that all the reports of *logs* lack.
    """
    missing = set(kept).intersection(*(log.missing(kept) for log in logs))
    return sorted(missing)


class _Copies:
    def __init__(
        self, keeper: ReportKeeper, report: ReportWriter, path: Path, beside: Sequence[Path]
    ) -> None:
        self._keeper = keeper
        self._report = report
        self._path = path
        self._beside = beside
        self._is_sending = anyio.Lock()

    async def open(self) -> None:
        self._log = await to_thread.run_sync(SegmentLog, self._path)
        # What a run that died had not sent comes before anything that is added behind it.
        await self._send()
        beside = await to_thread.run_sync(_logs_of, self._beside)
        if missing := _missing([self._log, *beside], await self._keeper.segments()):
            await self._merge(missing)

    async def send_from_time_to_time(self, every: float) -> None:
        while True:
            await anyio.sleep(every)
            await self.send()

    async def send(self) -> None:
        """
        Keep what is new; what cannot be kept now is kept next time.
        """
        try:
            await self._send()
        except StorageError as exc:
            log.warning(_NOT_YET, self._path, exc)

    async def _send(self) -> None:
        async with self._is_sending:
            segments = self._log.unsent()
            while (segment := await to_thread.run_sync(next, segments, None)) is not None:
                name, data, end = segment
                await self._keeper.write_segment(name, data)
                # The log is written before a cancellation is heard: else it would be sent again.
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._log.note, name, len(data), end)

    async def _merge(self, missing: Sequence[str]) -> None:
        newest = await to_thread.run_sync(Newest, self._path)
        added = 0
        for name in missing:
            segment = await self._keeper.read_segment(name)
            lines = await to_thread.run_sync(newest.newer, segment)
            await self._report.append(lines)
            added += lines.count(b"\n")
            end = self._log.sent + len(lines)
            await to_thread.run_sync(self._log.note, name, len(segment), end)
        if added:
            log.info(
                "%s: added %d lines of runs elsewhere, which were kept with the images",
                *(self._path, added),
            )
