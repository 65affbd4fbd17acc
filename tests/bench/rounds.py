"""
Take peers in turn over a corpus, checking what each of them wrote.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from corpus import Column, Corpus
from measure import RunError, Usage, measure
from peers import Assignment, Peer
from store import serving, store_keys
from tools import REPOSITORY, Tools

_LIMIT_SECONDS = 900.0
_COMPARED_AT_ONCE = 1 << 20


@dataclass(slots=True)
class Score:
    """
    What one peer needed in one column, a usage a round.
    """

    usages: list[Usage] = field(default_factory=list)

    failure: str | None = None
    """Why the peer was dropped."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    One column, measured: a score for every peer by its key.
    """

    column: Column
    scores: Mapping[str, Score]


def take_rounds(
    peers: Sequence[Peer], task: Assignment, column: Column, tools: Tools, rounds: int
) -> Result:
    """
    Run every peer once a round, and check what it wrote each time.

    A peer that fails or writes anything but the images is out of the column, with the reason.
    """
    scores = {peer.key: Score() for peer in peers}
    for number in range(1, rounds + 1):
        for peer in peers:
            score = scores[peer.key]
            if score.failure is not None:
                continue
            try:
                score.usages.append(_run(peer, task, tools))
                said = f"{score.usages[-1].wall:8.3f} s"
            except RunError as exc:
                score.failure = str(exc)
                said = f"failed: {exc}"
            sys.stderr.write(f"{column.title}  round {number}/{rounds}  {peer.key:12} {said}\n")
    return Result(column, scores)


def _run(peer: Peer, task: Assignment, tools: Tools) -> Usage:
    task.output.mkdir(parents=True)
    task.scratch.mkdir(parents=True)
    if not task.in_store:
        return _run_once(peer, task, tools)
    # A store for each: it remembers folders that are removed behind its back.
    with serving(tools.programs["rclone"], task.output.parent.parent) as store:
        return _run_once(peer, replace(task, store=store), tools)


def _run_once(peer: Peer, task: Assignment, tools: Tools) -> Usage:
    try:
        command = peer.command(task, tools)
        _touch_memory(task)
        os.sync()  # What an earlier peer left to be written is not this one's to wait for.
        usage = measure(
            command,
            log=task.scratch / "log",
            environment=peer_environment(task.ca_file, task.store),
            limit=_LIMIT_SECONDS,
        )
        require_images(task.corpus, task.output)
    finally:
        shutil.rmtree(task.output)
        shutil.rmtree(task.scratch)
    return usage


def _touch_memory(task: Assignment) -> None:
    """
    Write the images and remove them again.

    Memory that a virtual machine has not used for a while it must first get from its host, which
    takes several times as long as to write it, and only whoever comes first would pay for it.
    """
    images = task.scratch / "images"
    shutil.copytree(task.corpus.image(""), images)
    shutil.rmtree(images)


def peer_environment(ca_file: Path | None = None, store: str | None = None) -> dict[str, str]:
    """
    Return this process's environment without proxies and settings, and with a token; *store* is
    the address of a store.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("BATCHFETCH_")
    }
    # Whoever installs a program has it compiled once, not on every start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["BATCHFETCH_ACCESS_TOKEN"] = "x"
    # For `python -m batchfetch` where it is not installed.
    environment["PYTHONPATH"] = str(REPOSITORY)
    if store:
        environment |= {**store_keys(), "AWS_ENDPOINT_URL": store, "AWS_ALLOW_HTTP": "true"}
    if ca_file:
        environment["SSL_CERT_FILE"] = str(ca_file)  # What Python's clients trust.
    return environment


def require_images(corpus: Corpus, output: Path) -> None:
    """
    Raise `RunError` unless *output* holds the corpus's images byte for byte, and no others.
    """
    count = len(list(output.glob("*.png")))
    if count != len(corpus.task_ids):
        raise RunError(f"{count} images instead of {len(corpus.task_ids)}")
    for task_id in corpus.task_ids:
        if not _same(corpus.image(task_id), output / f"{task_id}.png"):
            raise RunError(f"{task_id}.png is not the image of its task")


def _same(one: Path, other: Path) -> bool:
    if not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while piece := left.read(_COMPARED_AT_ONCE):
            if right.read(_COMPARED_AT_ONCE) != piece:
                return False
    return True
