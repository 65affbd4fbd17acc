"""
Search through a folder for images, in a stable order.

An output of `fetch` further down is left alone: its images have been processed.
Hidden files and folders are left alone, and so are links that lead out of the folder.  A link to a
folder is not followed, so there are no loops: what it leads to within the folder is found there.
"""

import errno
import logging
import os
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from batchfetch.sources.files import UnusableFileError, read_start, shown_path, unreadable
from batchfetch.sources.images import Refusal
from batchfetch.sources.kinds import is_image
from batchfetch.sources.listing import Listing
from batchfetch.sources.names import file_key, stem

# `fetch` takes no more, and a search must not go on without end.
_MAX_DEPTH = 100

# The files that `fetch` leaves in its output: what else is there are results.
_OUTPUT_FILES = frozenset({"report.jsonl", "report.runs.jsonl"})

log = logging.getLogger("batchfetch.sources")

# A link to a place that is not there, or to itself; a file that went while the folder was read.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Found(NamedTuple):
    """
    An image in the folder.
    """

    path: str
    names: tuple[str, ...]
    """What it is to be called: the first of these that no other image has."""


class Search:
    """
    The images below the folder *root*, which is absolute; iteration reads one folder at a time.

    What cannot be read is handed out as an error with the path.  Files that are no images are
    counted in `skipped`.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._real_root = os.path.realpath(root)
        self.skipped = 0

    def __iter__(self) -> Iterator[Found | tuple[str, UnusableFileError]]:
        levels = [iter([""])]
        while levels:
            below = next(levels[-1], None)
            if below is None:
                levels.pop()
                continue
            path = f"{self._root}/{below}"
            try:
                files, folders = self._listed(path)
            except OSError as exc:
                yield path, unreadable(path, exc)
                continue
            if below and self._is_output(path):
                log.warning(
                    "%s is an output of fetch and is left alone; to submit its images, give it as a"
                    " SOURCE of its own",
                    shown_path(path),
                )
                continue
            for _, names in groupby(files, file_key):
                yield from self._images(below, names)
            if len(levels) <= _MAX_DEPTH:
                levels.append(_below(below, folders))
                continue
            for name in folders:
                detail = (
                    f"{shown_path(path + name)} is in more than {_MAX_DEPTH} folders within each"
                    " other; give a folder further down as a SOURCE"
                )
                yield path + name, UnusableFileError(Refusal.BAD_NAME, detail)

    def _listed(self, path: str) -> tuple[Listing, Listing]:
        """
        Return the files and the folders at *path*; all else is counted.
        """
        files, folders = Listing(file_key), Listing(str)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                    files.add(entry.name)
                else:
                    self.skipped += 1
        return files, folders

    @staticmethod
    def _is_output(path: str) -> bool:
        return all(os.path.isfile(path + name) for name in _OUTPUT_FILES)  # noqa: PTH113 - text

    def _images(
        self, below: str, names: Iterator[str]
    ) -> Iterator[Found | tuple[str, UnusableFileError]]:
        """
        Yield the images among files whose *names* without suffix are one: two keep their suffixes.
        """
        found = []
        for name in names:
            path = f"{self._root}/{below}{name}"
            try:
                if self._is_image(path):
                    found.append(name)
                else:
                    self.skipped += 1
            except OSError as exc:
                # It may be an image, and nothing else would tell of it.
                yield path, unreadable(path, exc)
        for name in found:
            whole = below + name
            candidates = (whole,) if len(found) > 1 else (below + stem(name), whole)
            yield Found(f"{self._root}/{whole}", candidates)

    def _is_image(self, path: str) -> bool:
        try:
            try:
                start = read_start(path, follow=False)
            except OSError as exc:
                if exc.errno != errno.ELOOP or not self._stays_within(path):
                    raise
                start = read_start(path)
        except OSError as exc:
            if exc.errno in _GONE:
                return False
            raise
        return start is not None and is_image(start)

    def _stays_within(self, link: str) -> bool:
        """
        Whether *link* leads to a regular file in the folder.
        """
        target = os.path.realpath(link)
        return os.path.isfile(target) and target.startswith(f"{self._real_root.rstrip('/')}/")  # noqa: PTH113 - text


def _below(folder: str, names: Listing) -> Iterator[str]:
    return (f"{folder}{name}/" for name in names)
