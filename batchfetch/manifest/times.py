"""
Reading of submission times: ISO 8601, or Unix time in seconds or smaller units.
"""

import re
from datetime import UTC, datetime, timedelta

_NUMBER = re.compile(r"\d{1,20}(\.\d*)?([eE]\+?\d{1,2})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Unix times from 2001 to 2100.  Smaller numbers are something else, such as a spreadsheet's days.
_EARLIEST, _LATEST = 1e9, 4.1e9

# Seconds, milliseconds, microseconds and nanoseconds: their ranges do not overlap.
_UNITS = (1, 1e3, 1e6, 1e9)


def parse_time(value: str | float | datetime) -> datetime:
    """
    Return the instant that *value* means, in UTC.

    Text is ISO 8601, UTC if it has no offset, or a number.  A number is Unix time in seconds,
    milliseconds, microseconds or nanoseconds, whichever gives a time from 2001 to 2100.  Raises
    `ValueError` if it is none of these.
    """
    if isinstance(value, str):
        if value[4:5] == "-" or not _NUMBER.fullmatch(value):
            value = datetime.fromisoformat(value)
        elif (instant := _unix_time(float(value))) is not None:
            return instant
        else:
            value = datetime.fromisoformat(value)  # 20261123 is a date.
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except OverflowError as exc:
            raise ValueError(str(exc)) from exc
    instant = _unix_time(value)
    if instant is None:
        raise ValueError("the number is no Unix time")
    return instant


def _unix_time(number: float) -> datetime | None:
    if not number < 1e20:  # Nor is a number that is none, or too large for a float.
        return None
    for unit in _UNITS:
        if _EARLIEST <= number / unit < _LATEST:
            return _EPOCH + timedelta(seconds=number / unit)
    return None
