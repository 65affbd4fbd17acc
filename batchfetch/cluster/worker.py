"""
What a worker of a cluster runs: chunk after chunk, what a single process runs.
"""

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from importlib.util import find_spec

import anyio
from anyio import CancelScope, create_task_group

from batchfetch.cluster.forwarding import forwarded
from batchfetch.cluster.leases import LeasedTokens, keep_leased, report
from batchfetch.cluster.link import Link, LinkLostError
from batchfetch.cluster.messages import (
    PROTOCOL,
    Message,
    error_to_wire,
    jobs_from_wire,
    outcomes_to_wire,
    settings_from_wire,
)
from batchfetch.cluster.pace import LeasedPace
from batchfetch.errors import BatchFetchError, SettingsError, StorageError
from batchfetch.exception_groups import unwrapped
from batchfetch.hooks import Hook
from batchfetch.models import Outcome
from batchfetch.report import Recorder
from batchfetch.run.client import affordable_slots
from batchfetch.run.download import Downloader
from batchfetch.run.fetcher import LocalFetcher, Parts
from batchfetch.run.release import ReleasingWriter
from batchfetch.scheduling import RetryPolicy
from batchfetch.service import open_transport
from batchfetch.settings import Settings
from batchfetch.storage import FileExecutor, LockKeeper, Storage, open_marks, open_storage
from batchfetch.version import __version__


