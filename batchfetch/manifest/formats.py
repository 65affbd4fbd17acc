"""
The formats of a manifest: lines in, jobs out.  Nothing here opens a file.
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
    How a manifest is written.
    """

    TXT = "txt"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


def read_rows(lines: Lines, manifest_format: ManifestFormat) -> Iterator[Job | BadRow]:
    """
    Return the jobs in *lines*, and between them the rows that cannot be used.

    What shows whether this is a manifest is read at once: the header, or the first JSON object.
    Raises `ManifestError` if it is none.
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
