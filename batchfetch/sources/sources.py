"""
One stream of images from the sources of a submission.
"""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from batchfetch.errors import ManifestError, SettingsError
from batchfetch.hash_table import HashTable
from batchfetch.manifest.files import STDIN
from batchfetch.manifest.lines import is_utf8
from batchfetch.manifest.values import text_of
from batchfetch.models import OutcomeStatus
from batchfetch.paths import expand_home
from batchfetch.sources.files import (
    UnusableFileError,
    require_file,
    require_image,
    shown_path,
    start_of,
    unreadable,
)
from batchfetch.sources.images import Refusal, RefusedSource, SourceImage
from batchfetch.sources.kinds import is_image
from batchfetch.sources.names import Names, file_key, stem
from batchfetch.sources.rows import SOURCE, Row, name_of
from batchfetch.sources.search import Search
from batchfetch.sources.tables import has_outcomes, read_rows_of

# Bytes of a path on standard input; no system takes so many.
_MAX_PATH = 2**13

_SEEN = 1


class Sources:
    """
    The images of *sources*: image files, folders, tables with a column `source`, or `-`.

    Iteration does blocking I/O and holds no list of what it yields.  Raises `ManifestError` if a
    source is empty, or begins with the `~` of a user that does not exist.
    """

    def __init__(
        self,
        sources: Sequence[str | Path],
        *,
        only: frozenset[OutcomeStatus] | None = None,
        stdin: BinaryIO | None = None,
    ) -> None:
        self._sources = [_expanded(source) for source in sources]
        self._only = only
        self._stdin = stdin
        self._names = Names()
        self._seen = HashTable("I")
        self.skipped = 0
        """Files that a search through a folder has found so far and that are no images."""

        self.repeated = 0
        """Images so far that an earlier source has, too; they are left out."""

    def check(self) -> None:
        """
        Raise `SettingsError` if outcomes were chosen and a source has none, `ManifestError` if
        standard input is closed: before anything is sent.
        """
        for source in self._sources:
            if source == STDIN and self._only is None:
                self._input()
            elif self._only is not None and not _may_have_outcomes(source):
                raise SettingsError(
                    f"--only: {shown_path(source)} has no outcomes; give a report of fetch"
                )

    def __iter__(self) -> Iterator[SourceImage | RefusedSource]:
        """
        Yield the images in a stable order, and what cannot be submitted.

        Raises `ManifestError` or `ReportError` if a table cannot be read further.
        """
        files = [os.path.basename(source) for source in self._sources]  # noqa: PTH119 - text
        namesakes = Counter(map(file_key, files))
        for source, file in zip(self._sources, files, strict=True):
            if source == STDIN:
                yield from self._listed()
            else:
                names = (file,) if namesakes[file_key(file)] > 1 else (stem(file), file)
                yield from self._named(source, names, tables=True)

    def _listed(self) -> Iterator[SourceImage | RefusedSource]:
        """
        Yield the images whose paths are on standard input.  Raises `ManifestError` if it is no list
        of paths.
        """
        stream, number = self._input(), 0
        while line := stream.readline(_MAX_PATH):
            number += 1
            if len(line) == _MAX_PATH or b"\0" in line:
                raise ManifestError(
                    f"line {number} of standard input is no path: give one path a line, separated"
                    " by line ends and not by zero bytes"
                )
            source = os.fsdecode(line.rstrip(b"\r\n"))
            if source:
                yield from self._named(source, _names_of(source), where=(STDIN, number))

    def _input(self) -> BinaryIO:
        stream = self._stdin or getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise ManifestError("- stands for standard input, which is closed; give another source")
        return cast("BinaryIO", stream)

    def _named(
        self,
        source: str,
        names: tuple[str, ...],
        *,
        tables: bool = False,
        where: tuple[str | None, int | None] = (None, None),
    ) -> Iterator[SourceImage | RefusedSource]:
        path = absolute(source)
        try:
            if _is_folder(path):
                yield from self._searched(path)
                return
            require_file(path)
            if not is_image(start_of(path)):
                if tables:
                    yield from self._rows(source)
                    return
                require_image(path)
        except UnusableFileError as exc:
            yield _refused(path, exc, where=where)
            return
        folder, file = os.path.split(path)
        yield from self._file(path, names, f"{os.path.realpath(folder)}/{file}", where)

    def _searched(self, root: str) -> Iterator[SourceImage | RefusedSource]:
        search, real, skipped = Search(root), os.path.realpath(root), self.skipped
        for found in search:
            self.skipped = skipped + search.skipped
            if isinstance(found[1], UnusableFileError):
                yield _refused(found[0], found[1])
            else:
                yield from self._file(found[0], found[1], f"{real}/{found[1][-1]}")
        self.skipped = skipped + search.skipped

    def _file(
        self,
        path: str,
        names: tuple[str, ...],
        identity: str,
        where: tuple[str | None, int | None] = (None, None),
    ) -> Iterator[SourceImage | RefusedSource]:
        if self._seen.mark(identity, _SEEN)[0]:
            self.repeated += 1
        else:
            yield self._image(Row(path, None, None, {}, *where), path, names)

    def _rows(self, table: str) -> Iterator[SourceImage | RefusedSource]:
        """
        Yield the images of the *table* at that path.
        """
        for row in read_rows_of(table, self._only):
            if isinstance(row, RefusedSource):
                yield row
                continue
            image = _located(row.source)
            try:
                require_image(image)
            except UnusableFileError as exc:
                yield _refused(image, exc, row)
                continue
            # The same row of two tables; other columns may differ.
            if self._seen.mark(f"{image}\0{row.name}\0{row.endpoint}\0{row.key}", _SEEN)[0]:
                self.repeated += 1
            else:
                yield self._image(row, image, (row.name or name_of(row.source),))

    def _image(self, row: Row, path: str, names: tuple[str, ...]) -> SourceImage | RefusedSource:
        if not is_utf8(path):
            detail = f"{shown_path(path)} is not UTF-8, so no manifest can have it; rename it"
            return _refused(path, UnusableFileError(Refusal.BAD_NAME, detail), row)
        try:
            name = self._names.claim(*names)
        except ValueError as exc:
            error = UnusableFileError(Refusal.BAD_NAME, f"{shown_path(path)}: {exc}")
            return _refused(path, error, row, name=names[0])
        return SourceImage(
            Path(path), name, row.endpoint, row.key, row.extra, row.manifest, row.line
        )


