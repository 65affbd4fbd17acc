"""
A run on a cluster of real processes; what the origin counted is the judge.
"""

import dataclasses
import os
import resource
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from math import inf

import pytest
from command import (
    CLIENT_ID,
    HEARD,
    SECRET,
    client_credentials,
    environment,
    expected_images,
    finish,
    images_in,
    manifest_of,
    read_report,
    run,
    start,
    wait_until,
)
from dask_cluster import DaskCluster
from origin import Origin, serving
from replies import ready, status

SLOTS = 4
WORTH = 0.1
"""Seconds that a lease is worth."""


def slow(seconds):
    """
    Return a step that answers as `ready` does, so many *seconds* later.
    """
    return lambda task_id: dataclasses.replace(ready(task_id), interval=seconds)


def names(count):
    """
    Return so many task ids.
    """
    return [f"task{number}" for number in range(count)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """
    A scheduler; each test has workers of its own.
    """
    with DaskCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def dask(cluster):
    """
    The scheduler without workers.
    """
    cluster.remove_workers()
    yield cluster
    cluster.remove_workers()


@pytest.fixture
def origin():
    """
    An origin that takes 20 ms for an answer.
    """
    with serving(Origin(default=slow(0.02))) as origin:
        yield origin


class Runs:
    """
    Runs over one manifest on one cluster into one output.
    """

    def __init__(self, dask, origin, folder) -> None:
        self.dask = dask
        self.origin = origin
        self.folder = folder
        self.out = folder / "out"
        self.report = self.out / "report.jsonl"
        self.env = client_credentials()

    def write(self, tasks, *, named=False):
        """
        Write the manifest.
        """
        self.tasks = tasks
        self.names = {i: f"night/{i[::-1]}" if named else i for i in tasks}
        self.manifest = self.folder / "manifest.csv"
        rows = [f"{task_id},{name}" for task_id, name in self.names.items()]
        self.manifest.write_text("\n".join(["id,name", *rows, ""]))
        return self

    def argv(self, *options):
        """
        Return the command's arguments.
        """
        return [
            *("fetch", self.manifest, "-o", self.out, "--base-url", self.origin.base_url),
            *("--cluster", self.dask.file, "--concurrency", SLOTS, "--json", *options),
        ]

    def run(self, *options):
        """
        Run the command to its end.
        """
        return run(*self.argv(*options), env=self.env)

    def start(self, *options, **how):
        """
        Start the command.
        """
        return start(*self.argv(*options), env=self.env, **how)

    def check_complete(self):
        """
        Say what must hold when every task is Completed.
        """
        images = expected_images(self.tasks)
        assert images_in(self.out) == {self.names[i]: images[i] for i in self.tasks}
        lines = read_report(self.report)
        assert Counter(line["task_id"] for line in lines) == Counter(self.tasks)
        assert {line["outcome"] for line in lines} == {"Completed"}


@pytest.fixture
def runs(dask, origin, tmp_path):
    """
    Runs with an output of their own.
    """
    return Runs(dask, origin, tmp_path)


def most_in_a_second(origin):
    """
    Return the most calls that began within any second.
    """
    times = sorted(call.at for call in origin.calls)
    return max(
        sum(1 for each in times[first:] if each < start + 1) for first, start in enumerate(times)
    )


def test_two_workers_share_a_run(runs):
    """
    Every task is asked about once, with one token, and no secret is in the cluster's logs.
    """
    runs.dask.add_worker("--nthreads", "3")
    runs.dask.add_worker()
    done = runs.write(names(400)).run("--chunk", "50")
    assert done.code == 0, done.stderr
    runs.check_complete()
    assert len(runs.origin.calls) == done.summary["calls"] == 400
    assert len(runs.origin.token_requests) == done.summary["token_requests"] == 1
    figures = {"workers": 2, "workers_lost": 0, "calls_unaccounted": 0}
    assert figures.items() <= done.summary.items()
    assert not any(secret in runs.dask.logs for secret in (SECRET, CLIENT_ID, "granted-token"))
    assert "distributed" not in done.stderr


def test_processes_of_this_machine(runs):
    """
    `local:2` starts two workers, says nothing of them, and leaves none behind.
    """
    runs.write(names(60))
    runs.origin.answers = 10
    with start(*runs.argv("--cluster", "local:2", "--chunk", "10"), env=runs.env) as process:
        wait_until(lambda: runs.origin.calls, process)
        workers = children_of(process.pid)
        assert len(workers) >= 2
        runs.origin.answers = inf
        done = finish(process)
    assert done.code == 0, done.stderr
    runs.check_complete()
    assert done.summary["workers"] == 2
    assert "warn" not in done.stderr
    wait_until(lambda: not any(is_alive(pid) for pid in workers))


def children_of(pid):
    """
    Return the ids of all processes below *pid*.
    """
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE, text=True, check=False
    )
    found = [int(each) for each in listed.stdout.split()]
    return [each for child in found for each in (child, *children_of(child))]


