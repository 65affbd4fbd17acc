"""
Manifests, one after the other, as one stream of jobs.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from batchfetch.manifest.files import STDIN, format_of, is_regular, open_lines
from batchfetch.manifest.formats import ManifestFormat, read_rows
from batchfetch.models import BadRow, Job


class Manifest:
    """
    The jobs of *sources*: paths, or `-` for standard input, each once.

    *manifest_format* says how all of them are written; without it each one's suffix does, and
    standard input is text.  Iterating opens one after the other and reads as it goes.
    """

    def __init__(self, *sources: str | Path, manifest_format: ManifestFormat | None = None) -> None:
        once: dict[str, str] = {}
        for source in map(str, sources):
            once.setdefault(_identity(source), source)
        self._sources = list(once.values())
        self._format = manifest_format
        self._opened: dict[str, tuple[ExitStack, Iterator[Job | BadRow]]] = {}

    @property
    def is_at_hand(self) -> bool:
        """
        Whether every row is there already: no source is a pipe, whose writer may take its time.
        """
        return all(is_regular(source) for source in self._sources)

    def check(self) -> None:
        """
        Look at the beginning of every source.

        Raises `ManifestError`, one sentence, if one of them cannot be read as a manifest.
        """
        for source in self._sources:
            with ExitStack() as stack:
                rows = stack.enter_context(self._rows(source))
                # What came out of a pipe cannot be read again.
                if not is_regular(source):
                    self._opened[source] = stack.pop_all(), rows

    def __iter__(self) -> Iterator[Job | BadRow]:
        """
        Read the sources: usable rows as jobs, the others as bad rows, in their order.

        Raises `ManifestError` where a source cannot be read (further).
        """
        for source in self._sources:
            with self._rows(source) as rows:
                yield from rows

    @contextmanager
    def _rows(self, source: str) -> Iterator[Iterator[Job | BadRow]]:
        opened = self._opened.pop(source, None)
        if opened is not None:
            with opened[0]:
                yield opened[1]
            return
        manifest_format = self._format or format_of(source)
        with open_lines(source) as lines:
            yield read_rows(lines, manifest_format)


def _identity(source: str) -> str:
    return source if source == STDIN else os.path.realpath(source)
