"""
The lock of an output folder: one run has it alone, or the shards of one run have it together.

Everything here blocks.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

from batchfetch.errors import OutputLockedError
from batchfetch.locks import lock
from batchfetch.sharding import LABEL, Shard

LOCK_NAME = ".batchfetch.lock"

SHARD_LOCK = re.compile(rf"\.batchfetch\.({LABEL})\.lock")
"""What the names of the files look like that shards lock."""

_SIGNATURE = re.compile(r"(\d+) (\S+) (\S+)\n")

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC

# Seconds between two tries to lock a shard's file, and how often it is tried: another shard that
# looks whether it is locked holds it for a moment.
_RETRY_DELAY = 0.02
_RETRIES = 50


class FolderLock:
    """
    The lock of the open *folder* at *path*.

    A run without shards locks one file alone.  A shard shares that file with the others, and locks
    a file of its own alone, which other shards only try.
    """

    def __init__(self, folder: int, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._held: list[int] = []

    @property
    def is_held(self) -> bool:
        """
        Whether this process has the lock.
        """
        return bool(self._held)

    def acquire(self, shard: Shard | None) -> None:
        """
        Take the lock until `release`, or until this process dies.

        Raises `OutputLockedError` if another run has it, `OSError`.
        """
        whole = self._open(LOCK_NAME)
        try:
            lock(whole, self._path, shared=shard is not None)
        except BlockingIOError:
            raise self._refused(whole, shard) from None
        if shard is None:
            _sign(whole)
        else:
            self._acquire_own(shard)

    def release(self) -> None:
        """
        Give the lock back, if it is held.
        """
        while self._held:
            os.close(self._held.pop())

    def _open(self, name: str) -> int:
        file = os.open(name, _FLAGS | os.O_CREAT, 0o666, dir_fd=self._folder)
        self._held.append(file)
        return file

    def _acquire_own(self, shard: Shard) -> None:
        own = self._open(f".batchfetch.{shard.label}.lock")
        for left in reversed(range(_RETRIES)):
            try:
                lock(own, self._path)
                break
            except BlockingIOError:
                if not left:
                    raise self._taken(
                        f"another run of shard {shard}{_holder(own)}",
                        "wait for it, or give each process a part of its own",
                    ) from None
                time.sleep(_RETRY_DELAY)
        _sign(own)
        # Parts of another number overlap with this one.
        for other, holder in self._shards():
            if other.count != shard.count:
                raise self._taken(
                    f"shard {other}{holder}",
                    f"wait for it, or divide this run into {other.count} parts, too",
                )

    def _refused(self, whole: int, shard: Shard | None) -> OutputLockedError:
        """
        Return the error that says who has the file *whole*.
        """
        way = "wait for it or choose another --output"
        if shard is None:
            for other, holder in self._shards():
                return self._taken(f"shard {other} of another run{holder}", way)
        return self._taken(f"another run{_holder(whole)}", way)

    def _taken(self, who: str, way: str) -> OutputLockedError:
        return OutputLockedError(f"{who} is writing to {self._path}; {way}")

    def _shards(self) -> Iterator[tuple[Shard, str]]:
        """
        Yield the other shards that are on, and in words which process each is.
        """
        for name, shard in self._shard_files():
            with suppress(FileNotFoundError):
                file = os.open(name, _FLAGS, dir_fd=self._folder)
                try:
                    lock(file, self._path, shared=True)
                except BlockingIOError:
                    yield shard, _holder(file)
                finally:
                    os.close(file)

    def _shard_files(self) -> Iterator[tuple[str, Shard]]:
        with os.scandir(self._folder) as entries:
            found = [match for entry in entries if (match := SHARD_LOCK.fullmatch(entry.name))]
        for match in sorted(found, key=itemgetter(0)):
            yield match[0], Shard.labelled(match[1])


def _sign(file: int) -> None:
    """
    Write into the locked *file* which process holds it, on which host, and since when.
    """
    signature = f"{os.getpid()} {os.uname().nodename} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n"
    with suppress(OSError):  # The lock holds without it, on a full disk too.
        if os.fstat(file).st_nlink == 1:  # Otherwise it is also a file outside.
            os.ftruncate(file, 0)
            os.pwrite(file, signature.encode(), 0)


def _holder(file: int) -> str:
    """
    Return what `_sign` has written into the locked *file*, in words; nothing if it cannot be read.
    """
    with suppress(OSError, UnicodeDecodeError):
        if found := _SIGNATURE.fullmatch(os.pread(file, 512, 0).decode("ascii")):
            process, host, since = found.groups()
            return f" (process {process} on {host}, since {since})"
    return ""
