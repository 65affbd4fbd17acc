"""
The interface to where images go: bytes in, a whole file under a name, or none.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from batchfetch.errors import JobError

Found = int | JobError | None
"""What is under a name: a file of so many bytes, something that cannot be used, or nothing."""


class Target(Protocol):
    """
    One file under construction.  It ends with `commit` or with `abort`.
    """

    async def write(self, chunks: Iterable[bytes]) -> None:
        """
        Append *chunks*, which are taken one after the other, perhaps in a worker thread.

        Waits for no network but the storage's own.  Raises `StorageError`, `UnsafeNameError`,
        `OutOfDescriptorsError`, and what *chunks* raises.
        """
        ...

    async def commit(self, *, sha256: str | None = None) -> None:
        """
        Put the file, which is whole, under its name.  Raises as `write` does.

        *sha256* is its digest, if it was computed; a storage may note it beside the file.
        """
        ...

    async def abort(self) -> None:
        """
        Leave no trace of the file.  May be called at any time, also after `commit`: then it does
        nothing.
        """
        ...


class Storage(Protocol):
    """
    Files by name, `/` between folders.  Knows nothing of what is in them.
    """

    def lock(self) -> AbstractAsyncContextManager[None]:
        """
        Hold the storage for one run, and remove what a dead run left under construction.

        Raises `OutputLockedError` if another run holds it, `StorageError` if it cannot be used.
        """
        ...

    def open(self, name: str, size_hint: int | None = None, *, owner: str | None = None) -> Target:
        """
        Begin the file *name*, of about *size_hint* bytes if that is known.

        With *owner*, the storage remembers from `commit` to `release` whose the file is, also if
        the process dies.  It need not where the name says so: where it is *owner* and a suffix.
        """
        ...

    def is_claimed(self, name: str) -> bool:
        """
        Whether the file *name* was committed for an owner and not released, perhaps by a run that
        died.  At once.
        """
        ...

    async def is_owned_by(self, name: str, owner: str) -> bool | None:
        """
        Whether the file *name* is *owner*'s, as far as the storage knows; None if it does not know.
        """
        ...

    async def release(self, names: Sequence[str]) -> None:
        """
        Forget whose the files *names* are: it is written elsewhere now.
        """
        ...

    async def stat(self, names: Sequence[str]) -> list[Found]:
        """
        Return what is under each of *names*.  Raises `StorageError`.
        """
        ...

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """
        Yield the file *name* in pieces; the caller closes the generator.

        Raises `StorageError` and `UnsafeNameError`.
        """
        ...


@runtime_checkable
class LockKeeper(Protocol):
    """
    A storage whose lock has to be renewed, and which writes only while the lock is surely its own.
    """

    def lock_left(self) -> float:
        """
        Return for how many seconds it is; infinite if there is no lock.
        """
        ...

    def rely_on_lock(self, seconds: float) -> None:
        """
        Write for so many *seconds* from now, by the lock of another process of the run.
        """
        ...


@runtime_checkable
class ReportKeeper(Protocol):
    """
    A storage that can also keep copies of the report, for a machine that is lost.
    """

    async def segments(self) -> dict[str, int]:
        """
        Return the bytes of each segment that is kept, by its name.  Raises `StorageError`.
        """
        ...

    async def read_segment(self, name: str) -> bytes:
        """
        Return the segment *name*.  Raises `StorageError`.
        """
        ...

    async def write_segment(self, name: str, data: bytes) -> None:
        """
        Keep *data* as the segment *name*, in place of what it was before.  Raises `StorageError`.
        """
        ...
