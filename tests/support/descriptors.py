"""
Helpers for file descriptors: list the open ones, and exhaust them.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def open_files() -> dict[str, str]:
    """
    Return the targets of this process's open file descriptors, by number.
    """
    opened = {}
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            opened[link.name] = str(link.readlink())
    return opened


@contextmanager
def exhausted(*, but: int = 0) -> Iterator[None]:
    """
    Exhaust the file descriptors of this process inside the block, except *but* of them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, open_files())) + 1 + but, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(but):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
