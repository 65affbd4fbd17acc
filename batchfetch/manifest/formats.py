"""
Table of the manifest formats and the reader of each; no file is opened here.
"""

from collections.abc import Iterator
from enum import StrEnum

from batchfetch.manifest.lines import Lines, UnusableLineError
from batchfetch.manifest.objects import read_objects
from batchfetch.manifest.rows import RowReader
from batchfetch.manifest.tables import read_table
from batchfetch.models import BadRow, Job


class ManifestFormat(StrEnum):
    """
    The format of a manifest.
    """

    TXT = "txt"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


def read_rows(lines: Lines, manifest_format: ManifestFormat) -> Iterator[Job | BadRow]:
    """
    Return the rows of *lines* in order: jobs, and bad rows for those that cannot be used.

    The header of a table, or the first JSON object, is read by this call; the rest while iterating.
    Raises `ManifestError` if they have no task id, or if the source cannot be read further.
    """
    match manifest_format:
        case ManifestFormat.TXT:
            return _txt(lines)
        case ManifestFormat.CSV:
            return read_table(lines, ",;\t")
        case ManifestFormat.TSV:
            return read_table(lines, "\t")
        case ManifestFormat.JSONL:
            return read_objects(lines)


def _txt(lines: Lines) -> Iterator[Job | BadRow]:
    rows = RowReader(lines.name)
    while True:
        try:
            line = next(lines).strip()
        except StopIteration:
            return
        except UnusableLineError as exc:
            yield rows.bad(lines.number, str(exc))
            continue
        if line and not line.startswith("#"):
            yield rows.job(lines.number, line)
