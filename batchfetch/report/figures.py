"""
The figures of one or more reports: what `batchfetch report` shows, and `--json` prints.
"""

from collections.abc import Mapping, Sequence

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from batchfetch.models import OutcomeStatus
from batchfetch.report.interruptions import Interruption


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Example(_Frozen):
    """
    One of the tasks with the same reason.
    """

    task_id: str | None
    detail: str | None
    """One sentence: the report's own, or what the service said."""

    report: str
    manifest: str | None
    line: int | None


class Trouble(_Frozen):
    """
    Tasks that did not end Completed, by outcome and reason.
    """

    outcome: OutcomeStatus
    reason: str | None
    tasks: int
    resubmitted: int
    """Those of them in whose place another task of the reports was submitted."""

    example: Example


class Resubmitted(_Frozen):
    """
    Tasks that were submitted again.
    """

    tasks: int
    """Tasks in whose place another one was submitted."""

    outcomes: Mapping[OutcomeStatus, int]
    """What became of their images in the end: the last task of each counts."""


class Spread(_Frozen):
    """
    How long images took, in seconds.
    """

    images: int
    median: float
    p95: float
    """Ninety-five in a hundred took no longer."""

    longest: float
    histogram: Mapping[str, int]
    """Images by the longest time of their class (`5`: at most five seconds, and more than the class
    before); `inf` is the last."""


class Times(_Frozen):
    """
    How long images took, from two beginnings; None where that is known of no image.
    """

    from_submission: Spread | None
    from_first_call: Spread | None


class Silence(_Frozen):
    """
    A time without an outcome.
    """

    began_at: AwareDatetime
    seconds: float


class RunFigures(_Frozen):
    """
    One run.
    """

    report: str
    began_at: AwareDatetime
    ended_at: AwareDatetime | None
    """None while it goes on, and if it was killed."""

    seconds: float | None
    calls: int
    """As the run counted them; those of its lines if it has not ended."""

    outcomes: Mapping[str, int]
    left: int | None
    exit_code: int | None
    stopped_by: str | None
    version: str
    manifests: Sequence[str]
    settings: Mapping[str, JsonValue]
    """Those that are not defaults."""

    longest_silence: Silence | None
    """None with fewer than two outcomes."""

    interruptions: Sequence[Interruption] = ()
    """Its outages and pauses; none of a run that has not ended."""


class Group(_Frozen):
    """
    The tasks with one *value* in the column; None for those without.
    """

    value: str | None
    tasks: int
    outcomes: Mapping[OutcomeStatus, int]
    images: int
    adopted: int
    bytes: int
    calls: int
    """Of the tasks' last lines."""


class Groups(_Frozen):
    """
    Tasks by a column of the manifest.
    """

    column: str
    groups: Sequence[Group]
    """The largest first."""


class Figures(_Frozen):
    """
    What became of the tasks, and what that took.
    """

    reports: Sequence[str]
    lines: int
    unusable_lines: int
    """Lines that are no outcome, and were skipped."""

    tasks: int
    outcomes: Mapping[OutcomeStatus, int]
    reasons: Mapping[str, int]
    troubles: Sequence[Trouble]
    """The most frequent first."""

    resubmitted: Resubmitted
    with_warnings: int
    """Completed tasks with a warning of the service."""

    images: int
    """Fetched; without those adopted."""

    adopted: int
    bytes: int
    """Of the images fetched."""

    calls: int
    calls_per_image: float | None
    asked_too_early: int | None
    """In the runs that ended; None if there is none."""

    cost: float | None
    time_to_image: Times
    runs: Sequence[RunFigures]
    """The last twenty, in the order in which they began."""

    groups: Groups | None
