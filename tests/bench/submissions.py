"""
How fast images are submitted, beside the vendor's SDK in a pool of threads.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from corpus import COLUMNS, Column, Corpus, make_corpus
from measure import RunError, Usage, measure
from rounds import peer_environment
from scenarios import Bench, SkippedError

_SCRIPTS = Path(__file__).with_name("scripts")
_LIMIT_SECONDS = 600.0
_CONCURRENCY = 8

_SMALL, _MEDIUM, _LARGE, _HUGE = COLUMNS
SUBMITTED = tuple(
    replace(column, count=column.count // less, concurrency=_CONCURRENCY)
    for column, less in ((_SMALL, 10), (_MEDIUM, 4), (_LARGE, 4), (_HUGE, 1))
)


@dataclass(frozen=True, slots=True)
class Submissions:
    """
    The runs of one program in one column.
    """

    title: str
    column: Column
    runs: list[Usage]

    @property
    def row(self) -> list[str]:
        """
        What it is, median wall and processor seconds, and the most memory in MB.
        """
        peak = max(run.peak_rss for run in self.runs) / 1e6
        wall = median(run.wall for run in self.runs)
        cpu = median(run.cpu for run in self.runs)
        return [self.column.title, self.title, f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f}"]


def measure_submissions(bench: Bench) -> list[Submissions]:
    """
    Submit each column by each program, in turn.

    Raises `SkippedError` if there is no SDK or no room, `RunError` if a program does not submit
    every image once.
    """
    if missing := bench.tools.missing(["aspose-ocr-cloud"]):
        raise SkippedError(f"{', '.join(missing)} not found")
    found: list[Submissions] = []
    with _sink() as base_url:
        for column in SUBMITTED:
            found += _measure(bench, column.scaled(bench.divisor), base_url)
    return found


def _measure(bench: Bench, column: Column, base_url: str) -> list[Submissions]:
    bench.require_room(column.footprint)
    work = bench.storage / "submissions"
    corpus = make_corpus(column, work)
    try:
        found = [Submissions(title, column, []) for title in _commands(bench, corpus, base_url)]
        for _ in range(bench.rounds):
            for submissions in found:
                shutil.rmtree(work / "output", ignore_errors=True)
                (work / "output").mkdir()
                command = _commands(bench, corpus, base_url)[submissions.title]
                submissions.runs.append(_run(command, column, base_url, work / "log"))
    finally:
        shutil.rmtree(work)
    return found


def _commands(bench: Bench, corpus: Corpus, base_url: str) -> dict[str, Sequence[str]]:
    images, output = str(corpus.image("")), corpus.directory / "output" / "manifest.jsonl"
    own = (
        *(*bench.tools.batchfetch, "submit", images, "-o", str(output), "--base-url", base_url),
        *("--concurrency", str(_CONCURRENCY), "--log-level", "error"),
    )
    sdk = (bench.tools.python, str(_SCRIPTS / "sdk_submit.py"), base_url, images, str(output))
    return {
        f"vendor's SDK, {_CONCURRENCY} threads": (*sdk, str(_CONCURRENCY)),
        "batchfetch submit": own,
        "the same, --durability none": (*own, "--durability", "none"),
    }


def _run(command: Sequence[str], column: Column, base_url: str, log: Path) -> Usage:
    before = _taken(base_url)
    usage = measure(command, log=log, environment=peer_environment(), limit=_LIMIT_SECONDS)
    taken = _taken(base_url) - before
    if taken != column.count:
        raise RunError(f"{taken} images were submitted, not {column.count}")
    return usage


def _taken(base_url: str) -> int:
    with urlopen(base_url) as answer:
        return int(answer.read())


@contextmanager
def _sink() -> Iterator[str]:
    command = [sys.executable, str(_SCRIPTS / "sink.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