def read_sources(
    sources: Sequence[str | Path],
    *,
    only: frozenset[OutcomeStatus] | None = None,
    stdin: BinaryIO | None = None,
) -> Sources:
    """
    Return the images of *sources*; *only* are the outcomes to take of a report, None for all.

    *stdin* is where the paths of the source `-` are read; None for the process's own.
    """
    return Sources(sources, only=only, stdin=stdin)


def absolute(source: str) -> str:
    """
    Return *source* from the root on, as it is else: `..` behind a link is not what it seems.
    """
    try:
        return str(Path(source).absolute())
    except OSError:  # The current folder was removed; no file is found from there.
        return source


def _expanded(source: str | Path) -> str:
    if not str(source):
        # Of a variable that is not set; as a path it would be the current folder.
        raise ManifestError("a SOURCE is empty; give an image, a folder, a table or -")
    try:
        return expand_home(source)
    except ValueError as exc:
        raise ManifestError(f"{source} cannot be opened: {exc}") from None


def _may_have_outcomes(source: str) -> bool:
    path = absolute(source)
    try:
        if source == STDIN or _is_folder(path):
            return False
        require_file(path)
        return not is_image(start_of(path)) and has_outcomes(source)
    except UnusableFileError:
        return True  # It has a line of its own in the report.


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - text
    except (OSError, ValueError) as exc:
        raise unreadable(path, exc) from None


def _names_of(source: str) -> tuple[str, ...]:
    """
    Return what an image is called that comes from a list, of which no more is known.
    """
    name = name_of(source)
    whole = name + os.path.splitext(source)[1]  # noqa: PTH122 - text
    # The second one does not differ for a PNG: `a` and `a.png` are one file.
    return name, whole, f"{whole}.png"


def _located(source: str) -> str:
    """
    Return the absolute path of a row's *source*; blanks around it count if a file has them.
    """
    path = absolute(source)
    if "\0" not in path and os.path.lexists(path):
        return path
    return absolute(text_of(source, SOURCE) or source)


def _refused(
    path: str,
    error: UnusableFileError,
    row: Row | None = None,
    *,
    name: str | None = None,
    where: tuple[str | None, int | None] = (None, None),
) -> RefusedSource:
    if row is None:
        row = Row(path, None, None, {}, *where)
    return RefusedSource(
        shown_path(path),
        error.reason,
        error.detail,
        name or row.name,
        row.endpoint,
        row.extra,
        row.manifest,
        row.line,
    )
