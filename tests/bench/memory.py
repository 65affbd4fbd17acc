"""
What memory batchfetch needs as images grow, as tasks become many, and as they wait.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus import Column, make_corpus
from measure import RunError, Usage, measure
from peers import Assignment, batchfetch
from rounds import peer_environment, require_images
from scenarios import SCENARIOS, Bench

_LIMIT_SECONDS = 1800.0
_MANIFEST_ROWS = 10_000_000
_PENDING_TASKS = 1_000_000
_PENDING_SECONDS = 600
_PENDING_CONCURRENCY = 256
_ROWS_AT_ONCE = 10_000
_ID_BYTES = 37
_LINE_BYTES = 120
_STOPPED_EARLY = 4
"""batchfetch's exit code when `--max-runtime` ends a run."""

# One image, more of them at once, and more of them one after another: none may need more memory.
_IMAGES = (
    Column("64 MB", 1, 64_000_000),
    Column("64 MB", 8, 64_000_000),
    Column("5 KB", 2_000, 5_000),
    Column("5 KB", 20_000, 5_000),
)


@dataclass(frozen=True, slots=True)
class Footprint:
    """
    What one run came to.
    """

    title: str
    wall: float
    peak_rss: int

    note: str = ""
    """What else is worth knowing, or why there are no figures."""

    @property
    def row(self) -> list[str]:
        """
        What it is, seconds, megabytes, and the note.
        """
        return [self.title, f"{self.wall:.1f}", f"{self.peak_rss / 1e6:.0f}", self.note]


def measure_memory(bench: Bench) -> Iterator[Footprint]:
    """
    Generate a footprint of every kind of large work.

    Raises `SkippedError` if there is no origin or no room, `RunError` if a run does not end well.
    """
    for column in _IMAGES:
        yield _fetched(bench, column.scaled(bench.divisor))
    yield from _dry_runs(bench, _MANIFEST_ROWS // bench.divisor)
    yield _waiting(bench, _PENDING_TASKS // bench.divisor)


def _fetched(bench: Bench, column: Column) -> Footprint:
    bench.require_room(column.footprint)
    work = bench.storage / "memory"
    corpus = make_corpus(column, work)
    origin = bench.origin(SCENARIOS["table"])
    try:
        with origin.serving(corpus, work / "origin") as base_url:
            task = Assignment(corpus, base_url, work / "output", column.concurrency, work)
            usage = _run(batchfetch()(task, bench.tools), work)
            require_images(corpus, task.output)
    finally:
        shutil.rmtree(work)
    return _footprint(f"{column.title} fetched", usage)


def _dry_runs(bench: Bench, rows: int) -> Iterator[Footprint]:
    """
    Measure a manifest of *rows* new tasks, then the same with every task settled in the report.

    Settled as Error, not as Completed: then no image has to be there to be looked for.
    """
    bench.require_room(rows * (_ID_BYTES + _LINE_BYTES))
    work = bench.storage / "memory"
    work.mkdir()
    try:
        manifest = _manifest(work / "ids.txt", rows)
        output = work / "output"
        command = [*bench.tools.batchfetch, "fetch", str(manifest), "--output", str(output)]
        command.append("--dry-run")
        yield _footprint(f"{rows:,} rows, --dry-run", _run(command, work))
        output.mkdir()
        _report(output / "report.jsonl", rows)
        yield _footprint(f"{rows:,} rows, all settled, --dry-run", _run(command, work))
    finally:
        shutil.rmtree(work)


def _waiting(bench: Bench, count: int) -> Footprint:
    """
    Measure *count* tasks of which none gets finished, for as long as asking each of them takes.
    """
    work = bench.storage / "memory"
    work.mkdir()
    origin = bench.origin(SCENARIOS["table"])
    try:
        manifest = _manifest(work / "ids.txt", count)
        with origin.pending(work / "origin") as base_url:
            command = [*bench.tools.batchfetch, "fetch", str(manifest), "--base-url", base_url]
            command += ["--output", str(work / "output"), "--durability", "none"]
            command += ["--concurrency", str(_PENDING_CONCURRENCY), "--json"]
            command += ["--max-runtime", f"{max(5, _PENDING_SECONDS // bench.divisor)}s"]
            usage = _run(command, work, _STOPPED_EARLY)
        calls = _summary(work / "log")["calls"]
    finally:
        shutil.rmtree(work)
    return _footprint(f"{count:,} tasks, all Pending", usage, f"{calls:,} polls")


def _run(command: list[str], work: Path, *also_allowed: int) -> Usage:
    return measure(
        command,
        log=work / "log",
        environment=peer_environment(),
        limit=_LIMIT_SECONDS,
        allowed=frozenset({0, *also_allowed}),
    )


def _footprint(title: str, usage: Usage, note: str = "") -> Footprint:
    sys.stderr.write(f"{title}  {usage.peak_rss / 1e6:.0f} MB  {usage.wall:.1f} s  {note}\n")
    return Footprint(title.replace(",", " "), usage.wall, usage.peak_rss, note)


def _summary(log: Path) -> dict[str, int]:
    for line in reversed(log.read_text().splitlines()):
        if line.startswith("{"):
            summary: dict[str, int] = json.loads(line)
            return summary
    raise RunError("no summary was printed")


def _task_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def _manifest(path: Path, rows: int) -> Path:
    _write_lines(path, rows, "{}\n")
    return path


def _report(path: Path, rows: int) -> None:
    line = '{{"task_id":"{}","outcome":"Error","reason":"service_error",'
    _write_lines(path, rows, line + '"finished_at":"2026-01-01T00:00:00Z"}}\n')


def _write_lines(path: Path, rows: int, line: str) -> None:
    with path.open("w") as file:
        for start in range(0, rows, _ROWS_AT_ONCE):
            block = range(start, min(start + _ROWS_AT_ONCE, rows))
            file.write("".join(line.format(_task_id(number)) for number in block))
