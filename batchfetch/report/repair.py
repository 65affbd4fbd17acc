"""
Repair the end of a report that a killed run left in the middle of a line.
"""

import logging
import os
from pathlib import Path

from batchfetch.report.lines import MAX_LINE, is_torn

log = logging.getLogger("batchfetch.report")

_BLOCK = 2**16


def repair(file: int, path: Path, *, follows: str = "its task counts as undecided") -> int:
    """
    Make the report open as *file*, at *path*, end with a whole line; return its size in bytes.

    A last line without an end gets one if it is an outcome; the torn beginning of one is cut off
    with a warning, which says what *follows*.  Raises `OSError`.
    """
    size = os.fstat(file).st_size
    start = _after_last_newline(file, size)
    if start == size:
        return size
    tail = os.pread(file, min(size - start, MAX_LINE), start)
    if not is_torn(tail):
        return size + os.write(file, b"\n")
    log.warning(
        "%s, line %d was torn when a run died and is cut off; %s",
        path,
        _newlines(file, start) + 1,
        follows,
    )
    os.ftruncate(file, start)
    return start


def _after_last_newline(file: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _newlines(file: int, end: int) -> int:
    return sum(
        os.pread(file, min(_BLOCK, end - start), start).count(b"\n")
        for start in range(0, end, _BLOCK)
    )
