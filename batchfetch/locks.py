"""
Locks and synced folders, on file systems that have them and on those that have not.

Everything here blocks.
"""

import errno
import fcntl
import logging
import os
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

# What a file system answers that has no such call: SMB, FUSE, NFS without its lock service.
_MISSING = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


def lock(file: int, path: Path, *, shared: bool = False) -> None:
    """
    Keep other processes from locking the open *file* at *path*, until it is closed; if it is
    *shared*, only from locking it alone.

    Where the file system has no locks, this is said once in a warning.  Raises `BlockingIOError` if
    another process holds the lock, `OSError` if the file system fails.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as exc:
        if exc.errno not in _MISSING:
            raise
        _warn(
            f"{path} cannot be locked ({exc.strerror}): the file system has no locks, so make sure"
            " that no second run writes there"
        )


def sync_folder(folder: int, path: Path) -> None:
    """
    Make the names in the open *folder* at *path* outlive a power cut.

    Where the file system cannot do that, this is said once in a warning.  Raises `OSError` if the
    file system fails.
    """
    try:
        os.fsync(folder)
    except OSError as exc:
        if exc.errno not in _MISSING:
            raise
        _warn(
            f"{path} cannot be synced ({exc.strerror}): a power cut may cost the names of its"
            " newest files"
        )


@cache
def _warn(message: str) -> None:
    log.warning(message)
