"""
Decode lines of the report with all that figures are made of.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import nan
from typing import Annotated

from pydantic import Field, JsonValue

from batchfetch.models import RESUBMITS, OutcomeStatus
from batchfetch.report.lines import ReportLine, decode_as


class Entry(ReportLine):
    """
    What the figures need of a line.  Times that cannot be read are no reason to lose an outcome.
    """

    reason: str | None = None
    detail: str | None = None
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    calls: Annotated[int, Field(ge=0, lt=2**31)]
    first_call_at: object = None
    submitted_at: object = None
    name: object = None
    endpoint: object = None
    extra: Mapping[str, JsonValue] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """
        The same for every line about a task; a row without an id has its own, which is no id.
        """
        if self.task_id is not None:
            return self.task_id.casefold()
        return f"{self.manifest}\n{self.line}"

    @property
    def replaces(self) -> str | None:
        """
        The key of the task in whose place this one was submitted; None if there is none.
        """
        replaced = self.extra.get(RESUBMITS)
        return replaced.casefold() if isinstance(replaced, str) and replaced else None

    @property
    def is_image(self) -> bool:
        """
        Whether the service was asked for an image, and it came.
        """
        return self.status is OutcomeStatus.COMPLETED and self.calls > 0

    @property
    def is_adopted(self) -> bool:
        """
        Whether the image was there already.
        """
        return self.status is OutcomeStatus.COMPLETED and not self.calls

    def column(self, name: str) -> str | None:
        """
        Return what the manifest's column *name* has for the task; None if that is nothing.
        """
        value = self.extra.get(name)
        if value is None and name in _OWN_COLUMNS:
            value = getattr(self, name)
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, default=str)


_OWN_COLUMNS = frozenset({"manifest", "endpoint", "name", "submitted_at", "task_id"})


# The year 2242: what is later was not written by a clock.
_LATEST = 2.0**33


def decode_entry(line: bytes) -> Entry | None:
    """
    Return what *line* says; None if it is blank.

    Raises `ValueError` with a few words if it is no outcome.
    """
    return decode_as(Entry, line)


def seconds_at(text: object) -> float:
    """
    Return the Unix time of *text*, an instant in the report; NaN if it is none.
    """
    if not isinstance(text, str):
        return nan
    try:
        when = datetime.fromisoformat(text)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return nan
    return seconds if 0 <= seconds < _LATEST else nan
