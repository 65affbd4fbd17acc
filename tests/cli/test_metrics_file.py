"""
`--metrics-file`: what stands in the file during a run and after it, and what it does not harm.
"""

import asyncio
import signal
import stat

import anyio
import pytest
import replies
from command import environment, finish, manifest_of, run, start, wait_until
from origin import Origin, serving
from prometheus_client.parser import text_string_to_metric_families
from virtual import VirtualLoop

from batchfetch.cli.metrics import EVERY, MetricsFile
from batchfetch.exit_codes import ExitCode
from batchfetch.run.summary import Progress, Summary

pytestmark = pytest.mark.slow

FILE = "batchfetch.prom"


def read(path):
    """
    Return each value in the file by its name, without those that differ by more than the output.
    """
    return {
        sample.name.removeprefix("batchfetch_"): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
        if sample.labels.keys() == {"output"}
    }


@pytest.fixture
def fetch(tmp_path):
    """
    Run `fetch` on these tasks with a metrics file in the working directory.
    """

    def fetch(origin, task_ids, *options, begin=run, **how):
        return begin(
            *("fetch", manifest_of(tmp_path, task_ids), "--base-url", origin.base_url),
            *("--metrics-file", FILE, *options),
            **{"cwd": tmp_path, **how},
        )

    return fetch


def test_what_a_run_leaves(fetch, tmp_path):
    """
    The counts of the run, each task and answer once; the summary says the same.
    """
    script = {"late": [replies.pending, replies.ready], "bad": [replies.says("Error")]}
    with serving(Origin(script)) as origin:
        finished = fetch(origin, ["a", "b", "late", "bad"], "--json")
    found, summary = read(tmp_path / FILE), finished.summary
    for name, key in [
        *(("calls_total", "calls"), ("asked_too_early_total", "asked_too_early")),
        *(("token_requests_total", "token_requests"), ("image_bytes_total", "bytes")),
        *(("tasks", "tasks"), ("last_run_exit_code", "exit_code")),
    ]:
        assert found[name] == summary[key], name
    assert found["last_run_exit_code"] == finished.code == 3
    assert found["image_seconds_count"] == 3
    assert found["running"] == found["requests_in_flight"] == found["tasks_waiting"] == 0
    assert "last_success_timestamp_seconds" not in found
    lines = (tmp_path / FILE).read_text().splitlines()
    output = f'output="{tmp_path}/images"'
    assert {
        f'batchfetch_outcomes_total{{{output},outcome="Completed",reason=""}} 3',
        f'batchfetch_outcomes_total{{{output},outcome="Error",reason="service_error"}} 1',
        f'batchfetch_answers_total{{{output},result="Pending"}} 1',
    } <= {*lines}


def test_during_a_run(fetch, tmp_path):
    """
    The first values are written at once; a run that is interrupted says how it ended.
    """
    with serving(Origin(default=replies.silence)) as origin:
        process = fetch(origin, ["a", "b", "c"], "--concurrency", 2, begin=start)
        wait_until(lambda: len(origin.calls) == 2, process)
        wait_until((tmp_path / FILE).exists, process)
        found = read(tmp_path / FILE)
        assert found["running"] == 1
        assert "last_run_exit_code" not in found
        process.send_signal(signal.SIGTERM)
        assert finish(process).code == 143
    found = read(tmp_path / FILE)
    assert (found["running"], found["last_run_exit_code"]) == (0, 143)
    assert (found["tasks_waiting"], found["tasks_unfinished"]) == (1, 2)


