"""
What must hold of a cluster before a run begins on it: workers that answer, versions, and one output
for all.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import create_task_group

from batchfetch.cluster.addresses import is_safe, unsafe_worker
from batchfetch.cluster.messages import PROTOCOL, protocol
from batchfetch.errors import SettingsError, StorageError
from batchfetch.storage import mark_name, open_marks

if TYPE_CHECKING:
    from distributed import Client

_PACKAGES = ("batchfetch", "distributed")


# Seconds to wait for the first worker, for answers, which come at once, and for a look at the
# output, which may be a store that is slow to answer.
_JOINING = 60.0
_ANSWERING = 20.0
_LOOKING = 60.0


@asynccontextmanager
async def answered(client: "Client", limit: float = _ANSWERING) -> AsyncIterator[None]:
    """
    Raise `SettingsError` if the scheduler of *client* does not answer in *limit* seconds.
    """
    try:
        with anyio.fail_after(limit):
            yield
    except OSError as exc:
        raise SettingsError(
            f"the scheduler at {client.scheduler.address} is gone or does not answer; start it and"
            " its workers again"
        ) from exc


async def require_worker(client: "Client") -> None:
    """
    Wait until there is a worker.  Raises `SettingsError`.
    """
    url = client.scheduler.address
    async with answered(client, _JOINING + _ANSWERING):
        try:
            await client.wait_for_workers(1, timeout=_JOINING)
        except TimeoutError:
            raise SettingsError(
                f"the cluster at {url} has had no worker for {_JOINING:.0f} s; start some with"
                f" dask worker {url}"
            ) from None


async def require_safe_workers(client: "Client") -> None:
    """
    Check that no token passes a network without encryption: a scheduler may be reached in another
    way by its workers than by us.  Raises `SettingsError`.
    """
    async with answered(client):
        workers = await client.nthreads()
    for url in workers:
        if not is_safe(url):
            raise SettingsError(unsafe_worker(url))


async def require_versions(client: "Client", limit: float = _ANSWERING) -> None:
    """
    Compare the versions of the scheduler and of all workers with ours.

    Raises `SettingsError`, also if one of them does not answer in *limit* seconds.
    """
    for package in _PACKAGES:
        # A function of the standard library: ours may not be there at all.
        theirs = await _on_workers(client, limit, metadata.version, package)
        async with answered(client, limit):
            try:
                scheduler = await client.run_on_scheduler(metadata.version, package)
            except metadata.PackageNotFoundError as error:
                scheduler = error
        ours = metadata.version(package)
        _require(package, ours, {"the scheduler": scheduler, **_workers(theirs)})
    theirs = await _on_workers(client, limit, protocol)
    async with answered(client, limit):
        scheduler = await client.run_on_scheduler(protocol)
    _require(
        "the protocol of batchfetch", PROTOCOL, {"the scheduler": scheduler, **_workers(theirs)}
    )


async def _on_workers(
    client: "Client", limit: float, function: Callable[..., object], *args: object
) -> dict[str, object]:
    """
    Return for each worker's address what *function* returns there, or that it misses a package.

    Each is asked by itself, so that one which stands still can be named.  Raises `SettingsError`.
    """
    answers: dict[str, object] = {}

    async def ask(address: str) -> None:
        with suppress(OSError):  # The scheduler's: it is asked once more.
            answers.update(await client.run(function, *args, workers=[address], on_error="return"))

    async with answered(client, limit):
        workers = await client.nthreads()
    with anyio.move_on_after(limit):
        async with create_task_group() as tasks:
            for address in workers:
                tasks.start_soon(ask, address)
    async with answered(client, limit):
        present = await client.nthreads()
    for address in workers:
        if address in present and address not in answers:
            raise SettingsError(
                f"the worker at {address} has not answered for {limit:.0f} s; end it or start it"
                " anew, and run again"
            )
    for address, answer in answers.items():
        if isinstance(answer, Exception) and not isinstance(answer, metadata.PackageNotFoundError):
            raise SettingsError(
                f"the worker at {address} does not answer what it is asked ({answer!r}); end it or"
                " start it anew, and run again"
            )
    return answers


def _workers(found: Mapping[str, object]) -> dict[str, object]:
    return {f"the worker at {address}": value for address, value in found.items()}


def _require(what: str, ours: object, theirs: Mapping[str, object]) -> None:
    for where, version in theirs.items():
        if version != ours:
            missing = isinstance(version, Exception)
            has = f"has no {what}" if missing else f"has {what} {version}"
            raise SettingsError(
                f"{where} {has}, and this machine has {ours}; install the same version there"
            )


async def require_one_output(
    client: "Client", output: Path | str, name: str, data: bytes, limit: float = _LOOKING
) -> None:
    """
    Check that all workers see the mark *name* in *output*, which holds *data*, and that theirs are
    seen here.

    Raises `StorageError` and `SettingsError`, also if a worker does not answer in *limit* seconds.
    """
    output = _absolute(output)
    probe = str(output), isinstance(output, Path), name, data
    answers = await _on_workers(client, limit, answer_mark, *probe)
    marks = await open_marks(output)
    for address, answer in answers.items():
        if not answer or await marks.read(str(answer)) != data:
            raise SettingsError(
                f"the worker at {address} does not see the same files in {output} as this machine;"
                " give an output that all workers share, such as a network folder or a store"
            )
        await marks.remove(str(answer))


def _absolute(output: Path | str) -> Path | str:
    return output.absolute() if isinstance(output, Path) else output


async def answer_mark(output: str, is_folder: bool, name: str, data: bytes) -> str:  # noqa: FBT001
    """
    Return the name of a new mark in *output* with the same *data*, if the mark *name* has it here;
    else nothing.  Runs on workers.
    """
    try:
        marks = await open_marks(Path(output) if is_folder else output)
        if await marks.read(name) != data:
            return ""
        own = mark_name()
        await marks.write(own, data)
    except (SettingsError, StorageError):
        return ""
    return own


def new_data() -> bytes:
    """
    Return data for a mark that is in no other.
    """
    return os.urandom(16).hex().encode()
