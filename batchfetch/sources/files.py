"""
Beginnings of files: open only what is a regular file, and say in words why one cannot be read.
"""

import errno
import io
import os
import stat
from pathlib import Path

from batchfetch.sources.images import Refusal
from batchfetch.sources.kinds import FORMATS, START, is_image

# A pipe is not waited for, and a terminal does not become this process's.
_WITHOUT_WAITING = os.O_NONBLOCK | os.O_NOCTTY


class UnusableFileError(Exception):
    """
    What is at a path is no image that can be read: *reason*, and *detail* in one sentence.
    """

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_start(path: str, *, follow: bool = True) -> bytes | None:
    """
    Return the first bytes of the regular file at *path*; None for anything else that is there.

    Without *follow* a symbolic link raises `OSError` with ELOOP.  Raises `OSError` if the file
    cannot be read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | _WITHOUT_WAITING
    descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            return None
        # Files that the system makes up have no size, and some of them are read without end.
        return os.read(descriptor, START) if info.st_size else b""
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> io.FileIO:
    """
    Open the regular file at *path*, which may have become something else since it was looked at.

    Raises `OSError`, also for a pipe or a device, of which reading might never end.
    """
    file = io.FileIO(path, opener=_open)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file any more")
    return file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _WITHOUT_WAITING)


def require_file(path: str) -> None:
    """
    Raise `UnusableFileError` if there is no regular file at *path*: to open a device may do more
    than that.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - no path object for each of a million files
    except (OSError, ValueError) as exc:
        raise unreadable(path, exc) from None
    if stat.S_ISDIR(mode):
        detail = f"{shown_path(path)} is a folder; give it as a SOURCE of its own"
        raise UnusableFileError(Refusal.UNREADABLE, detail)
    if not stat.S_ISREG(mode):
        detail = f"{shown_path(path)} is no regular file; save what it gives as one"
        raise UnusableFileError(Refusal.UNREADABLE, detail)


def require_image(path: str) -> None:
    """
    Raise `UnusableFileError` if there is no image at *path*.
    """
    require_file(path)
    start = start_of(path)
    if not is_image(start):
        detail = f"{shown_path(path)} is no image: its content is not {FORMATS}"
        raise UnusableFileError(Refusal.NOT_IMAGE, detail)


def start_of(path: str) -> bytes:
    """
    Return the first bytes of the file at *path*.

    Raises `UnusableFileError` if it cannot be read, or has none.
    """
    try:
        start = read_start(path)
    except OSError as exc:
        raise unreadable(path, exc) from None
    if not start:
        raise UnusableFileError(Refusal.EMPTY, f"{shown_path(path)} is empty; save it again")
    return start


def unreadable(path: str, error: OSError | ValueError) -> UnusableFileError:
    """
    Return the error that says that *path* cannot be read.
    """
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return UnusableFileError(Refusal.UNREADABLE, f"{shown_path(path)} cannot be read: {why}")


def shown_path(path: str) -> str:
    """
    Return *path* as text that can be written as UTF-8.
    """
    return os.fsencode(path).decode(errors="replace") if not path.isascii() else path
