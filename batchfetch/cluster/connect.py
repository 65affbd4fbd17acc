"""
Connect to a cluster, or start one, for the time of a run.
"""

import asyncio
import logging
import secrets
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope

from batchfetch.cluster.addresses import Address, require_address
from batchfetch.errors import SettingsError
from batchfetch.run.fetcher import Fetcher, Wiring
from batchfetch.storage import mark_name, open_marks

if TYPE_CHECKING:
    from distributed import Client

# Seconds to wait for the scheduler, and for the end of what was started.
_CONNECTING = 10.0
_CLOSING = 5.0

# Of these and of what is below them no line is written: what matters is said in our words.
_NOISY = ("distributed", "tornado", "bokeh")
_SILENT = logging.CRITICAL + 1
_QUIET_PROCESSES = {"distributed.nanny.pre-spawn-environ.PYTHONWARNINGS": "ignore"}


def on_cluster(
    address: str, *, chunk: int = 1000, insecure: bool = False
) -> Callable[[Wiring], AbstractAsyncContextManager[Fetcher]]:
    """
    Return what `open_batch` takes as *fetch_with* to spread a run over the cluster at *address*.

    *address* is `local:N` for N processes of this machine, `tcp://HOST:PORT`, `tls://HOST:PORT`, or
    the path of a scheduler file; *chunk* is the number of tasks handed to a worker at a time.  With
    *insecure*, tokens may pass a network without encryption.

    Raises `SettingsError`.
    """
    return partial(_opened, require_address(address, insecure=insecure), chunk)


@asynccontextmanager
async def _opened(address: Address, chunk: int, wiring: Wiring) -> AsyncIterator[Fetcher]:
    # Each takes long to import, and only a run on a cluster needs them.
    from batchfetch.cluster.checks import (  # noqa: PLC0415
        answered,
        new_data,
        require_one_output,
        require_safe_workers,
        require_versions,
        require_worker,
    )
    from batchfetch.cluster.driver import ClusterFetcher  # noqa: PLC0415
    from batchfetch.cluster.scheduler_client import SchedulerClient  # noqa: PLC0415
    from batchfetch.cluster.scheduler_plugin import RunPlugin  # noqa: PLC0415
    from batchfetch.cluster.workforce import Workforce  # noqa: PLC0415

    settings = wiring.parts.settings
    with _silenced():
        async with _connected(address) as client:
            await require_worker(client)
            if not address.insecure:
                await require_safe_workers(client)
            await require_versions(client)
            marks = await open_marks(settings.output)
            name, data = mark_name(), new_data()
            await marks.write(name, data)
            try:
                await require_one_output(client, settings.output, name, data)
                run = f"batchfetch_{secrets.token_hex(8)}"
                async with answered(client):
                    await client.register_plugin(
                        RunPlugin(run, client.id, rate=settings.rate, max_calls=settings.max_calls),
                        name=run,
                    )
                scheduler = SchedulerClient(client, run)
                workforce = Workforce(client, scheduler, run, insecure=address.insecure)
                yield ClusterFetcher(
                    *(wiring, scheduler, workforce),
                    {"mark": name, "data": data, "is_local": address.processes is not None},
                    chunk=chunk,
                )
                with CancelScope(shield=True), anyio.move_on_after(_CLOSING), suppress(OSError):
                    await scheduler.end()
                    if not scheduler.is_lost:
                        await client.unregister_scheduler_plugin(run)
            finally:
                with CancelScope(shield=True):
                    await marks.remove(name)


@contextmanager
def _silenced() -> Iterator[None]:
    import dask  # noqa: PLC0415
    import distributed  # noqa: F401, PLC0415 - it sets up its log when it is imported

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _NOISY]
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(_SILENT)
    try:
        with warnings.catch_warnings(), dask.config.set(_QUIET_PROCESSES):
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _connected(address: Address) -> AbstractAsyncContextManager["Client"]:
    if address.processes is None:
        return _connected_to(str(address.url))
    return _started(address.processes)


@asynccontextmanager
async def _connected_to(url: str) -> AsyncIterator["Client"]:
    from distributed import Client  # noqa: PLC0415

    from batchfetch.cluster.certificates import UNUSABLE, not_connected, unusable  # noqa: PLC0415

    try:
        client = Client(url, asynchronous=True, timeout=_CONNECTING)
    except UNUSABLE as exc:
        raise unusable(exc) from exc
    try:
        try:
            # Dask's own limit is not one for a server that is none of its own, and says nothing.
            async with asyncio.timeout(_CONNECTING):
                await client
        except (OSError, TypeError, RuntimeError, ValueError) as exc:
            raise not_connected(url, exc) from exc
        yield client
    finally:
        await _closed(client)


@asynccontextmanager
async def _started(processes: int) -> AsyncIterator["Client"]:
    from distributed import Client, LocalCluster  # noqa: PLC0415

    from batchfetch.cluster.certificates import require_local_certificates  # noqa: PLC0415

    require_local_certificates()
    cluster = LocalCluster(
        n_workers=processes,
        threads_per_worker=1,
        asynchronous=True,
        dashboard_address=None,
        memory_limit=0,
        silence_logs=_SILENT,
    )
    try:
        await cluster
    except (OSError, RuntimeError) as exc:
        with CancelScope(shield=True), suppress(OSError, RuntimeError):
            await cluster.close(timeout=_CLOSING)
            await cluster.scheduler.close()
        raise SettingsError(
            f"--cluster local:{processes}: this machine cannot start so many processes;"
            " give fewer, or raise its limits of processes and open files (ulimit -u, ulimit -n)"
        ) from exc
    try:
        client = await Client(cluster, asynchronous=True)
        try:
            yield client
        finally:
            await _closed(client)
    finally:
        with CancelScope(shield=True):
            await cluster.close(timeout=_CLOSING)


async def _closed(client: "Client") -> None:
    with CancelScope(shield=True), anyio.move_on_after(_CLOSING), suppress(OSError):
        await client.close(timeout=_CLOSING)
