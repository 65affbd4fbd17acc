"""
Tasks that never finish, in the way of ready ones, fetched by the command.
"""

from random import Random

import pytest
from command import last_lines, manifest_of, read_report, run
from origin import Origin, serving
from replies import pending

READY = [f"ready-{number:03}" for number in range(400)]
STUCK = [f"stuck-{number:03}" for number in range(120)]


def shuffled():
    """
    Return all tasks in random order.
    """
    return Random(1).sample(READY + STUCK, len(READY + STUCK))


def in_runs():
    """
    Return the stuck tasks in runs of forty, the first of them at the head.
    """
    return [
        task
        for i in range(3)
        for task in STUCK[40 * i : 40 * (i + 1)] + READY[133 * i : 133 * (i + 1) + i // 2]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("order", [shuffled, in_runs])
def test_stuck_tasks_do_not_hold_back_ready_ones(tmp_path, order):
    """
    Every ready image is fetched, with one call, before patience with the first stuck task ends.
    """
    origin = Origin({task: [pending] for task in STUCK})
    output = tmp_path / "images"
    with serving(origin):
        finished = run(
            *("fetch", manifest_of(tmp_path, order()), "-o", output),
            *("--base-url", origin.base_url, "--patience", "15s", "--json"),
        )
    assert finished.code == 3, finished.stderr
    assert finished.summary["outcomes"] == {"Completed": len(READY), "TimedOut": len(STUCK)}
    outcomes = [line["outcome"] for line in read_report(output / "report.jsonl")]
    assert outcomes == ["Completed"] * len(READY) + ["TimedOut"] * len(STUCK)
    calls = {task: line["calls"] for task, line in last_lines(output / "report.jsonl").items()}
    assert {calls[task] for task in READY} == {1}
    assert sum(calls[task] for task in STUCK) <= 3 * len(STUCK)
