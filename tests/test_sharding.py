"""
Which part of a manifest has which task.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from command import environment

from batchfetch.sharding import Shard, shards_of


@pytest.mark.parametrize(
    ("task_id", "count", "index"),
    [
        ("94b25465-48cc-4485-8669-b18f66bef4ae", 8, 1),
        ("sample-completed", 8, 2),
        ("TTS01232-9d40", 1000, 928),
        ("Straße", 8, 7),
    ],
)
def test_the_formula(task_id, count, index):
    """
    A task's part follows from its id as the manual says, in every release: these are sha256sum's.
    """
    assert Shard(index, count).has(task_id)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100])
def test_every_task_is_in_one_part(count):
    """
    The parts are as even as chance makes them, and none overlaps another.
    """
    parts = [Shard(index, count) for index in range(1, count + 1)]
    found = Counter()
    for number in range(5000):
        (part,) = [part for part in parts if part.has(f"task-{number:05}")]
        found[part.index] += 1
    expected = 5000 / count
    assert len(found) == count
    assert all(abs(size - expected) < 6 * expected**0.5 for size in found.values())


def test_ids_that_differ_in_case_only_are_in_one_part():
    """
    They are one task, as everywhere else.
    """
    assert all(Shard(i, 8).has("AbC-É") == Shard(i, 8).has("aBc-é") for i in range(1, 9))


def test_a_row_without_an_id_is_in_one_part():
    """
    It goes by its line; one without a line has a part, too.
    """
    for line in (None, 1, 2, 3, 10**9):
        assert [Shard(i, 5).has_line(line) for i in range(1, 6)].count(True) == 1


def test_a_part_is_the_same_in_every_process():
    """
    It does not depend on the hash that Python draws anew for each process.
    """
    code = (
        "from batchfetch.sharding import Shard; print([Shard(1, 3).has(str(i)) for i in range(50)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            env=environment(PYTHONHASHSEED=seed),
            capture_output=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(said) == 1


def test_names_of_files():
    """
    What a part's file is called is found again, and nothing else is taken for one.
    """
    path = Shard(3, 8).path_of(Path("out/report.jsonl"))
    assert path == Path("out/report.3-of-8.jsonl")
    pattern = shards_of(Path("out/report.jsonl"))
    assert pattern.fullmatch(path.name)
    for name in (
        *("report.jsonl", "report.3-of-8.runs.jsonl", "report.0-of-8.jsonl", "report.x-of-8.jsonl"),
        *("other.3-of-8.jsonl", "reportX3-of-8.jsonl", "report.3-of-8.jsonl.gz"),
    ):
        assert not pattern.fullmatch(name)
    assert Shard.labelled("3-of-8") == Shard(3, 8)
