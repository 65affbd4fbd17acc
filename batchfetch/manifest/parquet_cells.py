"""
Conversion of columns of Parquet, as Arrow reads them, into the values that a manifest's rows have.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from uuid import UUID

import pyarrow as pa
from pydantic import JsonValue

Time = datetime | JsonValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

# Floats up to here are whole numbers without gaps: what pandas makes of ids, if one is missing.
_WHOLE = 2.0**53

# Such fields are UUIDs, whether the file says so or not, unless they are text.
_UUID_BYTES = 16

# Not in text, whatever its encoding.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")

_is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def word_cells(column: pa.Array, errors: str = "strict") -> list[JsonValue]:
    """
    Return the values of *column*, which has ids, names or endpoints: text, or whole numbers.

    Bytes that are not UTF-8 are handled as *errors* says; the default raises `UnicodeDecodeError`.
    """
    column = _stored(column)
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return [_whole(value) for value in column.to_pylist()]
    if any(is_kind(kind) for is_kind in _is_bytes):
        return _texts(column, errors)
    return json_cells(column, errors)


def time_cells(column: pa.Array, errors: str = "strict") -> list[Time]:
    """
    Return the values of *column*, which has submission times; dates begin at midnight, UTC.
    """
    column = _stored(column)
    kind = column.type
    if pa.types.is_date32(kind):
        column = column.cast(pa.timestamp("s"))
    elif pa.types.is_date64(kind):
        column = column.cast(pa.timestamp("ms"))
    if not pa.types.is_timestamp(column.type):
        return list(word_cells(column, errors))
    counts = column.cast(pa.int64()).to_pylist()
    per_second = _PER_SECOND[column.type.unit]
    if per_second > 10**6:
        counts = [None if count is None else count // 1000 for count in counts]
    elif per_second < 10**6:
        step = 10**6 // per_second
        counts = [None if count is None else count * step for count in counts]
    try:
        return [None if count is None else _EPOCH + timedelta(0, 0, count) for count in counts]
    except OverflowError:  # A year after 9999 or before 1: its text shows it.
        return list(json_cells(column))


def json_cells(column: pa.Array, errors: str = "strict") -> list[JsonValue]:
    """
    Return the values of *column* as the report has them: times as ISO 8601, durations as seconds,
    decimals with their digits, bytes that are no text in hexadecimal.

    Text that is not UTF-8 is handled as *errors* says; the default raises `UnicodeDecodeError`.
    """
    column = _stored(column)
    kind = column.type
    if any(is_kind(kind) for is_kind in _is_text):
        return column.to_pylist() if errors == "strict" else _texts(column, errors)
    for is_kind, convert in _CONVERSIONS.items():
        if is_kind(kind):
            return convert(column)
    if pa.types.is_nested(kind):
        return _nested(column, errors)
    values: list[JsonValue] = column.to_pylist()
    return values


def depth_of(kind: pa.DataType) -> int:
    """
    Return how many lists and structures are in each other in a column of this *kind*.
    """
    deepest, level = 0, [kind]
    while level := [kind.field(i).type for kind in level for i in range(kind.num_fields)]:
        deepest += 1
    return deepest


def _stored(column: pa.Array) -> pa.Array:
    """
    Return *column* without what stands for its values: an extension type, a dictionary.
    """
    while True:
        if isinstance(column.type, pa.BaseExtensionType):
            is_bool = column.type.extension_name == "arrow.bool8"
            column = column.storage.cast(pa.bool_()) if is_bool else column.storage
        elif pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        else:
            return column


def _texts(column: pa.Array, errors: str) -> list[JsonValue]:
    is_view = pa.types.is_string_view(column.type)
    values = column.cast(pa.binary_view() if is_view else pa.large_binary()).to_pylist()
    return [None if value is None else value.decode(errors=errors) for value in values]


def _whole(value: float | Decimal | None) -> JsonValue:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else format(value, "f")
    number = float(value)
    return int(number) if number.is_integer() and abs(number) <= _WHOLE else number


def _bytes(column: pa.Array) -> list[JsonValue]:
    return [None if value is None else _text_or_hex(value) for value in column.to_pylist()]


def _fixed_bytes(column: pa.Array) -> list[JsonValue]:
    values = column.to_pylist()
    if column.type.byte_width != _UUID_BYTES:
        return [None if value is None else _text_or_hex(value) for value in values]
    return [
        None
        if value is None
        else value.decode()
        if value.isascii() and not _CONTROL.search(value)
        else str(UUID(bytes=value))
        for value in values
    ]


def _text_or_hex(value: bytes) -> str:
    try:
        return value.hex() if _CONTROL.search(value) else value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _floats(column: pa.Array) -> list[JsonValue]:
    values = column.to_pylist()
    return [float(value) if value is not None and isfinite(value) else None for value in values]


def _decimals(column: pa.Array) -> list[JsonValue]:
    convert: Callable[[Decimal], JsonValue] = str if column.type.scale > 0 else int
    return [None if value is None else convert(value) for value in column.to_pylist()]


def _instants(column: pa.Array) -> list[JsonValue]:
    kind, zone = column.type, ""
    if kind.tz is not None:
        # Stored as UTC; a cast by way of a zone would need the system's table of zones.
        column, zone = column.cast(pa.int64()).cast(pa.timestamp(kind.unit)), "Z"
    return [
        None if text is None else f"{_trimmed(text).replace(' ', 'T', 1)}{zone}"
        for text in column.cast(pa.string()).to_pylist()
    ]


def _date_texts(column: pa.Array) -> list[JsonValue]:
    texts: list[JsonValue] = column.cast(pa.string()).to_pylist()
    return texts


def _time_texts(column: pa.Array) -> list[JsonValue]:
    texts = column.cast(pa.string()).to_pylist()
    return [None if text is None else _trimmed(text) for text in texts]


def _trimmed(text: str) -> str:
    """
    Return *text*, a time, without zeros at the end of its fraction.
    """
    return text.rstrip("0").removesuffix(".") if "." in text else text


def _durations(column: pa.Array) -> list[JsonValue]:
    per_second = _PER_SECOND[column.type.unit]
    counts = column.cast(pa.int64()).to_pylist()
    return [None if count is None else count / per_second for count in counts]


def _nested(column: pa.Array, errors: str) -> list[JsonValue]:
    kind = column.type
    if pa.types.is_struct(kind):
        fields = [json_cells(child, errors) for child in column.flatten()]
        names = [kind.field(i).name for i in range(kind.num_fields)]
        rows: Sequence[JsonValue] = (
            [dict(zip(names, values, strict=True)) for values in zip(*fields, strict=True)]
            if fields
            else [{} for _ in range(len(column))]
        )
    elif pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        start = column.offset * size
        cells = json_cells(column.values.slice(start, len(column) * size), errors)
        rows = [cells[at * size : (at + 1) * size] for at in range(len(column))]
    elif pa.types.is_map(kind):
        rows = [
            dict(zip(map(_key, keys), items, strict=True))
            for keys, items in zip(
                _divided(column, column.keys, errors),
                _divided(column, column.items, errors),
                strict=True,
            )
        ]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        rows = _divided(column, column.values, errors)
    else:  # A list view, whose values may be in any order; few programs write one.
        rows = [json_cells(item.values, errors) if item.is_valid else [] for item in column]
    if not column.null_count:
        return list(rows)
    there = column.is_valid().to_pylist()
    return [row if is_there else None for row, is_there in zip(rows, there, strict=True)]


def _divided(column: pa.Array, values: pa.Array, errors: str) -> list[list[JsonValue]]:
    """
    Return the *values* of the lists, or the halves of the maps, that are in *column*.
    """
    bounds = column.offsets.to_pylist()
    first, last = (bounds[0], bounds[-1]) if bounds else (0, 0)
    cells = json_cells(values.slice(first, last - first), errors)
    return [cells[start - first : end - first] for start, end in pairwise(bounds)]


def _key(key: JsonValue) -> str:
    return key if isinstance(key, str) else json.dumps(key, ensure_ascii=False)


_CONVERSIONS: dict[Callable[[pa.DataType], bool], Callable[[pa.Array], list[JsonValue]]] = {
    **dict.fromkeys(_is_bytes, _bytes),
    pa.types.is_fixed_size_binary: _fixed_bytes,
    pa.types.is_floating: _floats,
    pa.types.is_decimal: _decimals,
    pa.types.is_timestamp: _instants,
    pa.types.is_date: _date_texts,
    pa.types.is_time: _time_texts,
    pa.types.is_duration: _durations,
}
