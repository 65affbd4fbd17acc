"""
What the report of a submission says in figures: the last line of each image counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from batchfetch.report.lines import decode_as
from batchfetch.report.reader import LineReader, raw_lines
from batchfetch.submission.lines import Line, decode
from batchfetch.submit_settings import SubmitStatus

# Lines at the beginning of which one tells whose report it is; the others may be damaged.
_FIRST = 20


class SubmitTrouble(BaseModel):
    """
    Images that were not accepted, by outcome and reason.
    """

    model_config = ConfigDict(frozen=True)

    outcome: SubmitStatus
    reason: str | None
    images: int
    example: str | None
    """What is said of the first of them."""


class SubmitFigures(BaseModel):
    """
    What became of the images, and what that took.
    """

    model_config = ConfigDict(frozen=True)

    reports: Sequence[str]
    images: int
    outcomes: Mapping[SubmitStatus, int]
    troubles: Sequence[SubmitTrouble]
    """The most frequent first."""

    in_flight: int
    """Sent, without a line that says what became of it: the run goes on, or was killed."""

    bytes: int
    """Of the images accepted."""

    calls: int
    cost: float | None
    manifests: Sequence[str]
    """Where the ids of those that were accepted are."""


class _FigureLine(Line):
    """
    What the figures need of a line besides.
    """

    reason: str | None = None
    detail: str | None = None
    source_bytes: int | None = None
    calls: int = 0
    manifest: str | None = None
    line: int | None = None


def is_submit_report(path: Path) -> bool:
    """
    Whether the report at *path* is one of a submission.

    Raises `ReportError` if it cannot be read.
    """
    for _, _, line in islice(raw_lines(path), _FIRST):
        try:
            if decode(line) is not None:
                return True
        except ValueError:
            continue
    return False


def submit_figures(paths: Sequence[Path], *, price_per_call: float | None = None) -> SubmitFigures:
    """
    Return the figures of the reports at *paths*; without *price_per_call* there is no cost.

    Raises `ReportError` if one of them cannot be read.
    """
    count = _Count()
    for path in paths:
        for _, line in LineReader(path, _decode):
            count.add(line)
    kinds = count.kinds
    outcomes = Counter(status for status, _ in count.images.values())
    return SubmitFigures(
        reports=[str(path) for path in paths],
        images=len(count.images),
        outcomes={status: outcomes[status] for status in SubmitStatus if outcomes[status]},
        troubles=[
            SubmitTrouble(
                outcome=kind[0], reason=kind[1], images=images, example=count.examples.get(kind)
            )
            for kind, images in kinds.most_common()
            if kind[0] is not SubmitStatus.SUBMITTED
        ],
        in_flight=len(count.in_flight),
        bytes=count.bytes,
        calls=count.calls,
        cost=None if price_per_call is None else round(count.calls * price_per_call, 6),
        manifests=list(count.manifests),
    )


_Kind = tuple[SubmitStatus, str | None]


class _Count:
    def __init__(self) -> None:
        # By a hash of what tells the image from others.
        self.images: dict[int, _Kind] = {}
        self.examples: dict[_Kind, str] = {}
        self.in_flight: set[str] = set()
        self.manifests: dict[str, None] = {}
        self.bytes = 0
        self.calls = 0

    @property
    def kinds(self) -> Counter[_Kind]:
        """
        Images by their last outcome and reason.
        """
        return Counter(self.images.values())

    def add(self, line: "_FigureLine") -> None:
        """
        Take the next *line* of a report.
        """
        if line.checkpoint is not None:
            self.manifests[line.checkpoint] = None
            return
        if line.intent is not None:
            if line.status is None and line.ended is None:
                self.in_flight.add(line.intent)
                return
            self.in_flight.discard(line.intent)
        if line.status is not None:
            self._add_result(line, line.status)

    def _add_result(self, line: "_FigureLine", status: SubmitStatus) -> None:
        kind = status, line.reason
        row = f"{line.manifest}:{line.line}" if line.source is None else line.source
        self.images[hash((row, line.endpoint, line.resubmits))] = kind
        self.examples.setdefault(kind, ": ".join(filter(None, (row, line.detail))))
        self.calls += line.calls
        if status is SubmitStatus.SUBMITTED:
            self.bytes += line.source_bytes or 0


def _decode(line: bytes) -> _FigureLine | None:
    return decode_as(_FigureLine, line)
