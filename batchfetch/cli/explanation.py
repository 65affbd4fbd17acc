"""
Explanation of an exit code other than 0: what stopped the run, what is left, what failed and why.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from batchfetch.cli.format import counts, number
from batchfetch.exit_codes import ExitCode
from batchfetch.models import OutcomeStatus
from batchfetch.run.summary import Summary
from batchfetch.settings import Settings
from batchfetch.text import sanitize

STOPPED = {
    "max-calls": "stopped by --max-calls",
    "max-runtime": "stopped by --max-runtime",
    "credentials": "stopped because the service refuses the credentials",
    "storage": "stopped because the images or the report cannot be written",
    "unreachable": "stopped because the service cannot be reached",
    "refusals": "stopped because the service turns every request away",
    "SIGINT": "stopped by SIGINT",
    "SIGTERM": "stopped by SIGTERM",
}
"""What `Summary.stopped_by` means, in words."""

# What has to be put right before the run can go on.
_CAUSES = {ExitCode.CREDENTIALS: "credentials", ExitCode.STORAGE: "storage"}

_COMPLETED = OutcomeStatus.COMPLETED


def explanation(
    summary: Summary, earlier: Mapping[OutcomeStatus, int], settings: Settings, *, counted: bool
) -> str:
    """
    Return a few lines that say why the exit code of a run is not 0; the last ones name the report.

    *earlier* is how the tasks ended that earlier runs settled and this one left alone.  *counted*
    says whether the manifest was read to its end, so that the number of tasks is known.
    """
    now, before = _failed(summary.outcomes), _failed(earlier)
    lines = [
        f"exit code {summary.exit_code:d}: {_cause(summary, earlier, settings, counted=counted)}"
    ]
    if now:
        lines.append(f"in this run: {counts(now)} ({counts(summary.reasons)})")
    if before:
        retried = ",".join(before)
        lines.append(
            f"in earlier runs, and left alone in this one: {counts(before)}; "
            f"--retry {retried} asks about them again"
        )
    report = shlex.quote(str(settings.report_path))
    lines.append(f"report: {report}")
    if now or before:
        is_folder = settings.report is None and isinstance(settings.output, Path)
        shown = shlex.quote(str(settings.output)) if is_folder else report
        lines.append(f"what went wrong, and what to do: batchfetch report {shown}")
    return "\n".join(map(sanitize, lines))


def _failed(outcomes: Mapping[OutcomeStatus, int]) -> dict[OutcomeStatus, int]:
    return {
        status: count for status, count in outcomes.items() if count and status is not _COMPLETED
    }


def _cause(
    summary: Summary, earlier: Mapping[OutcomeStatus, int], settings: Settings, *, counted: bool
) -> str:
    stopped_by = _CAUSES.get(summary.exit_code, summary.stopped_by)
    if stopped_by is not None:
        why = STOPPED.get(stopped_by, f"stopped by {stopped_by}")
        fixable = summary.exit_code in _CAUSES or stopped_by == "refusals"
        when = " when that is put right" if fixable else ""
        left = ("" if counted else "at least ") + number(summary.left, "task")
        if settings.max_calls_share == 0:
            return (
                f"the share of shard {settings.shard} in --max-calls {settings.max_calls} is none;"
                f" {left} left: raise --max-calls, or use fewer shards"
            )
        return f"{why}; {left} left: run the same command again{when}"
    if summary.exit_code == ExitCode.UNUSABLE:
        return "the manifest cannot be read to its end; correct it, and run the same command again"
    count = sum(summary.outcomes.get(each, 0) + earlier.get(each, 0) for each in settings.fail_on)
    ended = "did not end Completed"
    if settings.fail_on != Settings.model_fields["fail_on"].default:
        ended = f"ended as --fail-on lists ({', '.join(sorted(settings.fail_on))})"
    return f"{count} of {number(summary.tasks, 'task')} {ended}"
