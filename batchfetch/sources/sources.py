"""
One stream of images from the sources of a submission.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from batchfetch.models import OutcomeStatus
from batchfetch.sources.images import RefusedSource, SourceImage


class Sources:
    """
    The images of *sources*: image files, folders, tables with a column `source`, or `-`.

    Iteration does blocking I/O and holds no list of what it yields.
    """

    def __init__(
        self,
        sources: Sequence[str | Path],
        *,
        only: frozenset[OutcomeStatus] | None = None,
        stdin: BinaryIO | None = None,
    ) -> None:
        self._sources = sources
        self._only = only
        self._stdin = stdin
        self.skipped = 0
        """Files that a search through a folder has found so far and that are no images."""

    def check(self) -> None:
        """
        Raise `ManifestError` if *only* is given and a source is no report, or if a source begins
        with the `~` of a user that does not exist: before anything is sent.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[SourceImage | RefusedSource]:
        """
        Yield the images in a stable order, and what cannot be submitted.

        Raises `ManifestError` or `ReportError` if a table cannot be read further.
        """
        raise NotImplementedError


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
