"""
Jobs of many rows at once, for the rows of formats that come column by column.

Rows one by one, with all that can be wrong with each, take four times as long.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count, repeat
from operator import attrgetter
from typing import cast

from pydantic import JsonValue

from batchfetch.endpoints import endpoint_path
from batchfetch.manifest.names import ORDINARY_NAME, with_suffix
from batchfetch.manifest.times import parse_time
from batchfetch.manifest.values import NULL_WORDS, text_of
from batchfetch.models import NO_EXTRA, Job

# Ids that are file names as they are.
_ORDINARY_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")

_NONE = type(None)
_zone_of = attrgetter("tzinfo")


def ordinary_jobs(
    manifest: str | None,
    first_line: int,
    task_ids: Sequence[JsonValue],
    names: Sequence[JsonValue] | None = None,
    submitted_at: Sequence[JsonValue | datetime] | None = None,
    endpoints: Sequence[JsonValue] | None = None,
    extras: Iterable[Mapping[str, JsonValue]] | None = None,
) -> Iterator[Job] | None:
    """
    Return the rows from *first_line* on as jobs; None if a value of one of them needs a closer
    look, because it may be unusable, or has something to be taken off.
    """
    # Columns that are not there are as good as empty.
    absent = [None] * len(task_ids)
    ids = _words(task_ids, _ORDINARY_ID)
    words = absent if names is None else _words(names, ORDINARY_NAME)
    instants = absent if submitted_at is None else _instants(submitted_at)
    if ids is None or None in ids or words is None or instants is None:
        return None
    if endpoints is not None and not _are_known(endpoints):
        return None
    stems = [word or task_id or "" for word, task_id in zip(words, ids, strict=True)]
    return map(
        Job._make,
        zip(
            ids,
            [with_suffix(stem) if stem[-1] in "gG" else f"{stem}.png" for stem in stems],
            words,
            instants,
            endpoints or absent,
            repeat(manifest),
            count(first_line),
            extras or repeat(NO_EXTRA),
        ),
    )


def _words(values: Sequence[JsonValue], ordinary: re.Pattern[str]) -> Sequence[str | None] | None:
    """
    Return *values* as text if each is None, an integer, or a word that is *ordinary*.
    """
    kinds = set(map(type, values))
    if int in kinds:
        values = [str(value) if type(value) is int else value for value in values]
        kinds = kinds - {int} | {str}
    if not kinds <= {str, _NONE}:
        return None
    texts = cast("Sequence[str | None]", values)
    if not NULL_WORDS.isdisjoint(texts):
        return None
    words = cast("Iterable[str]", texts if _NONE not in kinds else filter(None, texts))
    return texts if all(map(ordinary.fullmatch, words)) else None


def _instants(values: Sequence[JsonValue | datetime]) -> Sequence[datetime | None] | None:
    kinds = set(map(type, values))
    if kinds <= {datetime, _NONE}:
        instants = cast("Sequence[datetime | None]", values)
        return instants if set(map(_zone_of, filter(None, instants))) <= {UTC} else None
    if not kinds <= {str, int, float, _NONE}:
        return None
    times = cast("Sequence[str | float | None]", values)
    try:
        return [None if time is None else parse_time(time) for time in times]
    except ValueError:
        return None


def _are_known(values: Sequence[JsonValue]) -> bool:
    """
    Whether each of *values* is None or an endpoint that can be asked; most are the same.
    """
    if not set(map(type, values)) <= {str, _NONE}:
        return False
    try:
        for endpoint in cast("set[str]", set(values) - {None}):
            if text_of(endpoint, "endpoint") != endpoint:
                return False
            endpoint_path(endpoint)
    except ValueError:
        return False
    return True
