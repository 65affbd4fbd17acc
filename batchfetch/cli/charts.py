"""
Charts of a run over its time, as SVG without text: outcomes, calls, outages, pauses and gaps.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from batchfetch.cli.format import duration, number
from batchfetch.cli.interruptions import interruption_lines, time_within
from batchfetch.cli.markup import text
from batchfetch.report.interruptions import Cause, Interruption
from batchfetch.report.periods import Period
from batchfetch.report.timeline import Step, Timeline

# The most bars beside each other: on a telephone each is three pixels wide.
_MOST_BARS = 120

# Units of the picture's width.
_WIDTH = 1000

# Of what is drawn for an interruption, however short it was.
_NARROWEST = 2

# A gap is worth showing from this share of the whole on, and from as many seconds on.
_GAP_SHARE = 0.03
_GAP_SECONDS = 10

# Charts of the last runs.
_MOST_CHARTS = 6


@dataclass(slots=True)
class Span:
    """
    A time in which one run was on, or several at once, and what happened.
    """

    begin: float
    end: float
    timeline: Timeline
    runs: int
    interruptions: list[Interruption] = field(default_factory=list)


def spans_of(logged: Sequence[Period], unlogged: Sequence[Period]) -> list[Span]:
    """
    Return the last times in which something was decided; runs at the same time are one.
    """
    spans: list[Span] = []
    for period in (*unlogged, *logged):
        timeline = period.timeline
        if timeline is None or not timeline.last >= timeline.first:
            continue
        span = Span(timeline.first, timeline.last, deepcopy(timeline), 1)
        if period.run is not None:
            span.begin = min(span.begin, period.run.began_at.timestamp())
            ended = period.run.ended_at
            span.end = max(span.end, ended.timestamp() if ended else span.end)
            span.interruptions += period.run.interruptions
        spans.append(span)
    spans.sort(key=lambda span: span.begin)
    return _merged(spans)[-_MOST_CHARTS:]


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        if merged and span.begin <= merged[-1].end:
            last = merged[-1]
            last.end = max(last.end, span.end)
            last.timeline.merge(span.timeline)
            last.runs += span.runs
            last.interruptions += span.interruptions
        else:
            merged.append(span)
    return merged


def _legend(*entries: tuple[str, str]) -> str:
    items = (
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{kind}" width="1" height="1"/>'
        + ('<rect class="mark" width="1" height="0.25"/>' if kind == "outage" else "")
        + f"</svg>{words}</li>"
        for kind, words in entries
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


LEGEND = _legend(
    ("image", "images"),
    ("other", "other outcomes"),
    ("call", "calls: the first of a task when it was made, the others with the last"),
    ("outage", "outage: the service could not be reached"),
    ("pause", "pause: the service had asked for it"),
    ("gap", "no outcome, and neither of these is known"),
)


def chart(span: Span) -> str:
    """
    Return the chart of *span*: outcomes above, calls beneath, and the gaps in words.
    """
    while (span.end - span.begin) / span.timeline.width > _MOST_BARS:
        span.timeline.widen()
    steps, width = span.timeline.steps(), span.timeline.width
    axis = _Axis(min(span.begin, steps[0].at), max(span.end, steps[-1].at + width), width)
    gaps = [gap for gap in _gaps(steps, axis) if not _is_explained(gap, span.interruptions)]
    most = max(step.images + step.others for step in steps) or 1
    most_calls = max(step.calls for step in steps) or 1
    title = f"{_day(span.begin)}, {duration(span.end - span.begin)}"
    if span.runs > 1:
        title += f", {span.runs} runs at once"
    sentences = [
        *interruption_lines(span.interruptions, lambda when: f"{when:%H:%M:%SZ}"),
        *(f"no outcome for at least {duration(t - s)} from {_time(s)} on" for s, t in gaps),
    ]
    words = "".join(f"<li>{text(_sentence(line))}</li>" for line in sentences)
    waits = "".join((*_gap_shapes(gaps, axis), *_interruption_shapes(span.interruptions, axis)))
    most_words = f"at most {number(most, 'outcome')} and {number(most_calls, 'call')}"
    middle = (axis.begin + axis.end) / 2
    ticks = "".join(f"<span>{_time(at)}</span>" for at in (axis.begin, middle, axis.end))
    return "\n".join(
        (
            f"<h3>{text(title)}</h3>",
            '<figure class="chart">',
            f'<figcaption class="quiet">A bar is {duration(width)}: {most_words}</figcaption>',
            _svg("outcomes", f"Outcomes, {title}", waits, _outcome_bars(steps, most), axis),
            _svg("calls", f"Calls, {title}", waits, _call_bars(steps, most_calls), axis),
            f'<div class="axis">{ticks}</div>',
            f"<ul>{words}</ul>" if words else "",
            "</figure>",
        )
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].removesuffix('.')}."


class _Axis(NamedTuple):
    """
    The time that a chart shows, from left to right, in bars of *width* seconds.
    """

    begin: float
    end: float
    width: float

    @property
    def scale(self) -> float:
        return _WIDTH / (self.end - self.begin)

    def at(self, seconds: float) -> float:
        """
        Return where that time is.
        """
        return (seconds - self.begin) * self.scale


_Bar = tuple[float, str, float, float, str]
"""When it begins, its class, from where to where (0 to 1, from below), and its words."""


def _outcome_bars(steps: Sequence[Step], most: int) -> Iterator[_Bar]:
    for step in steps:
        images, whole = step.images / most, (step.images + step.others) / most
        words = f"{number(step.images, 'image')}, {number(step.others, 'other outcome')}"
        if step.images:
            yield step.at, "image", 0, images, words
        if step.others:
            yield step.at, "other", images, whole, words


def _call_bars(steps: Sequence[Step], most: int) -> Iterator[_Bar]:
    for step in steps:
        if step.calls:
            yield step.at, "call", 0, step.calls / most, number(step.calls, "call")


def _gap_shapes(gaps: Sequence[tuple[float, float]], axis: _Axis) -> Iterator[str]:
    for since, till in gaps:
        yield _area("gap", axis, since, till)


def _interruption_shapes(interruptions: Sequence[Interruption], axis: _Axis) -> Iterator[str]:
    for each in interruptions:
        since, till = each.began_at.timestamp(), each.ended_at.timestamp()
        yield _area(each.cause, axis, since, till)
        if each.cause is Cause.OUTAGE:  # Told from a pause without colours, too.
            yield _area("mark", axis, since, till, height=6)


def _area(kind: str, axis: _Axis, since: float, till: float, *, height: int = 100) -> str:
    wide = max((till - since) * axis.scale, _NARROWEST)
    return f'<rect class="{kind}" x="{axis.at(since):.1f}" width="{wide:.1f}" height="{height}"/>'


def _svg(name: str, title: str, behind: str, bars: Iterator[_Bar], axis: _Axis) -> str:
    wide = 0.9 * axis.width * axis.scale
    shapes = [
        f'<rect class="{kind}" x="{axis.at(at):.1f}" y="{100 - 100 * till:.1f}" '
        f'width="{wide:.2f}" height="{max(100 * (till - since), 0.8):.1f}">'
        f"<title>{_time(at)}: {words}</title></rect>"
        for at, kind, since, till, words in bars
    ]
    return (
        f'<svg class="{name}" viewBox="0 0 {_WIDTH} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(title)}">{behind}{"".join(shapes)}</svg>'
    )


def _gaps(steps: Sequence[Step], axis: _Axis) -> Iterator[tuple[float, float]]:
    least = max(_GAP_SECONDS, _GAP_SHARE * (axis.end - axis.begin), 2 * axis.width)
    since = axis.begin
    for step in steps:
        if step.images or step.others:
            if step.at - since >= least:
                yield since, step.at
            since = step.at + axis.width
    if axis.end - since >= least:
        yield since, axis.end


def _is_explained(gap: tuple[float, float], interruptions: Sequence[Interruption]) -> bool:
    """
    Whether the run was interrupted for most of *gap*.
    """
    since, till = gap
    return 2 * time_within(interruptions, since, till) >= till - since


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%SZ}"
