"""
Table of the manifest formats and the reader of each; no file is opened here.
"""

from collections.abc import Iterator
from enum import StrEnum

from batchfetch.manifest.columns import USUAL_NAMES, ColumnNames
from batchfetch.manifest.lines import Lines
from batchfetch.manifest.objects import read_objects
from batchfetch.manifest.rows import RowReader
from batchfetch.manifest.tables import read_csv, read_tsv
from batchfetch.manifest.words import read_words
from batchfetch.models import BadRow, Job


class ManifestFormat(StrEnum):
    """
    The format of a manifest.
    """

    TXT = "txt"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


def read_rows(
    lines: Lines,
    manifest_format: ManifestFormat,
    names: ColumnNames = USUAL_NAMES,
    rows: RowReader | None = None,
) -> Iterator[Job | BadRow]:
    """
    Return the rows of *lines* in order: jobs, and bad rows for those that cannot be used; *rows*
    makes them, one with the usual rules if it is None.

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
