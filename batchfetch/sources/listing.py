"""
Names of a folder in order, in about as much memory as they have bytes.

A list of a million names takes eighty bytes for each and its order another eight.  Here runs of
them are sorted and put together as text, and merged when they are read.
"""

import heapq
import os
from collections.abc import Callable, Iterator

_RUN = 20_000


class Listing:
    """
    File names that are added in any order, and read in the order of *key* and then of the name.
    """

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._names: list[str] = []
        self._runs: list[bytes] = []

    def add(self, name: str) -> None:
        """
        Add the *name* of a file.
        """
        self._names.append(name)
        if len(self._names) == _RUN:
            run = sorted(self._names, key=self._order)
            # No file has a zero in its name.
            self._runs.append(b"\0".join(map(os.fsencode, run)) + b"\0")
            self._names.clear()

    def __iter__(self) -> Iterator[str]:
        last = iter(sorted(self._names, key=self._order))
        if not self._runs:
            return last
        return heapq.merge(*map(_names_of, self._runs), last, key=self._order)

    def _order(self, name: str) -> tuple[str, str]:
        return self._key(name), name


def _names_of(run: bytes) -> Iterator[str]:
    start = 0
    while (end := run.find(b"\0", start)) >= 0:
        yield os.fsdecode(run[start:end])
        start = end + 1
