"""
Text for people about a submission: progress, summary, plan, explanation.  Pure functions.
"""

import shlex
from collections.abc import Sequence

from batchfetch.cli.explanation import STOPPED
from batchfetch.cli.format import counts, duration, interrupted, money, number, size
from batchfetch.cli.panel import MARGIN, NARROWEST, fitting, interruption_line
from batchfetch.exit_codes import ExitCode
from batchfetch.submission.lines import SubmitResult
from batchfetch.submission.plan import SubmitPlan
from batchfetch.submission.summary import SubmitProgress, SubmitSummary
from batchfetch.submit_settings import SubmitSettings, SubmitStatus
from batchfetch.text import sanitize

# What has to be put right before the run can go on.
_CAUSES = {ExitCode.CREDENTIALS: "credentials", ExitCode.STORAGE: "storage"}
_STORAGE = "stopped because the manifest or the report cannot be written"


def submitted_line(result: SubmitResult) -> str:
    """
    Return one line about an image that was not accepted.
    """
    row = f"{result.manifest}:{result.line}" if result.line else None
    who = ": ".join(filter(None, (row, result.source)))
    return ": ".join(filter(None, (who, f"{result.status} ({result.reason})", result.detail)))


def submit_progress_line(progress: SubmitProgress) -> str:
    """
    Return the progress of a submission on one line.
    """
    activity = ", ".join(_activity(progress))
    return "; ".join((*interrupted(progress.interruption)[:1], _tally(progress), activity))


def submit_panel(progress: SubmitProgress, columns: int) -> list[str]:
    """
    Return *progress* as lines for a terminal of *columns*; one more while the run is held or
    paused.
    """
    width = max(columns, NARROWEST) - MARGIN
    parts = [part for part in (counts(progress.outcomes), _already(progress)) if part]
    return [
        _tally(progress).partition(":")[0],
        fitting(parts or ["nothing decided"], "; ", width),
        fitting(_activity(progress), ", ", width),
        *interruption_line(progress.interruption, width),
    ]


def submit_summary_text(summary: SubmitSummary, settings: SubmitSettings) -> str:
    """
    Return the summary of a submission in a few lines.
    """
    price = settings.price_per_call
    decided = counts(summary.outcomes) or ("nothing decided" if summary.left else "nothing to do")
    lines = [
        f"{number(summary.images, 'image')} in {duration(summary.seconds)}: {decided}"
        + (f", {summary.already} already accepted" if summary.already else "")
        + (f"; {_skipped(summary.skipped)}" if summary.skipped else ""),
        number(summary.calls, "call")
        + (f", {money(summary.calls, price)}" if price is not None else ""),
    ]
    if not settings.is_to_stdout:
        lines.append(f"manifest: {shlex.quote(str(settings.output))}")
    if summary.exit_code == ExitCode.COMPLETED:
        lines.append(f"report: {shlex.quote(str(settings.report_path))}")
    return "\n".join(map(sanitize, lines))


def submit_explanation(summary: SubmitSummary, settings: SubmitSettings, *, counted: bool) -> str:
    """
    Return a few lines that say why the exit code is not 0; the last one names the report.

    *counted* says whether the sources were read to their end, so that the number is known.
    """
    lines = [f"exit code {summary.exit_code:d}: {_cause(summary, counted=counted)}"]
    others = {
        status: count
        for status, count in summary.outcomes.items()
        if status is not SubmitStatus.SUBMITTED
    }
    if any(others.values()):
        lines.append(f"not accepted: {counts(others)} ({counts(summary.reasons)})")
    if others.get(SubmitStatus.UNCERTAIN):
        lines.append(
            "Uncertain may have been accepted and paid for, and is not sent again unless you say"
            " so: --retry Uncertain"
        )
    lines.append(f"report: {shlex.quote(str(settings.report_path))}")
    return "\n".join(map(sanitize, lines))


def submit_plan_text(plan: SubmitPlan, settings: SubmitSettings) -> str:
    """
    Return what a submission would do and how many calls it would take, in a few lines.
    """
    found = {
        "to submit": plan.to_submit,
        "already accepted": plan.already,
        "uncertain": plan.uncertain,
        f"unusable ({counts(plan.reasons)})": plan.invalid,
    }
    price = settings.price_per_call
    cost = "" if price is None else f", {money(plan.least_calls, price)}"
    lines = [
        f"{number(plan.images, 'image')}: {counts(found) or 'nothing to do'}"
        + (f"; {_skipped(plan.skipped)}" if plan.skipped else ""),
        f"{number(plan.least_calls, 'call')} at least{cost}, {size(plan.bytes)} of images",
        f"report: {shlex.quote(str(settings.report_path))}",
    ]
    return "\n".join(map(sanitize, lines))


def _cause(summary: SubmitSummary, *, counted: bool) -> str:
    stopped_by = _CAUSES.get(summary.exit_code, summary.stopped_by)
    if stopped_by is not None:
        why = _STORAGE if stopped_by == "storage" else STOPPED.get(stopped_by, stopped_by)
        fixable = summary.exit_code in _CAUSES or stopped_by == "refusals"
        when = " when that is put right" if fixable else ""
        left = ("" if counted else "at least ") + number(summary.left, "image")
        return f"{why}; {left} left: run the same command again{when}"
    if summary.exit_code == ExitCode.UNUSABLE:
        return "a source cannot be read to its end; correct it, and run the same command again"
    accepted = summary.outcomes.get(SubmitStatus.SUBMITTED, 0) + summary.already
    return f"only {accepted} of {number(summary.images, 'image')} accepted"


def _tally(progress: SubmitProgress) -> str:
    known = f"{progress.images}" if progress.all_read else f"at least {progress.images}"
    parts = ", ".join(filter(None, (counts(progress.outcomes), _already(progress))))
    return f"{progress.decided} of {known} images" + (f": {parts}" if parts else "")


def _already(progress: SubmitProgress) -> str:
    return f"{progress.already} already accepted" if progress.already else ""


def _activity(progress: SubmitProgress) -> Sequence[str]:
    speed = sum(progress.outcomes.values()) / progress.seconds if progress.seconds > 0 else 0.0
    return [
        f"{progress.in_flight} in flight",
        number(progress.calls, "call"),
        size(progress.bytes),
        f"{speed:.1f} images/s",
        duration(progress.seconds),
    ]


def _skipped(count: int) -> str:
    return f"{number(count, 'file')} skipped: no images"
