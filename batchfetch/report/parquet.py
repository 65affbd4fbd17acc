"""
Table of report lines in Parquet, which is a manifest, too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue
from pydantic_core import from_json

from batchfetch.models import REPORT_COLUMNS
from batchfetch.report.tables import labels_of

# Lines that are decoded at once, and bytes of them; and when the rows made of them become a row
# group: what is in memory is one group, however many lines there are.
_LINES = 1024
_BLOCK_BYTES = 2**22
_GROUP_BYTES = 2**23

_TIME = pa.timestamp("us", "UTC")
_WORDS = pa.list_(pa.string())

_KINDS = {
    **dict.fromkeys(("messages", "warnings"), _WORDS),
    **dict.fromkeys(("bytes", "calls", "line"), pa.int64()),
    **dict.fromkeys(("first_call_at", "finished_at", "submitted_at"), _TIME),
}

# Integers beyond it have no float of their own.
_EXACT = 2**53
_INT64 = 2**63


def parquet_pieces(lines: Callable[[], Iterable[bytes]], columns: Sequence[str]) -> Iterator[bytes]:
    """
    Return a Parquet file of the report's lines, piece by piece.

    *lines* is called twice: what types the *columns* of `extra` have is known when all of them have
    been read.  A column of one type has it; one of several, of lists or of objects is text, in
    which the values that are no text are JSON.
    """
    labels = labels_of(columns)
    extra = _kinds_of(lines(), columns) if columns else {}
    schema = pa.schema(
        [
            *((key, _KINDS.get(key, pa.string())) for key in REPORT_COLUMNS),
            *((labels[column], extra[column]) for column in columns),
        ]
    )
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(lines(), schema, columns):
            writer.write_table(group)
            yield from sink.taken()
    yield from sink.taken()


def _groups(
    lines: Iterable[bytes], schema: pa.Schema, columns: Sequence[str]
) -> Iterator[pa.Table]:
    batches: list[pa.RecordBatch] = []
    for block in _blocks(lines):
        batches.append(_batch(block, schema, columns))
        if sum(batch.nbytes for batch in batches) >= _GROUP_BYTES:
            yield pa.Table.from_batches(batches)
            batches.clear()
    if batches:
        yield pa.Table.from_batches(batches)


def _blocks(lines: Iterable[bytes]) -> Iterator[list[Any]]:
    block, size = [], 0
    for line in lines:
        block.append(from_json(line))
        size += len(line)
        if len(block) == _LINES or size >= _BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _batch(
    block: Sequence[Mapping[str, JsonValue]], schema: pa.Schema, columns: Sequence[str]
) -> pa.RecordBatch:
    kinds = iter(schema.types)
    arrays = [_array([line.get(key) for line in block], next(kinds)) for key in REPORT_COLUMNS]
    extras: list[Any] = [line.get("extra") or {} for line in block]
    arrays += [
        _array([extra.get(column) for extra in extras], kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _array(values: list[JsonValue], kind: pa.DataType) -> pa.Array:
    if kind == _TIME:
        return pa.array(map(_instant, values), kind)
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, OverflowError):
        # A line that was edited by hand, or a column of several types.
        return pa.array((_fitting(value, kind) for value in values), kind)


def _instant(value: JsonValue) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _fitting(value: JsonValue, kind: pa.DataType) -> Any:
    """
    Return *value* if a column of this *kind* can hold it, as text if that is its kind, else None.
    """
    if value is None:
        return None
    if kind == pa.string():
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if kind == _WORDS:
        return [_fitting(word, pa.string()) for word in value] if isinstance(value, list) else None
    try:
        return pa.scalar(value, kind)
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        return None


def _kinds_of(lines: Iterable[bytes], columns: Sequence[str]) -> dict[str, pa.DataType]:
    """
    Return the type of each of *columns* of `extra`.
    """
    found: dict[str, set[Any]] = {column: set() for column in columns}
    for line in lines:
        for column, value in (from_json(line).get("extra") or {}).items():
            if value is not None and column in found:
                found[column].add(_kind_of(value))
    return {column: _common(kinds) for column, kinds in found.items()}


def _kind_of(value: JsonValue) -> pa.DataType | None:
    """
    Return the type of *value*; None for one that is only exact as text.
    """
    match value:
        case bool():
            return pa.bool_()
        case int() if abs(value) <= _EXACT:
            return pa.int32()  # Stands for those that floats can hold, too.
        case int() if -_INT64 <= value < _INT64:
            return pa.int64()
        case float():
            return pa.float64()
        case str():
            return pa.string()
        case _:
            return None


def _common(kinds: set[pa.DataType | None]) -> pa.DataType:
    if kinds == {pa.bool_()}:
        return pa.bool_()
    if kinds and kinds <= {pa.int32(), pa.int64()}:
        return pa.int64()
    if kinds and kinds <= {pa.int32(), pa.float64()}:
        return pa.float64()
    return pa.string()


class _Sink:
    """
    A file that gives away what is written to it.
    """

    def __init__(self) -> None:
        self.closed = False
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        """
        Take *piece*.
        """
        self._pieces.append(bytes(piece))
        return len(piece)

    def taken(self) -> list[bytes]:
        """
        Return what was written since the last time.
        """
        pieces, self._pieces = self._pieces, []
        return pieces

    def flush(self) -> None:
        """
        Keep nothing back.
        """

    def close(self) -> None:
        """
        End the file.
        """
        self.closed = True
