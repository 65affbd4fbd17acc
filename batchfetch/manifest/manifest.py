"""
One stream of jobs from any number of manifest files.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import ColumnNames
from batchfetch.manifest.files import STDIN, end_of_lines, format_of, is_repeatable, open_lines
from batchfetch.manifest.formats import ManifestFormat, open_parquet, read_rows
from batchfetch.models import BadRow, Job
from batchfetch.paths import expand_home, is_there


class Manifest:
    """
    The jobs of *sources*: paths, or `-` for standard input.  Duplicate paths are read once.

    All sources are in *manifest_format*; if it is None, the suffix of each decides, and standard
    input is `TXT`.  *id_column* and *name_column* name the columns of task ids and of image names
    where they are not called as usual.

    Iteration opens one source after the other and reads it as a stream.  What is appended to a
    source meanwhile is not read: it may be the report that the run writes.

    Raises `ManifestError` if a path begins with the `~` of a user that does not exist.
    """

    def __init__(
        self,
        *sources: str | Path,
        manifest_format: ManifestFormat | None = None,
        id_column: str | None = None,
        name_column: str | None = None,
    ) -> None:
        distinct: dict[str, str] = {}
        for source in map(_expanded, sources):
            distinct.setdefault(_identity(source), source)
        self._sources = list(distinct.values())
        self._format = manifest_format
        self._names = ColumnNames(id_column, name_column)
        self._opened: dict[str, tuple[ExitStack, Iterator[Job | BadRow]]] = {}

    @property
    def sources(self) -> tuple[str, ...]:
        """
        The paths, and `-` for standard input; each once.
        """
        return tuple(self._sources)

    @property
    def is_at_hand(self) -> bool:
        """
        Whether every source is a file or a folder, so that no read waits for the writer of a pipe.
        """
        return all(is_repeatable(source) for source in self._sources)

    def name_columns(self, id_column: str | None, name_column: str | None) -> None:
        """
        Set the names of columns that were not given when the manifest was made.
        """
        given = self._names
        self._names = ColumnNames(given.task_id or id_column, given.name or name_column)

    def require_there(self) -> None:
        """
        Raise `ManifestError` if there is nothing at one of the paths.
        """
        for source in self._sources:
            if source != STDIN and not is_there(source):
                with self._rows(source):  # Says why it cannot be opened.
                    pass

    def check(self) -> None:
        """
        Read the beginning of every source.

        Raises `ManifestError` if one of them cannot be read as a manifest.
        """
        for source in self._sources:
            with ExitStack() as stack:
                rows = stack.enter_context(self._rows(source))
                # Bytes read from a pipe cannot be read again, so the open source is kept.
                if not is_repeatable(source):
                    self._opened[source] = stack.pop_all(), rows

    def __iter__(self) -> Iterator[Job | BadRow]:
        """
        Yield the rows of all sources in order: jobs, and bad rows for those that cannot be used.

        Raises `ManifestError` if a source cannot be read, or not to its end.
        """
        ends = {source: end_of_lines(source) for source in self._sources}
        for source in self._sources:
            with self._rows(source, ends[source]) as rows:
                yield from rows

    @contextmanager
    def _rows(self, source: str, end: int | None = None) -> Iterator[Iterator[Job | BadRow]]:
        opened = self._opened.pop(source, None)
        if opened is not None:
            with opened[0]:
                yield opened[1]
            return
        manifest_format = self._format or format_of(source)
        if manifest_format is ManifestFormat.PARQUET:
            with open_parquet(source, self._names) as rows:
                yield rows
            return
        with open_lines(source, end) as lines:
            yield read_rows(lines, manifest_format, self._names)


def _expanded(source: str | Path) -> str:
    try:
        return expand_home(source)
    except ValueError as error:
        raise ManifestError(f"{source} cannot be opened: {error}") from None


def _identity(source: str) -> str:
    return source if source == STDIN else os.path.realpath(source)
