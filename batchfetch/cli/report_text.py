"""
The figures of reports as text for a terminal.  Pure functions.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from pydantic import ValidationError

from batchfetch.cli.format import counts, duration, money, number, outcome_line, size
from batchfetch.cli.interruptions import interruption_lines, time_within
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report.figures import Example, Figures, Group, RunFigures, Silence, Spread, Trouble
from batchfetch.text import sanitize

# The most lines of each kind; `--json` has the rest.
_RUNS = 5
_TROUBLES = 20
_GROUPS = 40

# Seconds without an outcome that are worth a line.
_SILENCE = 60

_COMPLETED = OutcomeStatus.COMPLETED


def figures_text(figures: Figures, steps: Iterable[tuple[str, str]], price: float | None) -> str:
    """
    Return *figures* in some lines; *steps* are what could be done next: why, and the command.

    *price* is that of a call.
    """
    blocks = [
        [f"{number(figures.tasks, 'task')} in {_named(figures.reports)}"],
        _outcomes(figures),
        _totals(figures, price),
        _groups(figures),
        _runs(figures.runs[-_RUNS:], named=len(figures.reports) > 1),
        _next(steps),
    ]
    return "\n\n".join("\n".join(map(_safe, block)) for block in blocks if block)


def _safe(line: str) -> str:
    return sanitize(line.rstrip())


def _named(reports: Sequence[str]) -> str:
    if len(reports) <= 3:
        return ", ".join(reports)
    return f"{len(reports)} reports, from {reports[0]} to {reports[-1]}"


def _outcomes(figures: Figures) -> list[str]:
    found = [(figures.outcomes.get(_COMPLETED, 0), _COMPLETED.value, "", "")]
    found += [
        (trouble.tasks, trouble.outcome.value, trouble.reason or "", _trouble_text(trouble))
        for trouble in figures.troubles[:_TROUBLES]
    ]
    width = len(f"{max(count for count, *_ in found)}")
    reasons = max(len(reason) for _, _, reason, _ in found)
    lines = [
        f"  {count:{width}} {outcome:9}  {reason:{reasons}}  {example}"
        for count, outcome, reason, example in found
        if count
    ]
    if more := len(figures.troubles) - _TROUBLES:
        lines += [f"  and {number(more, 'other reason')}: --json has them all"] if more > 0 else []
    return lines


def _trouble_text(trouble: Trouble) -> str:
    again = f"{trouble.resubmitted} submitted again; " if trouble.resubmitted else ""
    return f"{again}{example_text(trouble.example)}"


def example_text(example: Example) -> str:
    """
    Return which task *example* is, and what happened to it.
    """
    row = f"{example.manifest}:{example.line}" if example.manifest and example.line else None
    return ": ".join(filter(None, (example.task_id or row, example.detail)))


def _totals(figures: Figures, price: float | None) -> list[str]:
    times = figures.time_to_image
    lines = [
        ("Images", _images(figures)),
        *_again(figures),
        ("Calls", _calls(figures, price)),
        *_spread("from submission to image", times.from_submission),
        *_spread("from first call to image", times.from_first_call),
    ]
    if figures.unusable_lines:
        lines.append(("Skipped", f"lines that are no outcomes: {figures.unusable_lines}"))
    return [f"{name:8}{text}" for name, text in lines]


def _again(figures: Figures) -> Iterator[tuple[str, str]]:
    again = figures.resubmitted
    if again.tasks:
        yield "Again", f"{number(again.tasks, 'task')} submitted again: {counts(again.outcomes)}"


def _images(figures: Figures) -> str:
    parts = [f"{figures.images} fetched, {size(figures.bytes)}"]
    if figures.adopted:
        parts.append(f"{figures.adopted} adopted: they were there already")
    if figures.with_warnings:
        parts.append(f"{figures.with_warnings} with a warning of the service")
    return "; ".join(parts)


def _calls(figures: Figures, price: float | None) -> str:
    parts = [number(figures.calls, "call").removesuffix("calls").removesuffix("call").strip()]
    if figures.calls_per_image is not None:
        parts[0] += f" ({figures.calls_per_image:.2f} for each image)"
    if figures.asked_too_early is not None:
        parts.append(f"{figures.asked_too_early} too early")
    if price is not None:
        parts.append(money(figures.calls, price))
    return ", ".join(parts)


def _spread(what: str, spread: Spread | None) -> Iterator[tuple[str, str]]:
    if spread is not None:
        usual = f"median {duration(spread.median)}, 95 % within {duration(spread.p95)}"
        yield "Time", f"{what}: {usual}, longest {duration(spread.longest)}"


def _groups(figures: Figures) -> list[str]:
    if figures.groups is None:
        return []
    groups = figures.groups.groups
    rows: list[tuple[str, ...]] = [(figures.groups.column, "tasks", "calls", "images", "")]
    rows += [_group_row(group) for group in groups[:_GROUPS]]
    lines = list(_aligned(rows, "<>>><"))
    if len(groups) > _GROUPS:
        lines.append(f"and {number(len(groups) - _GROUPS, 'other value')}: --json has them all")
    return lines


def _group_row(group: Group) -> tuple[str, ...]:
    name = "(none)" if group.value is None else sanitize(group.value, 40)
    images = size(group.bytes)
    return name, f"{group.tasks}", f"{group.calls}", images, counts(group.outcomes)


def _runs(runs: Sequence[RunFigures], *, named: bool) -> list[str]:
    if not runs:
        return []
    rows: list[tuple[str, ...]] = [("Last runs", "took", "calls", "", "", "")]
    rows += [(*_run_row(run), run.report if named else "") for run in runs]
    lines = list(_aligned(rows, "<>><<<"))
    for run in runs:
        lines += interruption_lines(run.interruptions, instant)
    silences = [silence for run in runs if (silence := _unexplained(run)) is not None]
    return lines + [
        f"no outcome for {duration(silence.seconds)} from {instant(silence.began_at)} on"
        for silence in silences
        if silence.seconds >= _SILENCE
    ]


def _unexplained(run: RunFigures) -> Silence | None:
    """
    Return the longest silence of *run*, unless it was interrupted for most of that time.
    """
    silence = run.longest_silence
    if silence is None:
        return None
    began = silence.began_at.timestamp()
    waited = time_within(run.interruptions, began, began + silence.seconds)
    return None if 2 * waited >= silence.seconds else silence


def _run_row(run: RunFigures) -> tuple[str, ...]:
    took = "not ended" if run.seconds is None else duration(run.seconds)
    return (
        instant(run.began_at),
        took,
        f"{run.calls}",
        counts(run.outcomes) or "nothing decided",
        end_of(run),
    )


def end_of(run: RunFigures) -> str:
    """
    Return how *run* ended.
    """
    if run.ended_at is None:
        return "goes on, or was killed"
    why = f", {run.stopped_by}" if run.stopped_by else ""
    left = f", {run.left} left" if run.left else ""
    return f"exit code {run.exit_code}{why}{left}"


def instant(when: datetime) -> str:
    """
    Return *when*, which is UTC, to the second.
    """
    return f"{when:%Y-%m-%d %H:%M:%SZ}"


def _aligned(rows: Sequence[Sequence[str]], alignments: str) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, alignments, widths, strict=True)
        yield "  ".join(f"{cell:{alignment}{width}}" for cell, alignment, width in cells)


def _next(steps: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for why, command in steps:
        lines += [f"{why}:", f"  {command}"]
    return lines


def task_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """
    Return a line for each task of the report's *lines*.
    """
    for line in lines:
        try:
            outcome = Outcome.model_validate_json(line)
        except ValidationError:  # Edited by hand, beyond what the figures need.
            continue
        if outcome.status is _COMPLETED:
            yield sanitize(f"{outcome.task_id}: Completed: {outcome.path}")
        else:
            yield sanitize(outcome_line(outcome))
