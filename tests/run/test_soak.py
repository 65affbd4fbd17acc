"""
Many tasks against the stand-in while a fifth of its answers go wrong, and while it cannot be
reached from time to time: all is accounted for.

`BATCHFETCH_TEST_SOAK=20000` makes it as many.
"""

import os
import subprocess
import time
from collections import Counter

import anyio.from_thread
import pytest
from command import (
    client_credentials,
    finish,
    images_in,
    manifest_of,
    parts_in,
    read_report,
    run,
    start,
    wait_until,
)
from relay import Mode, Relay

from batchfetch.sandbox import SandboxSettings, open_sandbox
from batchfetch.sandbox.pages import draw_page, page_size

TASKS = int(os.environ.get("BATCHFETCH_TEST_SOAK", "600"))
FAULTS = "429=0.2%,500=5.8%,reset=5%,truncate=5%,corrupt=3.5%,slow=0.5%"
LARGEST = 16 * 1024
GROWTH = 16 * 1024
"""Kibibytes that the second half of a run may add: names of tasks, not images."""


AWAY_FOR = 1.5
"""Seconds that an outage lasts after the run is held."""

IN_FLIGHT = 32


@pytest.fixture
def portal():
    """
    A thread with an event loop.
    """
    with anyio.from_thread.start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def sandbox(portal):
    """
    The stand-in, served from a thread.
    """
    settings = SandboxSettings(
        faults=FAULTS, processing_time=0.001, workers=64, largest_image=LARGEST, slow_time=1
    )
    with portal.wrap_async_context_manager(open_sandbox(settings)) as sandbox:
        yield sandbox


@pytest.fixture
def relay(portal, sandbox):
    """
    What stands between the command and the stand-in.
    """
    with portal.wrap_async_context_manager(Relay(sandbox.url)) as relay:
        yield relay


def resident(process):
    """
    Return the kibibytes of memory that *process* holds.
    """
    words = ["ps", "-o", "rss=", "-p", str(process.pid)]
    return int(subprocess.run(words, capture_output=True, check=True).stdout)


def lines_in(report):
    """
    Return how many outcomes are reported so far.
    """
    return report.read_bytes().count(b"\n") if report.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(600 + TASKS / 5)
def test_soak(sandbox, tmp_path):
    """
    Every image is right, no call is unaccounted for, and memory stays as it was at half time.

    Once everything is there, the same command asks nothing.
    """
    task_ids = [f"soak-{number}" for number in range(TASKS)]
    out = tmp_path / "out"
    how = (
        *("fetch", manifest_of(tmp_path, task_ids), "-o", out, "--json", "--polling", "prompt"),
        *("--base-url", sandbox.url, "--attempts", 12, "--durability", "none"),
    )
    process = start(*how, env=client_credentials())
    wait_until(lambda: lines_in(out / "report.jsonl") >= TASKS // 2, process)
    at_half = resident(process)
    wait_until(lambda: lines_in(out / "report.jsonl") >= TASKS * 0.95, process)
    at_end = resident(process)
    finished = finish(process)

    assert finished.code == 0, finished.stderr[-2000:]
    report = read_report(out / "report.jsonl")
    assert sum(sandbox.faults.values()) > TASKS / 10
    assert Counter(line["task_id"] for line in report) == Counter(task_ids)
    assert images_in(out) == {
        task_id: draw_page(task_id, page_size(task_id, LARGEST), 0) for task_id in task_ids
    }
    assert parts_in(out) == []
    assert {line["task_id"]: line["calls"] for line in report} == sandbox.calls_by_task
    assert sum(line["calls"] for line in report) == finished.summary["calls"] == sandbox.calls
    assert finished.summary["bytes"] == sum(map(len, images_in(out).values()))
    assert at_end - at_half < GROWTH

    calls = sandbox.calls
    again = run(*how, env=client_credentials())
    assert (again.code, again.summary["already"]) == (0, TASKS)
    assert sandbox.calls == calls


@pytest.mark.slow
@pytest.mark.timeout(600 + TASKS / 5)
def test_soak_with_outages(portal, relay, sandbox, tmp_path):
    """
    The stand-in is cut off, hangs up, and is hidden behind a 502, while a fifth of its answers go
    wrong: every image is right, no task fails, and the outages cost no more than what was in flight
    and some probes.
    """
    task_ids = [f"soak-{number}" for number in range(TASKS)]
    out, log = tmp_path / "out", tmp_path / "log"
    with log.open("w") as stderr:
        process = start(
            *("fetch", manifest_of(tmp_path, task_ids), "-o", out, "--json", "--polling"),
            *("prompt", "--base-url", relay.url, "--attempts", 12, "--durability", "none"),
            *("--rate", TASKS / 5),
            env=client_credentials(),
            stderr=stderr,
        )

    def holds():
        return log.read_text().count("the run is held")

    outages = [Mode.AWAY, Mode.HANG_UP, Mode.FAIL, Mode.AWAY]
    for number, mode in enumerate(outages, 1):
        begin = TASKS * number // (len(outages) + 1)
        wait_until(lambda begin=begin: lines_in(out / "report.jsonl") >= begin, process)
        before = holds()
        portal.call(relay.turn, mode)
        wait_until(lambda before=before: holds() > before, process)
        time.sleep(AWAY_FOR)
        portal.call(relay.turn, Mode.PASS)
    finished = finish(process)

    assert finished.code == 0, log.read_text()[-2000:]
    report = read_report(out / "report.jsonl")
    assert Counter(line["task_id"] for line in report) == Counter(task_ids)
    assert images_in(out) == {
        task_id: draw_page(task_id, page_size(task_id, LARGEST), 0) for task_id in task_ids
    }
    assert parts_in(out) == []
    calls = finished.summary["calls"]
    assert sum(line["calls"] for line in report) == calls
    # Requests may have been lost where the relay dropped their connections.
    accounted = sandbox.calls + relay.kept
    assert accounted <= calls <= accounted + 2 * len(outages) * IN_FLIGHT
    assert relay.kept <= 2 * (2 * IN_FLIGHT + 10)