def test_the_last_success_is_kept(fetch, tmp_path):
    """
    A run that ends otherwise, and one that asks nothing, take it over from the file.
    """
    with serving(Origin({"bad": [replies.says("Error")]})) as origin:
        assert fetch(origin, ["a"]).code == 0
        first = read(tmp_path / FILE)
        assert first["last_success_timestamp_seconds"] >= first["run_start_timestamp_seconds"]
        assert fetch(origin, ["a", "bad"]).code == 3
        assert fetch(origin, ["a"], env=environment(BATCHFETCH_ACCESS_TOKEN="")).code == 2
    last = read(tmp_path / FILE)
    assert last["last_run_exit_code"] == 2
    assert last["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]
    assert "calls_total" not in last
    with serving(Origin()) as origin:
        assert fetch(origin, ["a"]).code == 0
    assert (
        read(tmp_path / FILE)["last_success_timestamp_seconds"]
        > first["last_success_timestamp_seconds"]
    )


def test_a_run_that_is_kept_out_leaves_the_file_alone(fetch, tmp_path):
    """
    It belongs to the run that holds the output.
    """
    with serving(Origin(default=replies.silence)) as origin:
        process = fetch(origin, ["a"], begin=start)
        wait_until(lambda: origin.calls and (tmp_path / FILE).exists(), process)
        assert fetch(origin, ["a"]).code == 7
        assert read(tmp_path / FILE)["running"] == 1
        process.send_signal(signal.SIGTERM)
        finish(process)


@pytest.mark.parametrize("path", ["gone/x.prom", "folder", ""])
def test_a_file_that_cannot_be_written(fetch, tmp_path, path):
    """
    It costs one warning; images, report and exit code are the same, and nothing is left behind.
    """
    (tmp_path / "folder").mkdir()
    with serving(Origin()) as origin:
        finished = fetch(origin, ["a", "b"], "--metrics-file", path)
    assert finished.code == 0
    assert finished.stderr.count("--metrics-file: ") == 1
    assert finished.stderr.count("cannot be written") == 1
    assert len(list((tmp_path / "images").glob("*.png"))) == 2
    assert not list(tmp_path.glob(".*"))


def test_a_plan_leaves_no_file(fetch, tmp_path):
    """
    `--dry-run` touches nothing, also if it fails.
    """
    with serving(Origin()) as origin:
        assert fetch(origin, ["a"], "--dry-run").code == 0
        (tmp_path / "file").touch()
        assert fetch(origin, ["a"], "--dry-run", "-r", tmp_path / "file" / "x").code != 0
    assert not (tmp_path / FILE).exists()


def test_others_may_read_the_file(fetch, tmp_path):
    """
    The collector is another user: the file has the mode of any new file, and no part stays.
    """
    (tmp_path / FILE).touch(0o600)
    with serving(Origin()) as origin:
        fetch(origin, ["a"], prefix=("sh", "-c", 'umask 022; exec "$@"', "sh"))
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o644
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "images", "manifest.txt"}


def nothing_yet():
    """
    Where a run stands that has just begun, as the file is told it.
    """
    progress = Progress(
        tasks=0,
        all_read=False,
        outcomes={},
        already=0,
        waiting=0,
        unfinished=0,
        in_flight=0,
        calls=0,
        bytes=0,
        seconds=0.0,
    )
    summary = Summary.model_construct(calls=0, asked_too_early=0, token_requests=0)
    return progress, summary


@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": VirtualLoop})], ids=["virtual"]
)
async def test_it_is_written_every_15_seconds(tmp_path):
    """
    The collector never finds values that are older.
    """
    asyncio.get_running_loop().mind_threads()
    told = []

    def read():
        told.append(anyio.current_time())
        return nothing_yet()

    file = MetricsFile(tmp_path / FILE, "images")
    with anyio.move_on_after(4 * EVERY + 1):
        await file.follow(read)
    assert [round(at - told[0]) for at in told] == [0, 15, 30, 45, 60]


def test_a_file_of_something_else(tmp_path):
    """
    What stood in the file before is taken over only where it is ours.
    """
    path = tmp_path / FILE
    for content in (b"\xff\xfe", b"batchfetch_last_run_exit_code{} 1.2.3\n", b"# nothing\n"):
        path.write_bytes(content)
        MetricsFile(path, "s3://bucket/images").fail(ExitCode.CREDENTIALS)
        found = read(path)
        assert found["last_run_exit_code"] == 5
        assert "last_success_timestamp_seconds" not in found
        assert 'output="s3://bucket/images"' in path.read_text()
