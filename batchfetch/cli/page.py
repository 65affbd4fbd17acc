"""
The page of `batchfetch report -o night.html`: one file that needs no other but the images.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from string import Template

from batchfetch.cli.charts import LEGEND, chart, spans_of
from batchfetch.cli.format import counts, duration, number, size
from batchfetch.cli.gallery import contact_sheet, wrong_tasks
from batchfetch.cli.interruptions import interruption_totals
from batchfetch.cli.markup import bars, commands, section, table, text, tiles
from batchfetch.cli.report_text import end_of, instant
from batchfetch.models import OutcomeStatus
from batchfetch.report.digest import Digest
from batchfetch.report.figures import Figures, RunFigures, Spread, Trouble
from batchfetch.version import __version__

# Values in the table of groups; `--json` has them all.
_MOST_GROUPS = 200

# Reasons at the top of the page; the bars have them all.
_MOST_REASONS = 3


def page(
    digest: Digest, figures: Figures, path: Path, steps: Iterable[tuple[str, str]]
) -> Iterable[bytes]:
    """
    Return the page at *path*, to which links are relative; *steps* are commands it suggests.
    """
    sections = {
        "figures": ("Figures", _figures(figures)),
        "time": ("Over time", _over_time(digest)),
        "waits": ("How long images took", _waits(figures)),
        "wrong": ("What went wrong", _wrong(digest, figures, steps)),
        "groups": (f"By {figures.groups.column}" if figures.groups else "", _groups(figures)),
        "runs": ("Runs", _runs(figures.runs)),
        "images": ("Images", _images(digest, figures, path)),
    }
    given = {name: parts for name, parts in sections.items() if parts[1]}
    script = _template("page.js")
    filled = Template(_template("page.html")).substitute(
        policy=_policy(script),
        version=__version__,
        title=text(f"{number(figures.tasks, 'task')}: {_title(figures)}"),
        subtitle=_subtitle(figures),
        navigation="\n".join(
            f'<a href="#{n}">{text(title)}</a>' for n, (title, _) in given.items()
        ),
        style=_template("page.css"),
        sections="\n".join(section(name, *parts) for name, parts in given.items()),
        script=script,
    )
    return [filled.encode(errors="replace")]


def _template(name: str) -> str:
    return (
        files("batchfetch").joinpath("cli", "templates", name).read_text(encoding="utf-8").strip()
    )


def _policy(script: str) -> str:
    """
    Return the content security policy: no network, and no other script than *script*.
    """
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    return (
        "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _title(figures: Figures) -> str:
    return counts(figures.outcomes) or "nothing decided"


def _subtitle(figures: Figures) -> str:
    shown = ", ".join(figures.reports[:3])
    more = f" and {len(figures.reports) - 3} more" if len(figures.reports) > 3 else ""
    return text(f"{shown}{more} · read {instant(datetime.now(UTC))} · batchfetch {__version__}")


def _figures(figures: Figures) -> str:
    completed = figures.outcomes.get(OutcomeStatus.COMPLETED, 0)
    wrong = figures.tasks - completed
    calls = (
        "" if figures.calls_per_image is None else f"{figures.calls_per_image:.2f} for each image"
    )
    early = "" if figures.asked_too_early is None else f"{figures.asked_too_early} too early"
    warned = f"{figures.with_warnings} with a warning" if figures.with_warnings else ""
    adopted = f"{figures.adopted} adopted" if figures.adopted else ""
    entries = [
        ("Tasks", f"{figures.tasks}", ""),
        ("Completed", f"{completed}", ", ".join(filter(None, (adopted, warned)))),
        ("Not completed", f"{wrong}", _commonest(figures.reasons)),
        ("Images fetched", f"{figures.images}", size(figures.bytes)),
        ("Calls", f"{figures.calls}", ", ".join(filter(None, (calls, early)))),
    ]
    if again := figures.resubmitted.tasks:
        entries.append(("Submitted again", f"{again}", counts(figures.resubmitted.outcomes)))
    if figures.cost is not None:
        entries.append(("Cost", f"{figures.cost:.2f}", "in your currency"))
    times = figures.time_to_image
    entries += _spread("First call to image", times.from_first_call)
    entries += _spread("Submission to image", times.from_submission)
    entries += _last_run(figures.runs)
    skipped = figures.unusable_lines
    note = f"<p>Lines that are no outcomes and were skipped: {skipped}</p>" if skipped else ""
    return tiles(entries) + note


def _last_run(runs: Sequence[RunFigures]) -> Iterator[tuple[str, str, str]]:
    """
    Yield how the last run ended, and how long it asked nothing.
    """
    if not runs:
        return
    last = runs[-1]
    took = "" if last.seconds is None else f", took {duration(last.seconds)}"
    how, _, more = end_of(last).partition(", ")
    began = f"began {instant(last.began_at)}{took}"
    yield "Last run", how, "; ".join(filter(None, (more, began)))
    if last.interruptions:
        yield "Interrupted", *interruption_totals(last.interruptions)


def _commonest(reasons: Mapping[str, int]) -> str:
    more = len(reasons) - _MOST_REASONS
    shown = counts(dict(list(reasons.items())[:_MOST_REASONS]))
    return f"{shown}, {number(more, 'other reason')}" if more > 0 else shown


def _spread(name: str, spread: Spread | None) -> list[tuple[str, str, str]]:
    if spread is None:
        return []
    rest = f"median; 95 % within {duration(spread.p95)}, longest {duration(spread.longest)}"
    return [(name, duration(spread.median), rest)]


def _over_time(digest: Digest) -> str:
    spans = spans_of(digest.logged, digest.unlogged)
    if not spans:
        return ""
    return "\n".join((LEGEND, *map(chart, reversed(spans))))


def _waits(figures: Figures) -> str:
    times = figures.time_to_image
    parts = []
    for name, spread in (
        ("From first call to image", times.from_first_call),
        ("From submission to image", times.from_submission),
    ):
        if spread is not None:
            parts += [f"<h3>{name}</h3>", bars(_classes(spread), label=name)]
    return "\n".join(parts)


def _classes(spread: Spread) -> list[tuple[str, int]]:
    limits = [0.0, *map(float, spread.histogram)]
    rows = [
        (_class_name(since, till), count)
        for (since, till), count in zip(pairwise(limits), spread.histogram.values(), strict=True)
    ]
    used = [place for place, (_, count) in enumerate(rows) if count]
    return rows[used[0] : used[-1] + 1]


def _class_name(since: float, till: float) -> str:
    if till == float("inf"):
        return f"more than {_short(since)}"
    return f"{_short(since)} to {_short(till)}" if since else f"up to {_short(till)}"


def _short(seconds: float) -> str:
    for unit, words in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {words}"
    return f"{seconds:g} s"


def _wrong(digest: Digest, figures: Figures, steps: Iterable[tuple[str, str]]) -> str:
    if not figures.troubles:
        return ""
    rows = [(_reason_button(trouble), trouble.tasks) for trouble in figures.troubles]
    wrong = sum(trouble.tasks for trouble in figures.troubles)
    return "\n".join(
        (
            bars(rows, kind="wrong", label="Tasks by outcome and reason"),
            "<h3>What to do</h3>",
            commands(steps),
            "<h3>The tasks</h3>",
            wrong_tasks(digest, wrong),
        )
    )


def _reason_button(trouble: Trouble) -> str:
    words = text(" ".join(filter(None, (trouble.outcome.value, trouble.reason))))
    return f'<button type="button" data-words="{words}">{words}</button>'


def _groups(figures: Figures) -> str:
    if figures.groups is None:
        return ""
    groups = figures.groups.groups
    rows = [
        (
            "(none)" if group.value is None else group.value,
            f"{group.tasks}",
            counts(group.outcomes),
            f"{group.calls}",
            size(group.bytes),
        )
        for group in groups[:_MOST_GROUPS]
    ]
    heads = (figures.groups.column, "Tasks", "Outcomes", "Calls", "Images")
    more = len(groups) - _MOST_GROUPS
    note = f'<p class="quiet">and {number(more, "other value")}</p>' if more > 0 else ""
    return table(heads, rows, numbers=[1, 3, 4]) + note


def _runs(runs: Sequence[RunFigures]) -> str:
    if not runs:
        return ""
    rows = [
        (
            instant(run.began_at),
            "" if run.seconds is None else duration(run.seconds),
            f"{run.calls}",
            counts(run.outcomes) or "nothing decided",
            end_of(run),
            ": ".join(interruption_totals(run.interruptions)) if run.interruptions else "",
            ", ".join(f"{name} {value}" for name, value in run.settings.items()),
            run.report,
        )
        for run in reversed(runs)
    ]
    heads = ("Began", "Took", "Calls", "Outcomes", "Ended", "Interrupted", "Settings", "Report")
    return table(heads, rows, numbers=[2], short=[0, 1])


def _images(digest: Digest, figures: Figures, path: Path) -> str:
    count = figures.outcomes.get(OutcomeStatus.COMPLETED, 0)
    return contact_sheet(digest, path, count) if count else ""
