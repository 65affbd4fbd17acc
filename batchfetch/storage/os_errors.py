"""
What an `OSError` about the output means: the disk, the name, or too many open files.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchfetch.errors import OutOfDescriptorsError, StorageError, UnsafeNameError

NO_NAME = {errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG}
"""What a file system answers that takes no such name."""

# Not the disk's fault: no plain file or folder stands there, or it takes no such name.
_UNSAFE = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, *NO_NAME}
_NONE_LEFT = {errno.EMFILE, errno.ENFILE}

_ADVICE = {
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "make room and run again",
    errno.EROFS: "the file system is read-only; choose another --output",
    errno.EACCES: "allow this user to write there, or choose another --output",
    errno.EPERM: "allow this user to write there, or choose another --output",
    errno.ENOENT: "the output folder cannot be made there, or was removed during the run; choose"
    " another --output, or see to the disk and run again",
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
        raise storage_error(path, exc) from exc


class ImageErrors:
    """
    Turn an `OSError` about the image *filename* below *root* into a `StorageError`, unless its
    place or the number of open files is to blame (`UnsafeNameError`, `OutOfDescriptorsError`).

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
            raise image_error(self._root / self._filename, exc) from exc


def image_error(path: Path, exc: OSError) -> Exception:
    """
    Return what *exc* means that came of the image at *path*: see `ImageErrors`.
    """
    words = f"{path}: {exc.strerror or exc}"
    if exc.errno in _UNSAFE:
        return UnsafeNameError(words)
    if exc.errno in _NONE_LEFT:
        return OutOfDescriptorsError(words)
    return storage_error(path, exc)


def storage_error(path: Path, exc: OSError) -> StorageError:
    """
    Return *exc*, which came of *path*, as one sentence with a way out.
    """
    advice = _ADVICE.get(exc.errno or 0, "see to the disk and run again")
    return StorageError(f"cannot write {path}: {exc.strerror or exc}; {advice}")
