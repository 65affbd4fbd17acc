"""
Measure batchfetch beside the other ways of fetching the same images.

    python tests/bench/run.py --install --full --json bench.json

See `--help` for smaller and other measurements.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from corpus import COLUMNS
from machine import describe_machine
from measure import RunError
from memory import measure_memory
from origin import OriginError
from peers import ALTERNATIVE, PEERS, REFERENCE, STORE_PEERS, Peer, chosen, rival, variant
from rounds import Result
from scenarios import SCENARIOS, Bench, SkippedError
from startup import measure_startup
from submissions import measure_submissions
from table import absolute_table, as_json, failures, plain_table, relative_table
from tools import Tools, find_tools, install_missing, versions

_MEASUREMENTS = (*SCENARIOS, "memory", "startup", "submissions")
_QUICK_DIVISOR = 50
_MEMORY_BACKED = Path("/dev/shm")
_ON_A_DISK = Path("/var/tmp")  # Outlives a restart, so it is in memory nowhere.


def main(argv: Sequence[str] | None = None) -> int:
    """
    Measure what *argv* asks for, print tables, and return 0, or 1 if something did not work.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        peers = [*PEERS, *map(variant, args.variant), *map(rival, args.rival)]
        store_peers = list(STORE_PEERS)
        if args.peers:
            keys = args.peers.split(",")
            store_peers = [peer for peer in STORE_PEERS if peer.key in keys]
            others = {peer.key for peer in peers}
            peers = chosen(peers, [key for key in keys if key in others or not store_peers])
    except ValueError as exc:
        parser.error(str(exc))
    if args.install:
        install_missing()
    tools = find_tools()
    usable, to_store = _usable(peers, tools), _usable(store_peers, tools)
    found: dict[str, object] = {"machine": describe_machine(), "versions": versions(tools)}
    with _folder(args.storage) as storage, _folder(args.disk) as disk:
        rounds = args.rounds or (3 if args.quick else 5)
        bench = Bench(tools, storage, disk, rounds, _QUICK_DIVISOR if args.quick else 1)
        found |= {"rounds": bench.rounds, "scaled_down_by": bench.divisor}
        sound = [
            _measured(
                *(name, bench, to_store if _is_to_store(name) else usable),
                args.columns.split(",") if args.columns else (),
                found,
            )
            for name in args.measurements or ["table"]
        ]
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(sound) else 1


def _usable(peers: Sequence[Peer], tools: Tools) -> list[Peer]:
    """
    Return those of *peers* whose needs were found, and tell of the others.
    """
    usable = []
    for peer in peers:
        if missing := tools.missing(peer.needs):
            _say(f"left out: {peer.key}: {', '.join(missing)} not found")
        else:
            usable.append(peer)
    return usable


def _is_to_store(measurement: str) -> bool:
    return measurement in SCENARIOS and SCENARIOS[measurement].in_store


def _measured(
    name: str, bench: Bench, peers: Sequence[Peer], columns: Sequence[str], found: dict[str, object]
) -> bool:
    """
    Make one measurement, print it and add it to *found*; say whether it worked.
    """
    try:
        match name:
            case "memory":
                footprints = list(measure_memory(bench))
                rows = [footprint.row for footprint in footprints]
                _print("Memory", plain_table(("", "s", "peak MB", ""), rows))
                found[name] = [asdict(footprint) for footprint in footprints]
                return all(footprint.usage for footprint in footprints)
            case "startup":
                startups = measure_startup(bench)
                rows = [startup.row for startup in startups]
                _print("Start-up", plain_table(("ms", "fastest", "median"), rows))
                found[name] = [asdict(startup) for startup in startups]
            case "submissions":
                submitted = measure_submissions(bench)
                rows = [submissions.row for submissions in submitted]
                _print("Submitting", plain_table(("", "", "wall s", "CPU s", "peak MB"), rows))
                found[name] = [asdict(submissions) for submissions in submitted]
            case _:
                results = bench.measure(SCENARIOS[name], peers, columns)
                found[name] = as_json(results)
                return _compared(SCENARIOS[name].title, results, peers)
    except (SkippedError, OriginError, RunError) as exc:
        _say(f"{name} not measured: {exc}")
        found[name] = {"not_measured": str(exc)}
        return False
    return True


def _compared(title: str, results: Sequence[Result], peers: Sequence[Peer]) -> bool:
    """
    Print what *results* say of *peers*; say whether all of them did the work.
    """
    for reference in (REFERENCE, ALTERNATIVE):
        if any(peer.key == reference for peer in peers):
            table = relative_table(results, peers, reference)
            _print(f"{title}: wall time, {reference} = 1", table)
    _print(f"{title}: absolute", absolute_table(results, peers))
    problems = list(failures(results))
    for problem in problems:
        _say(problem)
    return not problems


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure batchfetch beside the other ways of fetching the same images.",
        epilog=f"Peers: {', '.join(peer.key for peer in PEERS)}; into a store "
        f"{', '.join(peer.key for peer in STORE_PEERS)}.  "
        f"Columns: {', '.join(column.name for column in COLUMNS)}.",
    )
    parser.add_argument(
        "measurements",
        nargs="*",
        type=_measurement,
        metavar="MEASUREMENT",
        help=f"{', '.join(_MEASUREMENTS)} [default: table]",
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="a fiftieth of the images, 3 rounds")
    extent.add_argument("--full", action="store_true", help="all images, 5 rounds [default]")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each peer gets its turn")
    parser.add_argument("--peers", metavar="A,B", help="only these")
    parser.add_argument("--columns", metavar="A,B", help="only these")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME=OPTIONS",
        help="batchfetch with other options, as one more peer",
    )
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another batchfetch, an older checkout say, as one more peer",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--install", action="store_true", help="first install what is missing")
    parser.add_argument(
        "--storage",
        type=Path,
        default=_MEMORY_BACKED if _MEMORY_BACKED.is_dir() else Path(tempfile.gettempdir()),
        metavar="DIR",
        help="memory-backed storage [default: %(default)s]",
    )
    parser.add_argument(
        "--disk",
        type=Path,
        default=_ON_A_DISK,
        metavar="DIR",
        help="storage on a disk [default: %(default)s]",
    )
    return parser


def _measurement(name: str) -> str:
    # Not `choices`: with a positional that may be left out, they would have to hold its default.
    if name not in _MEASUREMENTS:
        raise argparse.ArgumentTypeError(f"{name!r} is none; use {', '.join(_MEASUREMENTS)}")
    return name


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="batchfetch-bench-", dir=parent) as name:
        yield Path(name).resolve()


def _print(title: str, table: str) -> None:
    sys.stdout.write(f"\n{title}\n\n{table}\n")


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    # So that a terminated run, too, stops its servers and leaves no storage behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
