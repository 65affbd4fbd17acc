"""
Table of the manifest formats and the reader of each.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import USUAL_NAMES, ColumnNames
from batchfetch.manifest.lines import Lines
from batchfetch.manifest.objects import read_objects
from batchfetch.manifest.parts import parts_of, printable
from batchfetch.manifest.rows import RowReader
from batchfetch.manifest.tables import read_csv, read_tsv
from batchfetch.manifest.words import read_words
from batchfetch.models import BadRow, Job
from batchfetch.text import needs_extra


class ManifestFormat(StrEnum):
    """
    The format of a manifest.
    """

    TXT = "txt"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def read_rows(
    lines: Lines,
    manifest_format: ManifestFormat,
    names: ColumnNames = USUAL_NAMES,
    rows: RowReader | None = None,
) -> Iterator[Job | BadRow]:
    """
    Return the rows of *lines*, which are text in one of the formats that are, in order: jobs, and
    bad rows for those that cannot be used; *rows* makes them, one with the usual rules if it is
    None.

    The header of a table, the first JSON object or the first id is read by this call; the rest
    while iterating.  Raises `ManifestError` if they have no task id, or if the source cannot be
    read further.
    """
    match manifest_format:
        case ManifestFormat.TXT:
            return read_words(lines)
        case ManifestFormat.CSV:
            return read_csv(lines, names, rows)
        case ManifestFormat.TSV:
            return read_tsv(lines, names, rows)
        case ManifestFormat.JSONL:
            return read_objects(lines, names, rows)
        case ManifestFormat.PARQUET:
            raise ValueError(f"{manifest_format} is not text")


def open_parquet(
    source: str,
    names: ColumnNames = USUAL_NAMES,
    row_reader: Callable[[str], RowReader] = RowReader,
) -> AbstractContextManager[Iterator[Job | BadRow]]:
    """
    Open *source*, a Parquet file or a folder of part files, for its rows in order; *row_reader*
    returns what makes those of a file with a name.

    Raises `ManifestError` if it cannot be read, has no task id, or the extra for it is missing.
    """
    name = printable(source)
    parts = parts_of(source, name)
    try:
        from batchfetch.manifest.parquet import open_parts  # noqa: PLC0415 - an extra
    except ImportError as exc:
        if exc.name != "pyarrow":
            raise
        raise ManifestError(needs_extra(name, "parquet")) from None
    return open_parts(parts, names, row_reader)
