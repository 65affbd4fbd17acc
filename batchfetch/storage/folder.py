"""
The output folder: locked by one run at a time, and never left through a link or a name.

Everything here blocks.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from batchfetch.errors import (
    OutOfDescriptorsError,
    OutputLockedError,
    StorageError,
    UnsafeNameError,
)
from batchfetch.storage.part import PART_NAME

log = logging.getLogger(__name__)

LOCK_NAME = ".batchfetch.lock"

# Names that no part of a path below the folder may have.
_NO_NAMES = frozenset({"", ".", ".."})

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Not the disk's fault: no plain file or folder stands there, or it takes no such name.
_UNSAFE = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ}
_NONE_LEFT = {errno.EMFILE, errno.ENFILE}

_ADVICE = {
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "make room and run again",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "allow this user to write there, or choose another --output",
    errno.EPERM: "allow this user to write there, or choose another --output",
    errno.ENOENT: "the output folder cannot be made there, or was removed during the run",
    errno.EEXIST: "a file is in the way; choose another --output",
    errno.ENOTDIR: "a file is in the way; choose another --output",
    errno.EMFILE: "allow more open files (ulimit -n) and run again",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """
    Turn an `OSError` about *path* into a `StorageError`, one sentence.
    """
    try:
        yield
    except OSError as exc:
        raise _storage_error(path, exc) from exc


class ImageErrors:
    """
    The same about the place *filename* of an image below *root*, unless the place or the number of
    open files is to blame (`UnsafeNameError`, `OutOfDescriptorsError`): then the disk is sound.

    A class, not a generator, and its path made only when needed: every image passes through it.
    """

    __slots__ = ("_filename", "_root")

    def __init__(self, root: Path, filename: str) -> None:
        self._root = root
        self._filename = filename

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: object
    ) -> None:
        if isinstance(exc, OSError):
            raise _image_error(self._root / self._filename, exc) from exc


def _image_error(path: Path, exc: OSError) -> Exception:
    words = f"{path}: {exc.strerror or exc}"
    if exc.errno in _UNSAFE:
        return UnsafeNameError(words)
    if exc.errno in _NONE_LEFT:
        return OutOfDescriptorsError(words)
    return _storage_error(path, exc)


def _storage_error(path: Path, exc: OSError) -> StorageError:
    advice = _ADVICE.get(exc.errno or 0, "see to the disk and run again")
    return StorageError(f"cannot write {path}: {exc.strerror or exc}; {advice}")


class Folder:
    """
    An open folder.  Files in it are named by their path below it, `/` between folders.

    Every step is taken from an open parent and follows no symbolic link, so neither a planted link
    nor a folder that is swapped during the run leads outside.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        """
        Open the folder at *path*; with *make*, make it if missing.  Raises `StorageError`.
        """
        self.path = path
        with storage_errors(path):
            if make:
                path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, _OPEN_FOLDER)
        self._lock: int | None = None

    def close(self) -> None:
        """
        Let go of the folder and of its lock.
        """
        for descriptor in (self._lock, self._descriptor):
            if descriptor is not None:
                os.close(descriptor)

    def lock(self) -> None:
        """
        Keep other runs out until `close`, or until this process dies.

        Raises `OutputLockedError` if another run is in.
        """
        with storage_errors(self.path / LOCK_NAME):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open(LOCK_NAME, flags, 0o666, dir_fd=self._descriptor)
        try:
            flock(self._lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise OutputLockedError(
                f"another run is writing to {self.path}; wait for it or choose another --output"
            ) from None
        except OSError as exc:
            log.warning("%s cannot be locked (%s): start no second run", self.path, exc.strerror)

    def parent_of(self, filename: str, *, make: bool) -> AbstractContextManager[tuple[int, str]]:
        """
        Open the folder that holds *filename*: its descriptor, and the file's name in it.

        With *make*, missing folders are made.  Raises `OSError`, and `UnsafeNameError` if the way
        to it is no way down.
        """
        *parents, name = parts = filename.split("/")
        if not _NO_NAMES.isdisjoint(parts):
            raise UnsafeNameError(f"{filename!r} is not a place below the output")
        if not parents:
            return nullcontext((self._descriptor, name))
        return self._opened(parents, name, make=make)

    @contextmanager
    def _opened(
        self, parents: Sequence[str], name: str, *, make: bool
    ) -> Iterator[tuple[int, str]]:
        at = os.dup(self._descriptor)
        try:
            for parent in parents:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(parent, dir_fd=at)
                inner = os.open(parent, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = inner
            yield at, name
        finally:
            os.close(at)

    def size_of(self, filename: str) -> int | None:
        """
        Return the size in bytes of the plain file *filename*; None if nothing is there.

        Raises `UnsafeNameError` if something else is there, `StorageError` if the disk fails.
        """
        try:
            if "/" in filename or filename in _NO_NAMES:
                with self.parent_of(filename, make=False) as (folder, name):
                    found = os.lstat(name, dir_fd=folder)
            else:  # Most images, and most of these are not there yet.
                found = os.lstat(filename, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise _image_error(self.path / filename, exc) from exc
        if not stat.S_ISREG(found.st_mode):
            raise UnsafeNameError(f"{self.path / filename} exists and is no plain file")
        return found.st_size

    def open_to_read(self, filename: str, _flags: int = 0) -> int:
        """
        Open the plain file *filename* and return its descriptor: an opener for `open`.

        Raises `OSError` and `UnsafeNameError`.
        """
        with self.parent_of(filename, make=False) as (folder, name):
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    def sweep(self) -> int:
        """
        Remove the files under construction that a dead run left; return how many there were.

        To be called only while the lock is held.
        """
        swept = 0
        with storage_errors(self.path):
            for _, _, names, folder in os.fwalk(dir_fd=self._descriptor, follow_symlinks=False):
                for name in names:
                    if PART_NAME.fullmatch(name):
                        os.unlink(name, dir_fd=folder)
                        swept += 1
        return swept
