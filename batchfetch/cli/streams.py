"""
Standard output and standard error, and what becomes of a run when nobody reads them.
"""

import os
import sys
from typing import TextIO

from batchfetch.errors import StorageError


def hold_standard_streams() -> None:
    """
    Open the null device in the place of each standard stream the process was started without.

    Else the next file opened, an image perhaps, would be what somebody takes for stderr.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest number that is free: this one.


def print_stdout(text: str) -> None:
    """
    Print *text* on stdout, at once.  A reader that has left has read enough.

    Raises `StorageError` if stdout is a file and its disk is full.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise StorageError(f"standard output cannot be written: {error.strerror}") from error


def print_stderr(text: str) -> None:
    """
    Print *text* on stderr, at once.  That nobody reads it is no reason to stop the work.
    """
    try:
        # Whatever is stderr at the moment: a live display puts itself in its place.
        _write(sys.stderr, text)
    except (OSError, ValueError):
        _silence(sys.stderr)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # As it is where the process was started with it closed.
        stream.write(f"{text}\n")
        stream.flush()


def _silence(stream: TextIO) -> None:
    # Else the interpreter would fail to flush it once more when it ends, and exit 120.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
