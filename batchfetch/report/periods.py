"""
Runs as the lines of a report show them: what each has written, and when.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isnan

from pydantic import JsonValue

from batchfetch.models import OutcomeStatus
from batchfetch.report.entries import Entry
from batchfetch.report.figures import RunFigures, Silence
from batchfetch.report.runs import Run
from batchfetch.report.timeline import Timeline

# Runs of a report with a timeline; of those before them only the calls are counted.
_WITH_TIMELINE = 20


@dataclass(slots=True)
class Period:
    """
    The lines of one run; without a *run*, those of a time in which none is logged.
    """

    report: str
    run: Run | None
    timeline: Timeline | None
    outcomes: Counter[OutcomeStatus] = field(default_factory=Counter)
    line_calls: int = 0

    @property
    def calls(self) -> int:
        """
        Calls as the run counted them, or those of its lines if it has not ended.
        """
        counted = self.said("calls")
        return self.line_calls if counted is None else counted

    def said(self, key: str) -> int | None:
        """
        Return what the run's summary has for *key*; None if that is no number.
        """
        value = _value(self.run, key)
        return value if isinstance(value, int) else None

    def figures(self) -> RunFigures | None:
        """
        Return the figures of the run; None if it is not logged.
        """
        run = self.run
        if run is None:
            return None
        stopped_by = _value(run, "stopped_by")
        return RunFigures(
            report=self.report,
            began_at=run.began_at,
            ended_at=run.ended_at,
            seconds=run.seconds,
            calls=self.calls,
            outcomes={status: n for status in OutcomeStatus if (n := self.outcomes[status])},
            left=self.said("left"),
            exit_code=self.said("exit_code"),
            stopped_by=stopped_by if isinstance(stopped_by, str) else None,
            version=run.version,
            manifests=run.manifests,
            settings=run.settings,
            longest_silence=_silence(self.timeline),
            interruptions=run.interruptions,
        )


class Periods:
    """
    The periods of one *report*, by its *runs*, which are in the order in which they began.
    """

    def __init__(self, report: str, runs: Sequence[Run]) -> None:
        first = len(runs) - _WITH_TIMELINE
        self.of_runs = [
            Period(report, run, Timeline() if number >= first else None)
            for number, run in enumerate(runs)
        ]
        self.unlogged = Period(report, None, Timeline())
        self._begins = [run.began_at.timestamp() for run in runs]
        self._ends = [run.ended_at.timestamp() if run.ended_at else None for run in runs]

    def add(self, entry: Entry, asked: float, ended: float) -> None:
        """
        Take a line; times are Unix times or NaN.
        """
        period = self._at(ended)
        period.outcomes[entry.status] += 1
        period.line_calls += entry.calls
        if period.timeline is not None:
            period.timeline.add(asked, ended, calls=entry.calls, is_image=entry.is_image)

    def _at(self, ended: float) -> Period:
        if isnan(ended):
            return self.unlogged
        number = bisect_right(self._begins, ended) - 1
        if number < 0 or (self._ends[number] or ended) < ended:
            return self.unlogged
        return self.of_runs[number]


def _value(run: Run | None, key: str) -> JsonValue:
    return run.summary.get(key) if run is not None and run.summary is not None else None


def _silence(timeline: Timeline | None) -> Silence | None:
    if timeline is None or timeline.silent_from is None:
        return None
    began_at = datetime.fromtimestamp(timeline.silent_from, UTC)
    return Silence(began_at=began_at, seconds=round(timeline.silence, 3))
