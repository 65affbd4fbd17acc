"""
How numbers are spread: median, percentile and histogram.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from batchfetch.report.figures import Spread

# Seconds, from a result that was ready to the end of its storage, in steps a person would choose.
_CLASSES = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)


def spread_of(seconds: Iterable[float]) -> Spread | None:
    """
    Return how *seconds* are spread; None if there are none.
    """
    ordered = sorted(seconds)
    if not ordered:
        return None
    return Spread(
        images=len(ordered),
        median=round(_percentile(ordered, 50), 3),
        p95=round(_percentile(ordered, 95), 3),
        longest=round(ordered[-1], 3),
        histogram=_histogram(ordered),
    )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """
    Return the smallest of *ordered* that *percent* of them do not exceed (nearest rank).
    """
    rank = -(-percent * len(ordered) // 100)
    return ordered[rank - 1]


def _histogram(ordered: Sequence[float]) -> dict[str, int]:
    ends = [bisect_right(ordered, limit) for limit in _CLASSES]
    counts = [after - before for before, after in pairwise([0, *ends, len(ordered)])]
    return dict(zip([*(f"{limit:g}" for limit in _CLASSES), "inf"], counts, strict=True))
