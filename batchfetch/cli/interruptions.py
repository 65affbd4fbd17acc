"""
The outages and pauses of a run in words.  Pure functions.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from batchfetch.cli.format import duration, number
from batchfetch.report.interruptions import Cause, Interruption
from batchfetch.text import sanitize

# Interruptions of a run that get a line each, and characters of their reasons.
_INTERRUPTIONS = 3
_REASON = 120

_CAUSES = {
    Cause.OUTAGE: ("held", "because the service could not be reached"),
    Cause.PAUSE: ("paused", "because the service had asked for it"),
}


def time_within(interruptions: Iterable[Interruption], since: float, till: float) -> float:
    """
    Return how many seconds of the time between two Unix times *interruptions* take, each by itself.
    """
    overlaps = (
        min(till, each.ended_at.timestamp()) - max(since, each.began_at.timestamp())
        for each in interruptions
    )
    return sum(seconds for seconds in overlaps if seconds > 0)


def interruption_totals(interruptions: Sequence[Interruption]) -> tuple[str, str]:
    """
    Return how long all *interruptions* were, and how many there are of each kind.
    """
    found = Counter(each.cause for each in interruptions)
    kinds = " and ".join(number(count, cause) for cause, count in found.items())
    return duration(sum(each.seconds for each in interruptions)), kinds


def interruption_lines(
    interruptions: Sequence[Interruption], when: Callable[[datetime], str]
) -> Iterator[str]:
    """
    Return *interruptions* in words: a line for each, or one for all of a cause if they are many.

    *when* gives an instant.
    """
    for cause, words in _CAUSES.items():
        alike = [each for each in interruptions if each.cause is cause]
        if len(alike) <= _INTERRUPTIONS:
            for each in alike:
                began = f"for {duration(each.seconds)} from {when(each.began_at)} on"
                yield f"{words[0]} {began}, {words[1]}{_reason(each)}"
        else:
            whole = duration(sum(each.seconds for each in alike))
            first, last = alike[0], alike[-1]
            yield (
                f"{words[0]} {len(alike)} times for {whole} in all, from {when(first.began_at)} to"
                f" {when(last.ended_at)}, {words[1]}{_reason(last)}"
            )


def _reason(interruption: Interruption) -> str:
    return f": {sanitize(interruption.reason, _REASON)}" if interruption.reason else ""
