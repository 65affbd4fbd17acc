"""
Tables and reports given as sources: find out what a file is by its content, and read its rows.
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from batchfetch.errors import ManifestError
from batchfetch.manifest import ManifestFormat
from batchfetch.manifest.columns import MissingColumnError
from batchfetch.manifest.files import end_of_lines, format_of, open_lines
from batchfetch.models import OutcomeStatus
from batchfetch.sources.files import UnusableFileError, shown_path
from batchfetch.sources.images import Refusal, RefusedSource
from batchfetch.sources.kinds import FORMATS
from batchfetch.sources.reports import (
    first_object,
    is_report,
    is_submission_report,
    read_report_rows,
)
from batchfetch.sources.rows import Row, open_parquet_table, read_table


def read_rows_of(
    path: str, only: frozenset[OutcomeStatus] | None = None
) -> Iterator[Row | RefusedSource]:
    """
    Read the rows of the table at *path*; of a report, those with one of the outcomes *only*.

    Raises `UnusableFileError` if it is no table with sources, `ManifestError` or `ReportError` if
    it cannot be read further.
    """
    first = first_object(Path(path))
    if is_report(first):
        yield from read_report_rows(Path(path), only)
        return
    if is_submission_report(first):
        raise _unusable(
            f"{shown_path(path)} is a report of submit, in which later runs look up what was sent;"
            " give the images, a manifest or a report of fetch"
        )
    with ExitStack() as stack:
        try:
            table_format = ManifestFormat.JSONL if first else _format_of(path)
            if table_format is ManifestFormat.PARQUET:
                rows = stack.enter_context(open_parquet_table(path))
            else:
                lines = stack.enter_context(open_lines(path, end_of_lines(path)))
                rows = read_table(lines, table_format)
        except MissingColumnError as exc:
            raise _unusable(_without_column(path, exc)) from None
        except ManifestError as exc:
            raise _unusable(f"{exc}; nor is it an image ({FORMATS})") from None
        for row in rows:
            if only is None or isinstance(row, RefusedSource) or row.outcome in only:
                yield row


def has_outcomes(path: str) -> bool:
    """
    Whether the table at *path* says what became of its rows; True if it cannot be read as one.
    """
    try:
        if is_report(first_object(Path(path))):
            return True
        row = next(read_rows_of(path), None)
    except (ManifestError, UnusableFileError):
        return True
    return isinstance(row, Row) and row.outcome is not None


def _without_column(path: str, error: MissingColumnError) -> str:
    """
    Return why the file at *path*, which is no image, is no table either.

    The first line of a file that does not call itself a table may be a secret: it is not quoted.
    """
    try:
        format_of(path)
    except ManifestError:
        return (
            f"{shown_path(path)} is neither an image ({FORMATS}) nor a table with a column source"
        )
    return f"{error}; nor is it an image ({FORMATS})"


def _format_of(path: str) -> ManifestFormat:
    """
    Return the format of a table that does not begin with a JSON object.

    Raises `UnusableFileError` for a list of paths.
    """
    table_format = ManifestFormat.CSV
    with suppress(ManifestError):
        table_format = format_of(path)
    if table_format is ManifestFormat.TXT:
        raise _unusable(
            f"{shown_path(path)} is neither an image ({FORMATS}) nor a table with a column source;"
            " a list of paths is read from standard input: batchfetch submit - < LIST"
        )
    return table_format


def _unusable(detail: str) -> UnusableFileError:
    return UnusableFileError(Refusal.NOT_IMAGE, detail)
