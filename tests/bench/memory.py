"""
What memory batchfetch needs as images grow, as tasks become many, and as they wait.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from corpus import Column, make_corpus
from measure import RunError, Usage, measure
from peers import Assignment, batchfetch
from rounds import peer_environment, require_images
from scenarios import SCENARIOS, Bench

_LIMIT_SECONDS = 1800.0
_MANIFEST_ROWS = 10_000_000
_PENDING_TASKS = 1_000_000
_PENDING_SECONDS = 120
_LEAST_SECONDS = 5
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
    usage: Usage | None
    """None if the run did not end well."""

    note: str = ""
    """What else is worth knowing, or why there is no usage."""

    @property
    def row(self) -> list[str]:
        """
        What it is, seconds, megabytes, and the note.
        """
        if self.usage is None:
            return [self.title, "-", "-", self.note]
        figures = (f"{self.usage.wall:.1f}", f"{self.usage.peak_rss / 1e6:.0f}")
        return [self.title, *figures, self.note]


def measure_memory(bench: Bench) -> Iterator[Footprint]:
    """
    Generate a footprint of every kind of large work.

    Raises `SkippedError` if there is no origin, or no room.
    """
    for column in _IMAGES:
        yield _fetched(bench, column.scaled(bench.divisor))
    rows = _MANIFEST_ROWS // bench.divisor
    yield _dry_run(bench, rows)
    yield _dry_run(bench, rows, settled=True)
    for polling in ("thrifty", "prompt"):
        yield _waiting(bench, _PENDING_TASKS // bench.divisor, polling)


def _fetched(bench: Bench, column: Column) -> Footprint:
    bench.require_room(column.footprint)
    origin = bench.origin(SCENARIOS["table"])
    with _work(bench) as work:
        corpus = make_corpus(column, work / "corpus")
        with origin.serving(corpus, work / "origin") as base_url:
            task = Assignment(corpus, base_url, work / "output", column.concurrency, work)
            footprint = _footprint(
                f"{column.title} fetched", batchfetch()(task, bench.tools), work / "log"
            )
            if footprint.usage:
                require_images(corpus, task.output)
    return footprint


def _dry_run(bench: Bench, rows: int, *, settled: bool = False) -> Footprint:
    """
    Measure `--dry-run` of so many tasks, all new or all settled in the report.

    Settled as Error, not as Completed: then no image has to be there to be looked for.
    """
    bench.require_room(rows * (_ID_BYTES + _LINE_BYTES))
    with _work(bench) as work:
        manifest = _manifest(work / "ids.txt", rows)
        output = work / "output"
        if settled:
            output.mkdir()
            _report(output / "report.jsonl", rows)
        command = [*bench.tools.batchfetch, "fetch", str(manifest), "--output", str(output)]
        title = f"{_grouped(rows)} rows{', all settled' if settled else ''}, --dry-run"
        return _footprint(title, [*command, "--dry-run"], work / "log")


def _waiting(bench: Bench, count: int, polling: str) -> Footprint:
    """
    Measure so many tasks of which none gets finished.

    How many of them are asked about, the note says: that is batchfetch's own decision.
    """
    origin = bench.origin(SCENARIOS["table"])
    seconds = max(_LEAST_SECONDS, _PENDING_SECONDS // bench.divisor)
    with _work(bench) as work:
        manifest = _manifest(work / "ids.txt", count)
        with origin.pending(work / "origin") as base_url:
            command = [*bench.tools.batchfetch, "fetch", str(manifest), "--base-url", base_url]
            command += ["--output", str(work / "output"), "--durability", "none"]
            command += ["--concurrency", str(_PENDING_CONCURRENCY), "--json"]
            command += ["--polling", polling, "--max-runtime", f"{seconds}s"]
            title = f"{_grouped(count)} tasks, all Pending, {polling}"
            footprint = _footprint(title, command, work / "log", _STOPPED_EARLY)
        calls = _summary(work / "log").get("calls", 0)
    return replace(footprint, note=footprint.note or f"{_grouped(calls)} polls")


@contextmanager
def _work(bench: Bench) -> Iterator[Path]:
    work = bench.storage / "memory"
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work)


def _footprint(title: str, command: list[str], log: Path, *also_allowed: int) -> Footprint:
    try:
        usage = measure(
            command,
            log=log,
            environment=peer_environment(),
            limit=_LIMIT_SECONDS,
            allowed=frozenset({0, *also_allowed}),
        )
    except RunError as exc:
        footprint = Footprint(title, None, f"failed: {exc}")
    else:
        footprint = Footprint(title, usage)
    sys.stderr.write(f"{'  '.join(footprint.row)}\n")
    return footprint


def _summary(log: Path) -> dict[str, int]:
    for line in reversed(log.read_text().splitlines()):
        if line.startswith("{"):
            summary: dict[str, int] = json.loads(line)
            return summary
    return {}


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


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
