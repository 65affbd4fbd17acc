"""
What must hold of a cluster before a run begins on it: versions, and one output for all.
"""

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from batchfetch.cluster.messages import PROTOCOL, protocol
from batchfetch.errors import SettingsError, StorageError
from batchfetch.storage import mark_name, open_marks

if TYPE_CHECKING:
    from distributed import Client

_PACKAGES = ("batchfetch", "distributed")


async def require_versions(client: "Client") -> None:
    """
    Compare the versions of the scheduler and of all workers with ours.  Raises `SettingsError`.
    """
    for package in _PACKAGES:
        # A function of the standard library: ours may not be there at all.
        theirs = await client.run(metadata.version, package, on_error="return")
        try:
            scheduler = await client.run_on_scheduler(metadata.version, package)
        except metadata.PackageNotFoundError as error:
            scheduler = error
        ours = metadata.version(package)
        _require(package, ours, {"the scheduler": scheduler, **_workers(theirs)})
    _require(
        "the protocol of batchfetch",
        PROTOCOL,
        {
            "the scheduler": await client.run_on_scheduler(protocol),
            **_workers(await client.run(protocol, on_error="return")),
        },
    )


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


async def require_one_output(client: "Client", output: Path | str, name: str, data: bytes) -> None:
    """
    Check that all workers see the mark *name* in *output*, which holds *data*, and that theirs are
    seen here.  Raises `SettingsError` and `StorageError`.
    """
    output = _absolute(output)
    answers = await client.run(answer_mark, str(output), isinstance(output, Path), name, data)
    marks = await open_marks(output)
    for address, answer in answers.items():
        if not answer or await marks.read(answer) != data:
            raise SettingsError(
                f"the worker at {address} does not see the same files in {output} as this machine;"
                " give an output that all workers share, such as a network folder or a store"
            )
        await marks.remove(answer)


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
