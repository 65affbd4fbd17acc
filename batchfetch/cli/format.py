"""
Text for people: numbers, outcomes, progress, summaries and plans.  Pure functions.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from batchfetch.exit_codes import ExitCode
from batchfetch.text import sanitize

if TYPE_CHECKING:  # Importing each of these takes a tenth of a second.
    from batchfetch.models import Outcome
    from batchfetch.report import Present
    from batchfetch.run.plan import Plan
    from batchfetch.run.summary import Progress, Summary
    from batchfetch.settings import Settings

Word = TypeVar("Word", bound=str)

_MINUTE, _HOUR = 60, 3600


def duration(seconds: float) -> str:
    """
    Return *seconds* as `0.4 s`, `12 s`, `3 min 12 s` or `2 h 05 min`.
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def size(count: float) -> str:
    """
    Return *count* bytes as `812 B`, `4.0 KiB`, `1.2 GiB`.
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def number(count: int, noun: str) -> str:
    """
    Return `1 call`, `2 calls`.
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def counts(found: Mapping[Word, int]) -> str:
    """
    Return `22 Completed, 2 Error`, without counts of zero.
    """
    return ", ".join(f"{count} {word}" for word, count in found.items() if count)


def outcome_line(outcome: "Outcome") -> str:
    """
    Return one line about an *outcome* that is not Completed.
    """
    # An unusable row has to be corrected in the manifest.
    at_fault = outcome.task_id is None or outcome.status == "Invalid"
    row = f"{outcome.manifest}:{outcome.line}" if at_fault and outcome.line else None
    who = ": ".join(filter(None, (row, outcome.task_id)))
    said = outcome.detail or "; ".join(outcome.messages)
    return ": ".join(filter(None, (who, f"{outcome.status} ({outcome.reason})", said)))


def progress_line(progress: "Progress") -> str:
    """
    Return the progress of a run on one line.
    """
    return "; ".join((*interrupted(progress.interruption)[:1], tally(progress), traffic(progress)))


def tally(progress: "Progress") -> str:
    """
    Return how many tasks are decided, by outcome: the first half of `progress_line`.
    """
    known = f"{progress.tasks}" if progress.all_read else f"at least {progress.tasks}"
    already = f"{progress.already} settled earlier" if progress.already else ""
    parts = ", ".join(filter(None, (counts(progress.outcomes), already)))
    return f"{progress.decided} of {known} tasks" + (f": {parts}" if parts else "")


def traffic(progress: "Progress") -> str:
    """
    Return current activity and totals so far: the second half of `progress_line`.
    """
    going_on = ", ".join(
        (
            f"{progress.in_flight} in flight",
            f"{progress.waiting} not asked yet",
            f"{progress.unfinished} unfinished",
        )
    )
    took = (
        f"{number(progress.calls, 'call')}, {size(progress.bytes)}, {speed(progress):.1f} tasks/s"
    )
    left = remaining(progress)
    until = f", about {duration(left)} left" if left else ""
    return f"{going_on}; {took}; {duration(progress.seconds)}{until}"


def interrupted(present: "Present | None") -> Sequence[str]:
    """
    Return what keeps a run from asking now, in sentences from the longest to the shortest; nothing
    if nothing does.
    """
    if present is None:
        return ()
    began, until, left = present.began_at, present.until, duration(present.left)
    if present.cause == "outage":
        held = f"held since {began:%H:%M:%SZ}, until {until:%H:%M:%SZ} at most"
        return (
            f"{held}: {present.reason}",
            f"the service cannot be reached: {held}",
            f"no answer: held {began:%H:%MZ} to {until:%H:%MZ}",
        )
    paused = f"paused until {until:%H:%M:%SZ} ({left} left), as the service asked"
    return f"{paused}: {present.reason}", paused, f"paused: {left} left"


def speed(progress: "Progress") -> float:
    """
    Return the tasks decided per second since the run began.
    """
    return sum(progress.outcomes.values()) / progress.seconds if progress.seconds > 0 else 0.0


def remaining(progress: "Progress") -> float | None:
    """
    Return the seconds left at the average speed so far; None while they cannot be estimated.
    """
    pace = speed(progress)
    if not progress.all_read or pace == 0:
        return None
    return (progress.tasks - progress.decided) / pace


def summary_text(summary: "Summary", report: Path, price_per_call: float | None = None) -> str:
    """
    Return the summary of a run in a few lines.

    The report is named if the exit code is 0; otherwise the explanation of the code does that.
    """
    decided = counts(summary.outcomes) or ("nothing decided" if summary.left else "nothing to do")
    lines = [
        f"{number(summary.tasks, 'task')} in {duration(summary.seconds)}: {decided}"
        + (f", {summary.adopted} of them in place already" if summary.adopted else "")
        + (f", {summary.already} settled by earlier runs" if summary.already else "")
        + _repeated(summary.repeated),
        f"{_calls(summary)}, {size(summary.bytes)} of images"
        + (f", {money(summary.calls, price_per_call)}" if price_per_call is not None else ""),
    ]
    if summary.exit_code == ExitCode.COMPLETED:
        lines.append(f"report: {shlex.quote(str(report))}")
    return "\n".join(map(sanitize, lines))


def _repeated(rows: int) -> str:
    return f"; {number(rows, 'row')} with an id that an earlier row has" if rows else ""


def _calls(summary: "Summary") -> str:
    share = f" ({summary.calls_per_image:.2f} for each image)" if summary.calls_per_image else ""
    early = f", {summary.asked_too_early} of them too early" if summary.asked_too_early else ""
    tokens = number(summary.token_requests, "token request")
    return f"{number(summary.calls, 'call')}{share}{early}, {tokens}"


def money(calls: float, price_per_call: float) -> str:
    """
    Return `0.36 at 0.03 a call`; the currency is the user's.
    """
    return f"{calls * price_per_call:.2f} at {price_per_call:g} a call"


def plan_text(plan: "Plan", settings: "Settings") -> str:
    """
    Return what a run would do and how many calls it would take, in a few lines.
    """
    found = {
        "to fetch": plan.to_fetch,
        "settled by earlier runs": plan.already,
        "in place already": plan.adopted,
        f"unusable ({counts(plan.reasons)})": plan.invalid,
    }
    least, expected = number(plan.least_calls, "call"), number(plan.expected_calls, "call")
    least_cost, expected_cost = "", ""
    if settings.price_per_call is not None:
        least_cost = f", {money(plan.least_calls, settings.price_per_call)}"
        expected_cost = f", {money(plan.expected_calls, settings.price_per_call)}"
    lines = (
        f"{number(plan.tasks, 'task')}: {counts(found) or 'nothing to do'}"
        + _repeated(plan.repeated),
        f"{least} at least, if all is ready{least_cost}",
        f"{expected} expected, if the service still works on them all{expected_cost}",
        f"{duration(plan.expected_seconds)} at least, or until the service is done",
        f"report: {shlex.quote(str(settings.report_path))}",
    )
    return "\n".join(map(sanitize, lines))
