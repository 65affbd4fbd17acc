"""
Warnings about values of a manifest that could not be used although their rows could.
"""

import logging
from collections import Counter

log = logging.getLogger("batchfetch.manifest")

# Rows of which each kind of warning tells; the others are counted.
_SHOWN = 3


class Notices:
    """
    Warnings about the rows of one manifest, called *name*: the first few of a kind, and a count.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name or "a task"
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, line: int | None, detail: str) -> None:
        """
        Warn about the row that begins at *line*; *kind* says the same of any number of rows.
        """
        self._counts[kind] += 1
        if self._counts[kind] <= _SHOWN:
            place = self._name if line is None else f"{self._name}:{line}"
            log.warning("%s: %s", place, detail)

    def conclude(self) -> None:
        """
        Log how many rows there were of each kind that had more than were shown.
        """
        for kind, count in self._counts.items():
            if count > _SHOWN:
                log.warning("%s: %s in %d rows in all", self._name, kind, count)
        self._counts.clear()
