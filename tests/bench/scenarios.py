"""
Under which circumstances the peers are compared.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus import COLUMNS, Column, make_corpus
from origin import Origin, make_certificate
from peers import Assignment, Peer
from rounds import Result, take_rounds
from tools import Tools

_SMALL, _MEDIUM, _LARGE, _HUGE = COLUMNS


class SkippedError(Exception):
    """
    Something a measurement needs is not here; the message says what.
    """


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    Columns of work under the same circumstances.
    """

    title: str
    columns: Sequence[Column]

    tls: bool = False
    """Whether the origin speaks TLS."""

    delay: float = 0.0
    """Seconds every answer is held back."""

    on_disk: bool = False
    """Whether the output is on a disk instead of in memory."""

    in_store: bool = False
    """Whether the output is a store, which keeps its objects in memory; it has its own peers."""


SCENARIOS = {
    "table": Scenario("Loopback, output in memory-backed storage", COLUMNS),
    "tls": Scenario("The same over TLS", (_MEDIUM, _LARGE), tls=True),
    "delay": Scenario(
        "Every answer 50 ms late, 64 and 256 connections",
        (replace(_MEDIUM, concurrency=64), replace(_MEDIUM, concurrency=256)),
        delay=0.05,
    ),
    "store": Scenario("Into `rclone serve s3`, in memory", (_MEDIUM,), in_store=True),
    "disk": Scenario("Output on a disk", (_SMALL, _MEDIUM, _LARGE), on_disk=True),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """
    Where and how thoroughly is measured.
    """

    tools: Tools

    storage: Path
    """A folder in memory, for the corpus and for most outputs."""

    disk: Path
    """A folder on a disk, for the outputs of the scenario about it."""

    rounds: int

    divisor: int = 1
    """How many times smaller than stated the work is."""

    def measure(
        self, scenario: Scenario, peers: Sequence[Peer], names: Iterable[str] = ()
    ) -> list[Result]:
        """
        Measure *peers* in every column of *scenario*, or those called one of *names*.

        Raises `SkippedError` if there is no origin to be had, or no room.
        """
        origin = self.origin(scenario)
        wanted = set(names)
        return [
            self._measure(scenario, column.scaled(self.divisor), peers, origin)
            for column in scenario.columns
            if not wanted or column.name in wanted
        ]

    def origin(self, scenario: Scenario) -> Origin:
        """
        Return the origin *scenario* needs.  Raises `SkippedError` if it cannot be had.
        """
        programs = self.tools.programs
        needs = ("nginx", "openssl") if scenario.tls else ("nginx",)
        needs = (*needs, "rclone") if scenario.in_store else needs
        if missing := self.tools.missing(needs):
            raise SkippedError(f"{', '.join(missing)} not found")
        if scenario.delay and not self.tools.echo_module:
            raise SkippedError("nginx's echo module not found")
        return Origin(
            programs["nginx"],
            make_certificate(programs["openssl"], self.storage) if scenario.tls else None,
            scenario.delay,
            self.tools.echo_module if scenario.delay else None,
        )

    def require_room(self, size: int) -> None:
        """
        Raise `SkippedError` unless *size* bytes fit into the storage.
        """
        if shutil.disk_usage(self.storage).free < size:
            raise SkippedError(f"less than {size / 1e9:.1f} GB free in {self.storage}")

    def _measure(
        self, scenario: Scenario, column: Column, peers: Sequence[Peer], origin: Origin
    ) -> Result:
        self.require_room(column.footprint)
        work = self.storage / "column"
        corpus = make_corpus(column, work)
        try:
            with origin.serving(corpus, work / "origin") as base_url:
                output = work / "store/scans/output" if scenario.in_store else work / "output"
                task = Assignment(
                    corpus=corpus,
                    base_url=base_url,
                    output=self.disk / "output" if scenario.on_disk else output,
                    concurrency=column.concurrency,
                    scratch=work / "scratch",
                    ca_file=origin.certificate.chain if origin.certificate else None,
                    in_store=scenario.in_store,
                )
                return take_rounds(peers, task, column, self.tools, self.rounds)
        finally:
            shutil.rmtree(work)
