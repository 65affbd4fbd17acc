"""
File descriptors: which are open, and none left.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def open_files() -> dict[str, str]:
    """
    Return what this process has open.
    """
    opened = {}
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            opened[link.name] = str(link.readlink())
    return opened


@contextmanager
def exhausted(*, but: int = 0) -> Iterator[None]:
    """
    Let this process open no more files, *but* so many.
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
