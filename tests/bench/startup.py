"""
How long nothing much takes: the interpreter, `--help`, a run of one task.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from corpus import Column, make_corpus
from measure import Usage, measure
from peers import Assignment, batchfetch
from rounds import peer_environment, require_images
from scenarios import SCENARIOS, Bench

_LIMIT_SECONDS = 60.0
_RUNS_A_ROUND = 4


@dataclass(frozen=True, slots=True)
class Startup:
    """
    The walls of one short command, in seconds.
    """

    title: str
    walls: list[float]

    @property
    def row(self) -> list[str]:
        """
        What it is, the fastest and the median run in milliseconds.
        """
        return [self.title, f"{min(self.walls) * 1e3:.0f}", f"{median(self.walls) * 1e3:.0f}"]


def measure_startup(bench: Bench) -> list[Startup]:
    """
    Run each short command in turn, several times a round.

    Raises `SkippedError` if there is no origin, `RunError` if a command does not end well.
    """
    work = bench.storage / "startup"
    corpus = make_corpus(Column("5 KB", 1, 5_000), work)
    origin = bench.origin(SCENARIOS["table"])
    log = work / "log"
    try:
        with origin.serving(corpus, work / "origin") as base_url:
            task = Assignment(corpus, base_url, work / "output", 32, work)
            commands: dict[str, Callable[[], Usage]] = {
                "bare interpreter": lambda: _run([bench.tools.python, "-c", "pass"], log),
                "batchfetch --version": lambda: _run([*bench.tools.batchfetch, "--version"], log),
                "batchfetch --help": lambda: _run([*bench.tools.batchfetch, "--help"], log),
                "batchfetch fetch, one task": lambda: _fetch_one(bench, task, log),
            }
            walls: dict[str, list[float]] = {title: [] for title in commands}
            for _ in range(bench.rounds * _RUNS_A_ROUND):
                for title, run in commands.items():
                    walls[title].append(run().wall)
    finally:
        shutil.rmtree(work)
    return [Startup(title, times) for title, times in walls.items()]


def _fetch_one(bench: Bench, task: Assignment, log: Path) -> Usage:
    usage = _run(batchfetch()(task, bench.tools), log)
    require_images(task.corpus, task.output)
    shutil.rmtree(task.output)
    return usage


def _run(command: list[str], log: Path) -> Usage:
    return measure(command, log=log, environment=peer_environment(), limit=_LIMIT_SECONDS)
