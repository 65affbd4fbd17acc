"""
Errors of the system about a report or its log of runs, each with what to do about it.
"""

import errno
from pathlib import Path

from batchfetch.errors import ReportError

_ADVICE = {
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "make room and run again",
    errno.EFBIG: "allow larger files (ulimit -f) and run again",
    errno.EROFS: "the file system is read-only; choose another --report",
    errno.EACCES: "allow this user to read and write it, or choose another --report",
    errno.EPERM: "allow this user to read and write it, or choose another --report",
    errno.EISDIR: "it is a folder; name a file with --report",
    errno.EEXIST: "a file is in the way of its folder; choose another --report",
    errno.ENOTDIR: "a file is in the way of its folder; choose another --report",
    errno.ENOENT: "its folder cannot be made there; choose another --report",
    errno.ELOOP: "it is a symbolic link that is not followed; choose another --report",
    errno.ENXIO: "it is a pipe; start the program that reads it, and run again",
    errno.EPIPE: "the program that read it has ended; run again with one that goes on",
    errno.EMFILE: "allow more open files (ulimit -n) and run again",
}


def log_error(path: Path, what: str, exc: OSError) -> ReportError:
    """
    Return the error that says that the log of runs at *path* cannot be *what*.
    """
    advice = "see that it is a file which this user may read, or move it away"
    return ReportError(f"the log of runs {path} cannot be {what}: {exc.strerror or exc}; {advice}")


def report_error(path: Path, what: str, exc: OSError) -> ReportError:
    """
    Return the error that says that the report at *path* cannot be *what*: opened, written, read.
    """
    advice = _ADVICE.get(exc.errno or 0, "see to the disk and run again")
    return ReportError(f"the report {path} cannot be {what}: {exc.strerror or exc}; {advice}")
