"""
Text of the live display: lines that fit a width.  Pure functions.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchfetch.cli.format import counts, duration, interrupted, number, remaining, size, speed

if TYPE_CHECKING:  # Importing each of these takes a tenth of a second.
    from batchfetch.report import Present
    from batchfetch.run.summary import Progress

NARROWEST = 40
"""Columns in which done, total, failures and time left are always shown."""

# A terminal shows `^C` behind the last line.  If the line wrapped, the display would be a row
# higher than it was drawn, and one row would stay.
MARGIN = 3

_LONGEST_BAR = 60
_SHORTEST_BAR = 8

_DONE, _TO_DO = "━", "─"
_ASCII = str.maketrans({_DONE: "#", _TO_DO: "-"})


def panel(progress: "Progress", columns: int, *, unicode: bool = True) -> list[str]:
    """
    Return *progress* as lines for a terminal of *columns*; without *unicode* they are ASCII.

    They are three, and a fourth while the run is held or paused.
    """
    width = max(columns, NARROWEST) - MARGIN
    lines = [
        _how_far(progress, width),
        fitting(_result(progress, width), "; ", width),
        fitting(_activity(progress), ", ", width),
        *interruption_line(progress.interruption, width),
    ]
    return lines if unicode else [_ascii(line) for line in lines]


def _ascii(line: str) -> str:
    return line.translate(_ASCII).encode("ascii", "replace").decode()


def _how_far(progress: "Progress", width: int) -> str:
    """
    Return `━━━━━━──── 158/300 tasks, 52 %`; while the manifest is being read, without the bar.
    """
    total = f"{progress.tasks}" if progress.all_read else f"{progress.tasks} or more"
    done = f"{progress.decided}/{total} tasks"
    if not progress.all_read or not progress.tasks:
        return done
    share = progress.decided / progress.tasks
    done = f"{done}, {int(100 * share)} %"
    space = min(width - len(done) - 1, _LONGEST_BAR)
    if space < _SHORTEST_BAR:
        return done
    filled = int(space * share)
    return f"{_DONE * filled}{_TO_DO * (space - filled)} {done}"


def _result(progress: "Progress", width: int) -> Sequence[str]:
    """
    Return failures with the time left, then the outcomes, then what earlier runs have settled.
    """
    failed = sum(count for word, count in progress.outcomes.items() if word != "Completed")
    left = remaining(progress)
    until = "time left unknown" if left is None else f"about {duration(left)} left"
    first = f"{failed} failed, {until}"
    if len(first) > width:
        first = first.replace("about ", "")
    already = f"{progress.already} settled earlier" if progress.already else ""
    return [part for part in (first, counts(progress.outcomes), already) if part]


def _activity(progress: "Progress") -> Sequence[str]:
    return [
        f"{progress.in_flight} in flight",
        f"{progress.unfinished} unfinished",
        f"{progress.waiting} not asked yet",
        f"{speed(progress):.1f} tasks/s",
        number(progress.calls, "call"),
        size(progress.bytes),
        duration(progress.seconds),
    ]


def interruption_line(present: "Present | None", width: int) -> Sequence[str]:
    """
    Return the longest sentence that fits about what keeps the run from asking, or no line if
    nothing does.
    """
    sentences = interrupted(present)
    return (
        [next((each for each in sentences if len(each) <= width), sentences[-1])]
        if sentences
        else []
    )


def fitting(parts: Sequence[str], separator: str, width: int) -> str:
    """
    Join as many of *parts* as fit *width*; the first one always does.
    """
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(separator) + len(part) > width:
            break
        line += separator + part
    return line
