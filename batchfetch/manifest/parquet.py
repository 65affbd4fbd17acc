"""
Reader for Parquet manifests, in memory that does not grow with their rows.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import ColumnNames, Columns, require_columns
from batchfetch.manifest.lines import MAX_ROW, describe_error
from batchfetch.manifest.parquet_cells import depth_of, json_cells, time_cells, word_cells
from batchfetch.manifest.parts import Part, printable
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job

# Rows decoded in one go: enough to be quick, and few enough not to delay the event loop.
_ROWS = 2048

# Bytes of them, by the sizes that the file declares; and bytes read from the file in one go.
_BYTES = 2**23
_BUFFER = 2**20

# Lists and structures in each other; those of the report's line come on top.
_MAX_DEPTH = 100

# The most characters of a value that is neither text nor nested.
_LONGEST = 80

_ERRORS = (pa.ArrowException, OSError, MemoryError, ValueError)

_CONVERSIONS: dict[str | None, Callable[..., list[Any]]] = {
    "task_id": word_cells,
    "name": word_cells,
    "submitted_at": time_cells,
    "endpoint": word_cells,
    None: json_cells,
}


@contextmanager
def open_parts(
    parts: Sequence[Part],
    names: ColumnNames,
    row_reader: Callable[[str], RowReader] = RowReader,
) -> Iterator[Iterator[Job | BadRow]]:
    """
    Open *parts* one after the other as one manifest; *row_reader* returns what makes the rows of
    the file with a name.

    What describes the columns of each is read now, and the first rows, so that a file that cannot
    be read is refused before anything is asked.  Raises `ManifestError`.
    """
    for part in parts[1:]:
        _PartFile(part, names, row_reader).close()
    with closing(_blocks(parts, names, row_reader)) as blocks:
        first = next(blocks, ())
        yield chain(first, chain.from_iterable(blocks))


def _blocks(
    parts: Sequence[Part], names: ColumnNames, row_reader: Callable[[str], RowReader]
) -> Generator[Iterator[Job | BadRow], None, None]:
    for number, part in enumerate(parts):
        with closing(_PartFile(part, names, row_reader)) as file:
            # The columns of the others are mostly the same.
            yield from file.blocks(tell_misspelt=number == 0)


class _PartFile:
    """
    The rows of one file.
    """

    def __init__(
        self, part: Part, names: ColumnNames, row_reader: Callable[[str], RowReader]
    ) -> None:
        self._name = printable(part.path)
        self._row_reader = row_reader
        try:
            self._source = pa.OSFile(os.fsencode(part.path))
            # Anything else keeps more in memory: whole columns, or all that was read ahead.
            self._file = pq.ParquetFile(self._source, pre_buffer=False, buffer_size=_BUFFER)
            labels, kinds = self._file.schema_arrow.names, self._file.schema_arrow.types
        except _ERRORS as exc:
            raise ManifestError(f"{self._name} cannot be read: {_reason(exc)}") from exc
        for label, kind in zip(labels, kinds, strict=True):
            if depth_of(kind) > _MAX_DEPTH:
                raise ManifestError(
                    f"{self._name}: the column {label!r} has more than {_MAX_DEPTH} lists and"
                    " structures in each other; leave it out"
                )
        constants = {key: part.columns[key] for key in part.columns if key not in labels}
        self._constants = list(constants.values())
        self._nested = [index for index, kind in enumerate(kinds) if pa.types.is_nested(kind)]
        self._columns = Columns([*labels, *constants], names)
        require_columns(self._columns, names, self._name)
        fields = [self._columns.field_at(index) for index in range(len(labels))]
        self._conversions = [_CONVERSIONS[field] for field in fields]

    def close(self) -> None:
        """
        Close the file.
        """
        self._source.close()

    def blocks(self, *, tell_misspelt: bool = False) -> Iterator[Iterator[Job | BadRow]]:
        """
        Yield the rows in order, some at a time; their lines are counted from 1.

        With *tell_misspelt* columns that may be misspelt are told of when the first row is read.
        """
        rows, line = self._row_reader(self._name), 1
        notes = self._notes(rows) if tell_misspelt else iter(())
        for batch, cells, undecoded in self._batches():
            if self._may_be_long(batch, cells):
                found = self._long_rows(rows, line, cells, undecoded=undecoded)
            else:
                found = self._columns.jobs(rows, line, cells, undecoded=undecoded)
            yield chain(notes, found)
            line += batch.num_rows
        rows.conclude()

    def _notes(self, rows: RowReader) -> Iterator[Job | BadRow]:
        """
        Tell of columns that may be misspelt, once the first row is wanted; yield no row.
        """
        for label, field in self._columns.misspelt():
            rows.note_misspelt(label, field)
        yield from ()

    def _batches(self) -> Iterator[tuple[pa.RecordBatch, list[list[Any]], bool]]:
        """
        Yield the batches of rows; their values column by column; and whether lone surrogates may
        stand for bytes in them that could not be decoded.
        """
        read = 0
        try:
            batches = self._file.iter_batches(self._batch_size(), use_threads=False)
            while (batch := next(batches, None)) is not None:
                yield batch, *self._cells(batch)
                read += batch.num_rows
        except _ERRORS as exc:
            after = f" beyond row {read}" if read else ""
            raise ManifestError(f"{self._name} cannot be read{after}: {_reason(exc)}") from exc

    def _batch_size(self) -> int:
        metadata = self._file.metadata
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        widest = max((group.total_byte_size / (group.num_rows or 1) for group in groups), default=1)
        return max(1, min(_ROWS, int(_BYTES / max(1, widest))))

    def _cells(self, batch: pa.RecordBatch) -> tuple[list[list[Any]], bool]:
        constants = [[value] * batch.num_rows for value in self._constants]
        pairs = list(zip(self._conversions, batch.columns, strict=True))
        try:
            return [*(convert(column) for convert, column in pairs), *constants], False
        except UnicodeDecodeError:
            cells = [convert(column, "surrogateescape") for convert, column in pairs]
            return [*cells, *constants], True

    def _may_be_long(self, batch: pa.RecordBatch, cells: list[list[Any]]) -> bool:
        nested = sum(max(map(_length, cells[index]), default=0) for index in self._nested)
        flat = batch.nbytes - sum(batch.column(index).nbytes for index in self._nested)
        return bool(nested + 2 * flat + _LONGEST * len(cells) > MAX_ROW)

    def _long_rows(
        self, rows: RowReader, line: int, cells: list[list[Any]], *, undecoded: bool
    ) -> Iterator[Job | BadRow]:
        for number, values in enumerate(zip(*cells, strict=True), line):
            if sum(map(_length, values)) > MAX_ROW:
                yield rows.bad(number, f"the row is longer than {MAX_ROW} characters; shorten it")
            else:
                yield self._columns.job(rows, number, values, undecoded=undecoded)


def _length(value: Any) -> int:
    """
    Return about how many characters of a line *value* takes.
    """
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value)) if isinstance(value, list | dict) else 1


def _reason(exc: Exception) -> str:
    if isinstance(exc, MemoryError):
        return "it needs more memory than there is; write it with smaller pages and row groups"
    text = describe_error(exc).partition("\n")[0].strip()
    if "decrypt" in text.lower() or "encrypted" in text.lower():
        return "it is encrypted; give a Parquet file that is not"
    return f"{text.removesuffix('.')}; write it again"