def is_alive(pid):
    """
    Whether there is a process *pid*.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_rate_and_one_budget(runs):
    """
    The calls of all workers together keep to the rate and end at the budget; the next run goes on.
    """
    runs.dask.add_worker()
    runs.dask.add_worker()
    done = runs.write(names(300)).run("--rate", "100", "--max-calls", "250", "--chunk", "20")
    assert done.code == 4, done.stderr
    assert len(runs.origin.calls) == done.summary["calls"] == 250
    assert done.summary["outcomes"] == {"Completed": 250}
    assert most_in_a_second(runs.origin) <= 100 * (1 + WORTH) + 1
    assert runs.run().code == 0
    runs.check_complete()
    assert len(runs.origin.calls) == 300


POINTS = [
    "state.ask(asked_at)",
    "on_sent=state.count_call",
    "measures = image.flush()",
    "await target.commit(",
    "os.replace(",
    "lines = outcomes_to_wire(outcomes)",
    'await self._link.ask("record"',
    "starts = await self._report.write(outcomes)",
]
QUICK = "os.replace(", True


@pytest.mark.parametrize(
    ("point", "named"),
    [
        pytest.param(point, named, marks=[] if (point, named) == QUICK else pytest.mark.slow)
        for point in POINTS
        for named in (False, True)
    ],
)
def test_a_worker_is_killed(runs, point, named):
    """
    Whatever a worker was doing when it died, another finishes its chunks, and only what was in
    flight is asked about again.
    """
    doomed = runs.dask.add_doomed_worker(point, 5)
    runs.write(names(60), named=named)
    process = runs.start("--chunk", "20")
    wait_until(lambda: doomed.poll() is not None, process)
    runs.dask.add_worker(wait=False)
    done = finish(process)
    assert done.code == 0, done.stderr
    assert doomed.returncode == -signal.SIGKILL
    runs.check_complete()
    calls = len(runs.origin.calls)
    assert calls <= 60 + SLOTS
    summary = done.summary
    assert (summary["workers"], summary["workers_lost"]) == (2, 1)
    assert summary["calls"] - summary["calls_unaccounted"] <= calls <= summary["calls"]
    assert parts_of_living(runs.out) == []


def test_a_chunk_is_taken_over_by_a_worker_that_is_there(runs):
    """
    Also when all chunks were handed out by then.
    """
    runs.dask.add_worker()
    doomed = runs.dask.add_worker()
    runs.origin.answers = 15
    process = runs.write(names(60)).start("--chunk", "30")
    wait_until(lambda: len(runs.origin.calls) == 15 + 2 * SLOTS, process)
    doomed.kill()
    runs.origin.answers = inf
    done = finish(process)
    assert done.code == 0, done.stderr
    runs.check_complete()
    assert len(runs.origin.calls) <= 60 + SLOTS


def parts_of_living(out):
    """
    Return the claims in *out* that hold: what is left of a dead worker are unfinished files at
    most, and claims that are void because their file is one of these.
    """
    claims = [path for path in out.rglob(".batchfetch.*.part") if path.name.count(".") > 3]
    unfinished = (path.with_name(f"{path.name.rsplit('.', 2)[0]}.part") for path in claims)
    return [path for path, part in zip(claims, unfinished, strict=True) if not part.exists()]


@pytest.mark.slow
def test_the_budget_holds_when_a_worker_is_killed(runs):
    """
    What a dead worker had leased is spent.
    """
    runs.dask.add_worker()
    doomed = runs.dask.add_worker()
    runs.origin.answers = 100
    process = runs.write(names(400)).start("--rate", "150", "--max-calls", "300", "--chunk", "20")
    wait_until(lambda: len(runs.origin.calls) > 100, process)
    doomed.kill()
    runs.origin.answers = inf
    done = finish(process)
    assert done.code == 4, done.stderr
    calls = len(runs.origin.calls)
    assert calls <= done.summary["calls"] <= 300
    assert calls >= done.summary["calls"] - done.summary["calls_unaccounted"]
    assert done.summary["workers_lost"] == 1


@pytest.mark.slow
def test_a_chunk_that_kills_three_workers_is_reported(runs):
    """
    It is handed out three times; the other chunks are fetched.
    """
    runs.write(names(30))
    process = runs.start("--chunk", "10")
    for _ in range(3):
        doomed = runs.dask.add_doomed_worker("state.ask(asked_at)", wait=False)
        wait_until(lambda: doomed.poll() is not None, process)  # noqa: B023 - used at once
    runs.dask.add_worker(wait=False)
    done = finish(process)
    assert done.code == 3, done.stderr
    assert done.summary["outcomes"]["Completed"] >= 10
    assert done.summary["reasons"] == {"worker_lost": done.summary["outcomes"]["Failed"]}
    assert done.summary["workers_lost"] == 3
    assert len(read_report(runs.report)) == 30
    assert details_of_lost(runs) == {
        "3 workers in a row were lost while they had this task's chunk: 3 left the cluster"
    }
    assert run(*runs.argv(), env=runs.env).code == 0


def details_of_lost(runs):
    """
    Return what the report says of the tasks whose workers were lost.
    """
    lines = read_report(runs.report)
    return {line["detail"] for line in lines if line["reason"] == "worker_lost"}


CUT = """
import asyncio, pathlib, sys
from distributed import Client

