"""
What was measured, as Markdown for people and as JSON for programs.
"""

from collections.abc import Iterator, Sequence
from statistics import median

from peers import REFERENCE, Peer
from rounds import Result, Score

Json = dict[str, object]


def relative_table(
    results: Sequence[Result], peers: Sequence[Peer], reference: str = REFERENCE
) -> str:
    """
    Return the walls relative to the median of *reference*, a peer's key, and the peaks.

    A cell is `median (fastest-slowest)`.
    """
    rows = [["", *(_heading(result, results) for result in results), "peak RSS"]]
    for peer in peers:
        cells = [_relative_cell(result, peer, reference) for result in results]
        rows.append([peer.title, *cells, _peaks(results, peer)])
    return _markdown(rows)


def absolute_table(results: Sequence[Result], peers: Sequence[Peer]) -> str:
    """
    Return median wall seconds, CPU seconds and peak memory of every peer in every column.
    """
    rows = [["wall s / CPU s / MB", *(_heading(result, results) for result in results)]]
    for peer in peers:
        scores = [result.scores[peer.key] for result in results]
        rows.append([peer.title, *map(_absolute_cell, scores)])
    return _markdown(rows)


def failures(results: Sequence[Result]) -> Iterator[str]:
    """
    Generate a sentence for every peer that dropped out of a column.
    """
    for result in results:
        for key, score in result.scores.items():
            if score.failure is not None:
                yield f"{result.column.title}: {key} failed: {score.failure}"


def as_json(results: Sequence[Result]) -> list[Json]:
    """
    Return every single measurement, and the medians, as values JSON can say.
    """
    return [
        {
            "column": result.column.title,
            "images": result.column.count,
            "image_bytes": result.column.size,
            "concurrency": result.column.concurrency,
            "peers": {key: _score_json(score, result) for key, score in result.scores.items()},
        }
        for result in results
    ]


def plain_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    Return *rows* below *heading* as Markdown.
    """
    return _markdown([list(heading), *map(list, rows)])


def _score_json(score: Score, result: Result) -> Json:
    reference = _wall_of(result, REFERENCE)
    wall = _median_wall(score)
    return {
        "failure": score.failure,
        "wall": [usage.wall for usage in score.usages],
        "cpu": [usage.cpu for usage in score.usages],
        "peak_rss": [usage.peak_rss for usage in score.usages],
        "median_wall": wall,
        "relative": wall / reference if wall and reference else None,
    }


def _median_wall(score: Score) -> float | None:
    return median(usage.wall for usage in score.usages) if score.usages else None


def _wall_of(result: Result, key: str) -> float | None:
    score = result.scores.get(key)
    return _median_wall(score) if score and score.failure is None else None


def _relative_cell(result: Result, peer: Peer, reference: str) -> str:
    score = result.scores[peer.key]
    unit = _wall_of(result, reference)
    if score.failure is not None:
        return "failed"
    if unit is None:
        return "-"
    walls = [usage.wall / unit for usage in score.usages]
    return f"{median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})"


def _absolute_cell(score: Score) -> str:
    if score.failure is not None:
        return "failed"
    wall = median(usage.wall for usage in score.usages)
    cpu = median(usage.cpu for usage in score.usages)
    peak = max(usage.peak_rss for usage in score.usages)
    return f"{wall:.2f} / {cpu:.2f} / {peak / 1e6:.0f}"


def _peaks(results: Sequence[Result], peer: Peer) -> str:
    peaks = [
        max(usage.peak_rss for usage in result.scores[peer.key].usages) / 1e6
        for result in results
        if result.scores[peer.key].usages
    ]
    if not peaks:
        return "-"
    low, high = f"{min(peaks):.0f}", f"{max(peaks):.0f}"
    return f"{low} MB" if low == high else f"{low}-{high} MB"


def _heading(result: Result, results: Sequence[Result]) -> str:
    title = result.column.title
    titles = [other.column.title for other in results]
    alike = titles.count(title) > 1
    return f"{title}, {result.column.concurrency} at once" if alike else title


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
