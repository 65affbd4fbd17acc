"""
Files of a Parquet manifest: the file itself, or the part files of a folder.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import unquote

from batchfetch.errors import ManifestError
from batchfetch.manifest.kinds import kind_of
from batchfetch.manifest.lines import describe_error
from batchfetch.paths import is_file, is_folder, is_there

SUFFIX = ".parquet"

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_GZIP = b"\x1f\x8b"
_START = 4096

# What programs that write a folder for each value of a column call the folder of none.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"

# In the folders of such tables are also files whose rows were deleted or replaced.
_TABLE_FORMATS = {"_delta_log": "Delta", "metadata/version-hint.text": "Iceberg", ".hoodie": "Hudi"}


class Part(NamedTuple):
    """
    A file with rows.
    """

    path: Path
    columns: Mapping[str, str | None]
    """Columns that the names of the folders around it hold, as in `customer=Nordwind`."""


def is_folder_of_parts(source: Path) -> bool:
    """
    Whether *source* is a folder in which there are part files.

    Raises `ManifestError` if it cannot be searched.
    """
    return is_folder(source) and next(_found_in(source), None) is not None


def parts_of(source: str, name: str) -> list[Part]:
    """
    Return the files of the Parquet manifest *source*, called *name* in messages, in a stable order.

    In a folder, these are all that end in .parquet, also in folders within it; names that begin
    with a dot or an underscore are not for readers.  Raises `ManifestError` if there is none, if
    one of them is not whole or no Parquet, or if a folder cannot be searched.
    """
    path = Path(source)
    if not is_folder(path):
        _require_parquet(path, name)
        return [Part(path, {})]
    for sign, table in _TABLE_FORMATS.items():
        if is_there(path / sign):
            raise ManifestError(
                f"{name} is a table of {table}, whose part files may hold rows that were deleted;"
                " export it as one Parquet file"
            )
    parts = [Part(part, _columns_in(part.relative_to(path))) for part in sorted(_found_in(path))]
    if not parts:
        raise ManifestError(f"{name} is a folder without {SUFFIX} files; give a manifest")
    for part in parts:
        _require_parquet(part.path, printable(part.path))
    return parts


def printable(path: str | Path) -> str:
    """
    Return *path* as a report may contain it: it may have bytes that are not UTF-8.
    """
    return str(path).encode(errors="replace").decode()


def _found_in(folder: Path) -> Iterator[Path]:
    met = set()
    for root, folders, files in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        folder_id = _identity(root)
        if folder_id in met:  # A link to a folder that was searched, perhaps one around it.
            folders.clear()
            continue
        met.add(folder_id)
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        for name in files:
            if name[0] not in "._" and name.lower().endswith(SUFFIX):
                yield Path(root, name)


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = Path(folder).stat()
    except OSError as error:
        _refuse_folder(error)
    return found.st_dev, found.st_ino


def _refuse_folder(error: OSError) -> NoReturn:
    raise ManifestError(
        f"the folder {printable(error.filename)} cannot be searched for {SUFFIX} files:"
        f" {describe_error(error)}; allow this user to read it"
    ) from error


def _columns_in(path: Path) -> dict[str, str | None]:
    columns: dict[str, str | None] = {}
    for folder in path.parts[:-1]:
        key, is_column, value = folder.partition("=")
        if is_column and key:
            columns[unquote(key)] = None if value == _NO_VALUE else unquote(value)
    return columns


def _require_parquet(path: Path, name: str) -> None:
    """
    Raise `ManifestError` if the file at *path* does not begin and end as Parquet does.
    """
    if name == "-" or (is_there(path) and not is_file(path)):
        raise ManifestError(
            f"{name} is read as Parquet, which needs a regular file because its columns are"
            " described at its end; save it as a file and give its name"
        )
    try:
        with path.open("rb") as file:
            start = file.read(_START)
            file.seek(-min(len(start), len(_MAGIC)), os.SEEK_END)
            end = file.read()
    except OSError as exc:
        raise ManifestError(f"{name} cannot be opened: {describe_error(exc)}") from exc
    if not start:
        raise ManifestError(f"{name} is empty; give a whole Parquet file")
    if start.startswith(_ENCRYPTED):
        raise ManifestError(f"{name} is encrypted; give a Parquet file that is not")
    if start.startswith(_GZIP):
        raise ManifestError(f"{name} is compressed as a whole; unpack it with gunzip")
    if not start.startswith(_MAGIC):
        if (kind := kind_of(start)) is not None:
            raise ManifestError(f"{name} is no Parquet file: it is {kind}")
        raise ManifestError(
            f"{name} is no Parquet file; give it the suffix of its format, or name that with"
            " --manifest-format"
        )
    if end != _MAGIC:
        raise ManifestError(f"{name} is cut off: its end is missing; copy or write it again")
