"""
What earlier runs say about images: accepted, uncertain, in flight when a run died.
"""

from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from batchfetch.endpoints import endpoint_path
from batchfetch.hash_table import HashTable
from batchfetch.models import STORED_FOR
from batchfetch.report.lines import AROUND, MAX_LINE
from batchfetch.report.reader import LineReader, open_to_read
from batchfetch.submission.lines import Intent, Line, SubmitResult, decode, require_submit_report
from batchfetch.submit_settings import SubmitStatus

_ACCEPTED = 0b01
_UNCERTAIN = 0b10

M = TypeVar("M", Intent, SubmitResult)


class Standing(Enum):
    """
    What the report says about an image.
    """

    FRESH = auto()
    """Nothing, or that it was not accepted."""

    ACCEPTED = auto()
    UNCERTAIN = auto()
    """Its answer was lost, and it may have been accepted."""


def content_key(sha256: str, endpoint: str) -> str:
    """
    Return the key of bytes that were sent to *endpoint*, a short name or a path.
    """
    try:
        path = endpoint_path(endpoint)
    except ValueError:
        path = endpoint  # Edited by hand.
    return f"{sha256} {path.lower()}"


def task_key(task_id: str) -> str:
    """
    Return the key of what repeats the task *task_id*.
    """
    return f"task {task_id.casefold()}"


class SubmitLedger:
    """
    Keys of images, a key being their bytes and endpoint or the task that they repeat, and what
    became of them: about thirteen bytes for each.
    """

    def __init__(self) -> None:
        self._keys = HashTable("I")
        self._in_flight: dict[str, int] = {}
        # Where lines begin whose image is not known to be in the manifest, and of the last day.
        self._unchecked = array("Q")
        self._recent = array("Q")

    def note(self, line: Line, start: int, since: datetime) -> None:
        """
        Note a *line* of the report that begins at byte *start*; an image accepted after *since* is
        recent.
        """
        if line.checkpoint is not None:
            self._unchecked = array("Q")
            return
        if line.intent is not None:
            if line.status is None and line.ended is None:
                self._in_flight[line.intent] = start
                return
            self._in_flight.pop(line.intent, None)
        if line.status is None:
            return
        self.note_outcome(keys_of(line), line.status)
        if line.status is SubmitStatus.SUBMITTED:
            self._unchecked.append(start)
            if line.submitted_at is not None and line.submitted_at >= since:
                self._recent.append(start)

    def note_outcome(self, keys: Sequence[str], status: SubmitStatus) -> None:
        """
        Note that the image with *keys*, its own the first, ended with *status*.
        """
        match status:
            case SubmitStatus.SUBMITTED:
                for key in keys:
                    self._keys.mark(key, _ACCEPTED, clear=_UNCERTAIN)
            case SubmitStatus.UNCERTAIN:
                for key in keys:
                    self._keys.mark(key, _UNCERTAIN)
            case SubmitStatus.FAILED:
                # Another task with these bytes may still be uncertain.
                for key in keys[:1]:
                    self._keys.mark(key, 0, clear=_UNCERTAIN)
            case SubmitStatus.INVALID:
                pass  # Nothing was sent, so what was uncertain still is.

    def standing(self, key: str, *, again: bool) -> Standing:
        """
        Return what is known of *key*; with *again* that it was accepted does not count.
        """
        flags, _ = self._keys.get(key)
        if flags & _ACCEPTED and not again:
            return Standing.ACCEPTED
        return Standing.UNCERTAIN if flags & _UNCERTAIN else Standing.FRESH

    def unfinished(self, path: Path) -> list[Intent]:
        """
        Return the intents in the report at *path* that have no end.
        """
        return list(_lines_at(path, sorted(self._in_flight.values()), Intent))

    def accepted(self, path: Path, *, recent: bool) -> Iterator[SubmitResult]:
        """
        Yield the results in the report at *path* whose images may not be in the manifest; with
        *recent* also those of the last 24 hours.
        """
        starts = {*self._unchecked, *(self._recent if recent else ())}
        return _lines_at(path, sorted(starts), SubmitResult)


def load_submit_report(path: Path) -> SubmitLedger:
    """
    Return what the report at *path* says.

    Raises `SettingsError` if what is there is no report, `ReportError` if it cannot be read.
    """
    require_submit_report(path)
    ledger = SubmitLedger()
    since = datetime.now(UTC) - timedelta(seconds=STORED_FOR)
    for start, line in LineReader(path, decode):
        ledger.note(line, start, since)
    return ledger


def keys_of(line: Line | SubmitResult) -> tuple[str, ...]:
    """
    Return the keys of the image that *line* is about, its own first.
    """
    keys = [] if line.resubmits is None else [task_key(line.resubmits)]
    if line.source_sha256 is not None and line.endpoint is not None:
        keys.append(content_key(line.source_sha256, line.endpoint))
    return tuple(keys)


def _lines_at(path: Path, starts: list[int], kind: type[M]) -> Iterator[M]:
    if not starts:
        return
    with open_to_read(path) as file:
        for start in starts:
            file.seek(start)
            try:
                yield kind.model_validate_json(file.readline(MAX_LINE).strip(AROUND))
            except ValidationError:
                continue  # Edited by hand, beyond what counts for the ledger.