async def cut(dask_worker, folder):
    (folder / "ready").touch()
    while not (folder / "now").exists():
        await asyncio.sleep(0.01)
    # A request takes less than a millisecond; it is one on its way that breaks.
    while True:
        for comms in list(dask_worker.rpc.occupied.values()):
            for comm in list(comms):
                if "batchfetch" in comm.name:
                    comm.abort()
                    return
        await asyncio.sleep(0)

Client(scheduler_file=sys.argv[1]).run(cut, folder=pathlib.Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_worker_that_was_cut_off_begins_anew(runs):
    """
    Its connections to the scheduler break, and it does not: its chunks are handed out again.
    """
    runs.dask.add_worker()
    with armed(runs.dask, runs.folder / "cut") as cut:
        process = runs.write(names(300)).start("--rate", "50", "--chunk", "100")
        wait_until(lambda: len(runs.origin.calls) > 40, process)
        cut()
        done = finish(process)
    assert done.code == 0, done.stderr
    runs.check_complete()
    assert "was cut off, and begins anew" in done.stderr
    assert done.summary["workers_lost"] == 1
    assert len(runs.origin.calls) <= 300 + SLOTS


@contextmanager
def armed(dask, folder):
    """
    Yield a function that breaks the connection of the workers' next request to the scheduler.
    """
    folder.mkdir()
    argv = (sys.executable, "-c", CUT, str(dask.file), str(folder))
    with subprocess.Popen(argv, env=environment()) as process:

        def cut():
            (folder / "now").touch()
            assert process.wait(60) == 0

        try:
            wait_until((folder / "ready").exists)
            yield cut
        finally:
            process.kill()


@pytest.mark.slow
def test_a_chunk_that_is_cut_off_three_times_is_reported(runs):
    """
    Its workers did not die, and it is not said that they did.
    """
    runs.dask.add_worker()
    with ExitStack() as stack:
        cuts = [stack.enter_context(armed(runs.dask, runs.folder / name)) for name in "abc"]
        process = runs.write(names(900)).start("--rate", "20", "--chunk", "900")
        for cut in cuts:
            begun = len(runs.origin.calls)
            wait_until(lambda: len(runs.origin.calls) > begun + 20, process)  # noqa: B023 - at once
            cut()
        done = finish(process)
    assert done.code == 3, done.stderr
    assert done.summary["reasons"] == {"worker_lost": done.summary["outcomes"]["Failed"]}
    (detail,) = details_of_lost(runs)
    assert detail.endswith("this task's chunk: 3 lost a connection to the scheduler")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_driver_is_killed(runs, number):
    """
    Workers stop by themselves; what they had finished is found by the next run.
    """
    runs.dask.add_worker()
    runs.dask.add_worker()
    runs.origin.answers = 60
    log = runs.folder / "log"
    with log.open("w") as stderr:
        process = runs.write(names(300)).start("--chunk", "30", stderr=stderr)
    wait_until(lambda: len(runs.origin.calls) > 60, process)
    process.send_signal(number)
    if number == signal.SIGTERM:
        wait_until(lambda: HEARD in log.read_text(), process)
    else:
        process.wait()
    runs.origin.answers = inf
    done = finish(process)
    assert done.code == (-number if number == signal.SIGKILL else 143)
    wait_until(lambda: runs.origin.connections == 0)
    calls = len(runs.origin.calls)
    assert calls < 300
    if number == signal.SIGTERM:
        assert calls == done.summary["calls"] == done.summary["outcomes"]["Completed"]
    assert runs.run().code == 0
    images = expected_images(runs.tasks)
    assert images_in(runs.out) == images
    assert len(runs.origin.calls) <= 300 + (2 * SLOTS if number == signal.SIGKILL else 0)


LEFT = """
import sys
from distributed import Client

def left(dask_scheduler):
    return [name for names in (dask_scheduler.handlers, dask_scheduler.plugins) for name in names]

print(*Client(scheduler_file=sys.argv[1]).run_on_scheduler(left))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_nothing_of_a_run_is_left_on_the_scheduler(runs, number):
    """
    What it had there, a token among it, goes with the run, however that ends.
    """
    runs.dask.add_worker()
    process = runs.write(names(60)).start("--rate", "50")
    wait_until(lambda: len(runs.origin.calls) > 20, process)
    if number is not None:
        process.send_signal(number)
    finish(process)

    def left():
        ask = (sys.executable, "-c", LEFT, str(runs.dask.file))
        return subprocess.run(
            ask, check=True, timeout=60, env=environment(), capture_output=True, text=True
        ).stdout

    assert "identity" in left()
    wait_until(lambda: "batchfetch" not in left())


@pytest.mark.slow
def test_the_terminal_stops_all_processes(runs):
    """
    A signal to the whole process group stops a local cluster as cleanly as to the command.
    """
    runs.write(names(300))
    argv = runs.argv("--cluster", "local:2", "--rate", "50")
    with start(*argv, env=runs.env, start_new_session=True) as process:
        wait_until(lambda: len(runs.origin.calls) > 20, process)
        workers = children_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        done = finish(process)
    assert done.code == 130, done.stderr
    assert done.summary["workers_lost"] == 0
    assert len(runs.origin.calls) == done.summary["outcomes"]["Completed"]
    wait_until(lambda: not any(is_alive(pid) for pid in workers))


@pytest.mark.slow
def test_the_driver_of_processes_of_this_machine_is_killed(runs):
    """
    Its workers end at once.
    """
    runs.write(names(300))
    argv = runs.argv("--cluster", "local:2", "--rate", "50")
    with start(*argv, env=runs.env) as process:
        wait_until(lambda: len(runs.origin.calls) > 20, process)
        workers = children_of(process.pid)
        assert len(workers) >= 2
        assert all(is_alive(pid) for pid in workers)
        process.kill()
        assert finish(process).code == -signal.SIGKILL
    wait_until(lambda: not any(is_alive(pid) for pid in workers))


@pytest.mark.slow
def test_the_scheduler_does_not_answer(origin, tmp_path):
    """
    One that is there and stands still is as good as gone, also to a run that is told to stop.
    """
    folder = tmp_path / "cluster"
    folder.mkdir()
    with DaskCluster(folder) as dask:
        dask.add_worker()
        runs = Runs(dask, origin, tmp_path).write(names(300))
        process = runs.start("--rate", "50")
        wait_until(lambda: len(origin.calls) > 20, process)
        dask.scheduler.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        done = finish(process)
    assert done.code == 8, done.stderr
    assert "the cluster's scheduler at" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--rate", "100"), ("--max-calls", "280")])
def test_the_scheduler_is_killed(origin, tmp_path, options):
    """
    The run ends with 8 and a sentence, and says how many calls it has made at most; on another
    cluster the next one goes on.
    """
    folder = tmp_path / "cluster"
    folder.mkdir()
    with DaskCluster(folder) as dask:
        runs = Runs(dask, origin, tmp_path).write(names(300))
        dask.add_worker()
        process = runs.start(*options)
        wait_until(lambda: len(origin.calls) > 60, process)
        dask.scheduler.kill()
        done = finish(process)
    assert done.code == 8, done.stderr
    assert "scheduler" in done.stderr
    assert "Traceback" not in done.stderr
    most, calls = done.summary["calls"], len(origin.calls)
    assert most - done.summary["calls_unaccounted"] <= calls <= most <= 280
    assert run(*runs.argv("--cluster", "local:1"), env=runs.env).code == 0
    assert images_in(runs.out) == expected_images(runs.tasks)
    assert len(origin.calls) <= 300 + SLOTS


def test_a_wrong_secret_is_sent_once(runs):
    """
    However many workers there are, the driver alone asks for a token.
    """
    runs.dask.add_worker()
    runs.dask.add_worker()
    runs.origin.tokens = [status(400)] * 10
    done = runs.write(names(40)).run("--chunk", "10")
    assert done.code == 5, done.stderr
    assert len(runs.origin.token_requests) == 1
    assert runs.origin.calls == []


@pytest.mark.slow
def test_a_dead_token_is_renewed_once(runs):
    """
    Refused to two workers, it is renewed by the driver, for both.
    """
    runs.dask.add_worker()
    runs.dask.add_worker()
    runs.origin.answers = 80
    process = runs.write(names(300)).start("--chunk", "20")
    wait_until(lambda: len(runs.origin.calls) == 80 + 2 * SLOTS, process)
    runs.origin.revoke()
    runs.origin.answers = inf
    done = finish(process)
    assert done.code == 0, done.stderr
    runs.check_complete()
    assert len(runs.origin.token_requests) == 2


@pytest.mark.slow
def test_a_late_worker_gets_work(runs):
    """
    A worker that joins during a run takes part.
    """
    runs.dask.add_worker()
    runs.origin.answers = 20
    process = runs.write(names(400)).start("--chunk", "10")
    wait_until(lambda: len(runs.origin.calls) > 20, process)
    runs.dask.add_worker()
    wait_until(lambda: len(runs.origin.calls) == 20 + 2 * SLOTS, process)
    runs.origin.answers = inf
    done = finish(process)
    assert done.code == 0, done.stderr
    runs.check_complete()
    assert done.summary["workers"] == 2
    assert len({call.connection for call in runs.origin.calls}) > SLOTS


@pytest.mark.slow
def test_a_pause_is_kept_by_all(runs):
    """
    After a 429 no worker asks before the time that it named, but for what it had leased.
    """
    runs.dask.add_worker()
    runs.dask.add_worker()
    runs.origin.script["task90"] = [status(429, "Retry-After: 3"), ready]
    done = runs.write(names(200)).run("--chunk", "10", "--rate", "50")
    assert done.code == 0, done.stderr
    runs.check_complete()
    refused = next(call.at for call in runs.origin.calls if call.task_id == "task90")
    during = [call for call in runs.origin.calls if refused + 0.5 < call.at < refused + 2.9]
    assert during == []
    assert "pausing for 3 s" in done.stderr


def test_other_versions_are_refused(runs, tmp_path):
    """
    A worker with another version of batchfetch is named, and nothing is asked.
    """
    metadata = tmp_path / "other" / "batchfetch-99.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: batchfetch\nVersion: 99.0\n")
    path = f"{tmp_path / 'other'}:{environment()['PYTHONPATH']}"
    runs.dask.add_worker(env={"PYTHONPATH": path})
    done = runs.write(names(3)).run()
    assert done.code == 2, done.stderr
    assert "has batchfetch 99.0, and this machine has" in done.stderr
    assert runs.origin.calls == []


def test_workers_that_cannot_take_part(runs):
    """
    If no worker can, the run ends at once, and says why.
    """
    runs.env |= {"BATCHFETCH_BASE_URL": "https://batchfetch.invalid"}
    runs.dask.add_worker(env={"HTTPS_PROXY": "ftp://proxy"})
    argv = ["fetch", runs.write(names(3)).manifest, "-o", runs.out, "--cluster", runs.dask.file]
    done = run(*argv, env=runs.env)
    assert done.code == 8, done.stderr
    assert "no worker that can take part" in done.stderr
    assert "proxy" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a worker other files")
def test_an_output_that_is_not_shared_is_refused(runs):
    """
    A worker that does not see the driver's files is named, and nothing is asked.
    """
    runs.out.mkdir()
    elsewhere = 'mount -t tmpfs none "$0" && exec "$@"'
    runs.dask.add_worker(prefix=["unshare", "--mount", "sh", "-c", elsewhere, str(runs.out)])
    done = runs.write(names(3)).run()
    assert done.code == 2, done.stderr
    assert "does not see the same files" in done.stderr
    assert runs.origin.calls == []


def test_what_excludes_each_other(tmp_path):
    """
    A stand-in on this machine cannot serve other machines, and a shard is no part of a cluster.
    """
    manifest = manifest_of(tmp_path, ["a"])
    done = run("fetch", manifest, "--sandbox", "--cluster", "tls://host:1", "-o", tmp_path / "o")
    assert done.code == 2
    assert "use --cluster local:N" in done.stderr
    done = run("fetch", manifest, "--shard", "1/2", "--cluster", "local:2", "-o", tmp_path / "o")
    assert done.code == 2
    assert "--shard 1/2" in done.stderr
    assert "--cluster local:2" in done.stderr


@pytest.mark.slow
def test_no_scheduler_answers(tmp_path):
    """
    An address where nothing listens is exit 2.
    """
    manifest = manifest_of(tmp_path, ["a"])
    done = run("fetch", manifest, "--cluster", "tcp://127.0.0.1:1", "-o", tmp_path / "out")
    assert done.code == 2
    assert "no scheduler answers at tcp://127.0.0.1:1" in done.stderr


@pytest.mark.slow
def test_another_server_answers(tmp_path):
    """
    A server that takes the connection and says nothing is no scheduler.
    """
    manifest, out = manifest_of(tmp_path, ["task"]), tmp_path / "out"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        env = client_credentials()
        done = run("fetch", manifest, "-o", out, "--cluster", address, env=env)
    assert done.code == 2
    assert f"no scheduler answers at {address}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_more_processes_than_this_machine_can_start(tmp_path):
    """
    What limits them is named, without a traceback.
    """
    manifest, out = manifest_of(tmp_path, ["task"]), tmp_path / "out"
    done = run(
        *("fetch", manifest, "-o", out, "--sandbox", "--cluster", "local:8"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60)),
    )
    assert done.code == 2, done.stderr
    assert "--cluster local:8: this machine cannot start so many processes" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra(tmp_path):
    """
    One sentence says how to get it.
    """
    manifest = manifest_of(tmp_path, ["a"])
    code = (
        "import sys; sys.modules['distributed'] = None; from batchfetch.cli.main import main;"
        f"sys.exit(main(['fetch', {str(manifest)!r}, '--cluster', 'local:2', '-o', 'out']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--cluster local:2 needs the extra dask; install it with pip" in done.stderr
    assert done.stderr.count("\n") == 1


def test_only_a_run_on_a_cluster_imports_dask(tmp_path):
    """
    It takes half a second, which other runs do not pay.
    """
    code = (
        "import sys; from batchfetch.cli.main import main;"
        f"main(['fetch', {str(manifest_of(tmp_path, ['a']))!r}, '--sandbox', '-o',"
        f" {str(tmp_path / 'out')!r}]);"
        "print({'distributed', 'dask', 'tornado'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
