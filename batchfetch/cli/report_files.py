"""
Write what `batchfetch report -o` names: the formats, and a file that appears whole.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batchfetch.cli.main import COMMANDS
from batchfetch.cli.next_steps import next_steps
from batchfetch.errors import SettingsError, StorageError
from batchfetch.report.digest import Digest
from batchfetch.report.figures import Figures
from batchfetch.report.runs import runs_path
from batchfetch.report.tables import csv_lines, jsonl_lines
from batchfetch.text import needs_extra

Format = Callable[[Digest, Figures, Path], Iterable[bytes]]
"""Gives the content of a file for a path, piece by piece."""


def _jsonl(digest: Digest, _figures: Figures, _path: Path) -> Iterable[bytes]:
    return jsonl_lines(digest.lines())


def _csv(digest: Digest, _figures: Figures, _path: Path) -> Iterable[bytes]:
    return csv_lines(digest.lines(), digest.columns)


def _parquet(digest: Digest, _figures: Figures, _path: Path) -> Iterable[bytes]:
    from batchfetch.report.parquet import parquet_pieces  # noqa: PLC0415 - an extra

    return parquet_pieces(digest.lines, list(digest.columns))


def _html(digest: Digest, figures: Figures, path: Path) -> Iterable[bytes]:
    from batchfetch.cli.page import page  # noqa: PLC0415 - a table does not need it

    steps = next_steps(figures, digest.sources, COMMANDS, digest.columns)
    return page(digest, figures, path, steps)


FORMATS: Mapping[str, Format] = {
    ".html": _html,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""What can be written, by the suffix of its file."""


def check_format(path: Path) -> None:
    """
    Raise `SettingsError` if the suffix of *path* chooses no format, or one whose extra is missing.
    """
    if path.suffix.lower() == ".parquet":
        try:
            import batchfetch.report.parquet  # noqa: F401, PLC0415 - an extra
        except ImportError as exc:
            if exc.name != "pyarrow":
                raise
            raise SettingsError(needs_extra(f"--output: {str(path)!r}", "parquet")) from None
    if path.suffix.lower() not in FORMATS:
        *others, last = FORMATS
        raise SettingsError(
            f"--output: {str(path)!r} ends with none of {', '.join(others)} and {last}, "
            "which choose what is written; end it with one of them"
        )


def check_destination(path: Path, digest: Digest) -> None:
    """
    Raise `SettingsError` if *path* is no file, or one of those that *digest* was made from.
    """
    try:
        if not path.exists():
            return
        is_file = path.is_file()
    except OSError as exc:
        raise SettingsError(
            f"--output: {str(path)!r} cannot be used: {exc.strerror}; give another name"
        ) from None
    if not is_file:
        raise SettingsError(f"--output: {str(path)!r} is no regular file; give another name")
    if any(_is_same(path, kept) for kept in _inputs(digest)):
        raise SettingsError(
            f"--output: {str(path)!r} would replace what is read from it; give another name"
        )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # It is not there, or no file can have its name.
        return False


def _inputs(digest: Digest) -> Iterator[Path]:
    for source in digest.sources:
        yield source.path
        yield runs_path(source.path)
    for period in digest.logged:
        if period.run is not None:
            yield from map(Path, period.run.manifests)


def write_file(path: Path, digest: Digest, figures: Figures) -> int:
    """
    Write *path* in the format of its suffix, and return its bytes.

    Raises `StorageError` if it cannot be written; then what was there stays.
    """
    written = 0
    with _whole(path) as file:
        for piece in FORMATS[path.suffix.lower()](digest, figures, path):
            written += file.write(piece)
    return written


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """
    Open a file that takes the place of *path* at the end of the block, unless that fails.
    """
    target = Path(os.path.realpath(path))  # A link stays one.
    # Named like a part of an image, so that a run clears away what a killed command has left.
    part = target.with_name(f".report.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except OSError as exc:
        raise StorageError(
            f"{path} cannot be written: {exc.strerror or exc}; make room, or give another name"
        ) from exc
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
