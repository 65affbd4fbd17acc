"""
Standard output and standard error, including closed pipes and missing descriptors.
"""

import os
import sys
from typing import TextIO

from batchfetch.errors import StorageError


def hold_standard_streams() -> None:
    """
    Open the null device in place of each standard stream the process was started without.

    Otherwise the next file to be opened would get its descriptor, and messages for stderr would be
    written to an image.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest free descriptor: this one.


def is_terminal(stream: TextIO | None) -> bool:
    """
    Whether *stream* is a terminal on which the cursor can be moved.
    """
    plain = {"", "dumb", "unknown"}
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in plain


def print_stdout(text: str) -> None:
    """
    Print *text* on stdout and flush.  A closed pipe is ignored.

    Raises `StorageError` if stdout is a file and its disk is full.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise StorageError(
            f"standard output cannot be written: {error.strerror}; make room, or send it elsewhere"
        ) from error


def print_text(text: str) -> None:
    """
    Print *text* for a person on stdout; what its encoding does not have becomes a question mark.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print_stdout(text.encode(encoding, "replace").decode(encoding))


def print_stderr(text: str) -> None:
    """
    Print *text* on stderr and flush.  A stderr that cannot be written does not stop the run.
    """
    try:
        # The current sys.stderr: a live display replaces it while it is open.
        _write(sys.stderr, text)
    except (OSError, ValueError):
        _silence(sys.stderr)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # None if the process was started without it.
        stream.write(f"{text}\n")
        stream.flush()


def _silence(stream: TextIO) -> None:
    # Otherwise the interpreter fails to flush it again at exit and returns 120.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