def work(name: str, ticket: int) -> None:
    """
    Fetch chunks of the run *name* until there are none; the task that Dask runs on each worker.

    It has a thread of the worker and an event loop of its own, so that the worker's heartbeat is
    never starved.
    """
    from distributed import get_worker  # noqa: PLC0415 - also imported where Dask is not

    worker = get_worker()
    link = Link(worker, name, ticket)
    ignore = partial(worker.loop.add_callback, _ignore_signals)
    anyio.run(_work, link, ignore, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def _ignore_signals() -> None:
    """
    Leave signals to the driver: a terminal sends them to all processes of a command.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


async def _work(link: Link, ignore_signals: Callable[[], None]) -> None:
    try:
        order = await link.ask("begin", version=__version__, protocol=PROTOCOL, where=_where())
        if order.get("is_local"):
            ignore_signals()
        if "settings" in order:
            async with forwarded(link) as tell, _opened(link, order, tell) as session:
                await session.work()
    except* LinkLostError:
        pass  # The driver, if there still is one, hands what was begun to another worker.


def _where() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@asynccontextmanager
async def _opened(link: Link, order: Message, tell: Hook) -> AsyncIterator["_Session"]:
    """
    Open what stays open from chunk to chunk.
    """
    settings = settings_from_wire(order["settings"])
    tokens = LeasedTokens(lambda generation: _refuse(link, generation))
    try:
        marks = await open_marks(settings.output)
        _require_mark(order, await marks.read(order["mark"]))
        with FileExecutor() as files:
            async with (
                open_transport(settings, tokens.redactor) as transport,
                open_storage(settings.output, settings.durability, files, make=False) as storage,
            ):
                downloader = Downloader(
                    *(transport, storage),
                    checksum=settings.checksum,
                    max_bytes=settings.max_image_bytes,
                )
                yield _Session(
                    *(link, settings, tokens, downloader, storage),
                    attended=order["attended"],
                    tell=tell,
                )
    except (SettingsError, StorageError) as error:
        await link.ask("unfit", error=error_to_wire(error))


def _require_mark(order: Message, found: bytes | None) -> None:
    if found != order["data"]:
        raise SettingsError(f"{_where()} does not see the files of the run in its output")


async def _refuse(link: Link, generation: int) -> None:
    await link.ask("refused", generation=generation)


class _Session:
    """
    The work of one worker for one run.
    """

    def __init__(
        self,
        link: Link,
        settings: Settings,
        tokens: LeasedTokens,
        downloader: Downloader,
        storage: Storage,
        *,
        attended: bool,
        tell: Hook,
    ) -> None:
        self._link = link
        self._settings = settings
        self._tokens = tokens
        self._downloader = downloader
        self._report = _RemoteReport(link)
        self._writer = ReleasingWriter(self._report, storage, settings.durability)
        self._storage = storage
        self._attended = attended
        self._tell = tell
        self._pace = LeasedPace(affordable_slots(settings.concurrency))
        self._fetcher: LocalFetcher | None = None
        self._counts = dict.fromkeys(("asked", "settled", "too_early"), 0)
        self._failure: BatchFetchError | None = None
        self._stopped_by: str | None = None

    async def work(self) -> None:
        """
        Fetch chunks until there are none.
        """
        lease = (
            *(self._pace, self._tokens, self._link.lease, self._totals),
            *(self._stop, self._rely_on_lock),
        )
        with unwrapped():
            async with create_task_group() as tasks:
                tasks.start_soon(self._tokens.run)
                tasks.start_soon(keep_leased, *lease)
                await self._fetch()
                tasks.cancel_scope.cancel()
        self._pace.return_all()
        await report(*lease)
        if self._failure is not None:
            await self._link.ask("failed", error=error_to_wire(self._failure))
        await self._link.ask("bye")

    async def _fetch(self) -> None:
        while self._stopped_by is None and self._failure is None:
            order = await self._link.ask("chunk", more=False)
            if "jobs" not in order:
                return
            await self._fetch_from(order)

    async def _fetch_from(self, order: Message) -> None:
        """
        Fetch the chunk of *order*, and more as long as there are any.
        """
        recorder = Recorder(self._writer.write)
        recorder.close_reader()
        self._fetcher = fetcher = LocalFetcher(
            Parts(
                *(self._downloader, self._tokens, self._pace),
                RetryPolicy(attempts=self._settings.attempts),
                *(self._settings, recorder.record),
                tell=self._tell,
                attended=self._attended,
                lookahead=2 * self._pace.slots,
            )
        )
        if self._stopped_by is not None:
            fetcher.stop(self._stopped_by)
        with unwrapped():
            async with create_task_group() as recording:
                recording.start_soon(recorder.run)
                with closing(recorder):
                    async with create_task_group() as feeding:
                        feeding.start_soon(self._feed, fetcher, order)
                        with CancelScope() as self._asking:
                            await fetcher.run(self._fail)
                        feeding.cancel_scope.cancel()
        await self._writer.close()
        for name in self._counts:
            self._counts[name] += getattr(fetcher, name)
        self._fetcher = None
        if fetcher.stopped_by == "max-calls":
            self._stopped_by = "max-calls"
            await self._link.ask("spent")

    async def _feed(self, fetcher: LocalFetcher, order: Message) -> None:
        while "jobs" in order:
            for state in jobs_from_wire(order["jobs"]):
                fetcher.offer(state)
            fetcher.notify()
            await fetcher.room()
            if fetcher.stopped_by is not None:
                return
            order = await self._link.ask("chunk", more=True)
        fetcher.close()
        fetcher.notify()

    def _fail(self, error: BatchFetchError) -> None:
        self._failure = self._failure or error
        if self._fetcher is not None:
            self._fetcher.stop("failure")
            if isinstance(error, StorageError):
                self._asking.cancel()

    def _stop(self, by: str) -> None:
        if self._stopped_by is not None:
            return
        self._stopped_by = by
        if self._fetcher is not None:
            self._fetcher.stop(by)
            self._asking.deadline = anyio.current_time() + self._fetcher.grace

    def _rely_on_lock(self, seconds: float) -> None:
        if isinstance(self._storage, LockKeeper):
            self._storage.rely_on_lock(seconds)

    def _totals(self) -> dict[str, int]:
        fetcher = self._fetcher
        return {
            name: count + (0 if fetcher is None else getattr(fetcher, name))
            for name, count in self._counts.items()
        }


class _RemoteReport:
    """
    The driver's report: see `ReportWriter`.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def write(self, outcomes: Sequence[Outcome]) -> Sequence[int]:
        """
        Have the driver write *outcomes*.
        """
        lines = outcomes_to_wire(outcomes)
        await self._link.ask("record", lines=lines)
        return []

    async def read(self, starts: Sequence[int]) -> list[Outcome]:
        """
        Nothing is read back by a worker.
        """
        raise NotImplementedError

    async def sync(self) -> None:
        """
        Have the driver sync the report.
        """
        await self._link.ask("sync")
