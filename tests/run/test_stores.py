"""
The command with an output in a store: the promises of a folder, and a lost machine.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from command import (
    ROOT,
    environment,
    expected_images,
    finish,
    last_lines,
    read_report,
    run,
    run_measured,
    start,
    wait_until,
)
from crashes import CrashDriver, wait_for_stragglers
from origin import Origin, serving
from proxy import Refuse, proxied
from replies import large, pending, png_of, shared, status
from stores import BUCKET, moto, rclone

from batchfetch import Settings, open_batch
from batchfetch.errors import StorageError
from batchfetch.storage import FileExecutor
from batchfetch.storage.store import Bucket, StoreStorage

KILLS = int(os.environ.get("BATCHFETCH_TEST_KILLS", "40"))
STEP = 1 if KILLS >= 1000 else 23
KILLED = -signal.SIGKILL
PADDING = 3_000
TASKS = [f"task{number}" for number in range(6)]
NAMED = {task_id: f"night/page {number}" for number, task_id in enumerate(TASKS)}
REPORT = "2026-11.report.jsonl"


@pytest.fixture(scope="module")
def store():
    """
    A store with conditional writes.
    """
    with moto() as store:
        yield store


@pytest.fixture
def origin():
    """
    An origin whose images are 3 kB each.
    """
    with serving(Origin(default=large(PADDING))) as origin:
        yield origin


class Machine:
    """
    A folder on a machine, from which runs write to one prefix of *store*.
    """

    def __init__(self, store, folder, origin, prefix):
        self.store = store
        self.folder = folder
        self.origin = origin
        self.prefix = f"{prefix}/2026-11/"
        self.url = f"s3://{BUCKET}/{prefix}/2026-11"
        self.report = folder / REPORT
        self.variables = store.environment()
        folder.mkdir(exist_ok=True)

    def argv(self, names, *options):
        """
        Return the command's arguments, to fetch tasks under their *names*.
        """
        manifest = self.folder / "manifest.csv"
        rows = [f"{task},{name}" for task, name in names.items()]
        manifest.write_text("\n".join(["id,name", *rows, ""]))
        return [
            *("fetch", str(manifest), "-o", self.url, "--concurrency", "3"),
            *("--base-url", self.origin.base_url, *options),
        ]

    def run(self, names, *options, **variables):
        """
        Run the command to its end.
        """
        env = {**self.variables, **variables}
        return run(*self.argv(names, *options), env=env, cwd=self.folder)

    def images(self):
        """
        Return what is in the prefix.
        """
        return self.store.images(self.prefix)


@pytest.fixture
def prefix(tmp_path):
    """
    A part of a prefix of the test's own.
    """
    return f"{tmp_path.parent.name}/{tmp_path.name}"


@pytest.fixture
def machine(store, tmp_path, origin, prefix):
    """
    A machine that has not run anything yet.
    """
    return Machine(store, tmp_path / "machine", origin, prefix)


@pytest.fixture
def other(store, tmp_path, origin, prefix):
    """
    Another machine with the same output.
    """
    return Machine(store, tmp_path / "other", origin, prefix)


def ids(*tasks):
    """
    Return tasks that are named by their ids.
    """
    return dict.fromkeys(tasks, "")


def test_images_and_a_report_here(machine):
    """
    Images go to the store, the report to the working directory; a second run has nothing to do.
    """
    names = {**NAMED, **ids("a", "b")}
    assert machine.run(names).code == 0
    expected = {name or task: png_of(task, PADDING) for task, name in names.items()}
    assert machine.images() == expected
    assert {line["path"] for line in read_report(machine.report)} == {f"{n}.png" for n in expected}
    (segment,) = machine.store.own(machine.prefix)
    assert machine.store.get(machine.prefix + segment) == machine.report.read_bytes()
    machine.origin.forget()
    again = machine.run(names, "--json")
    assert (again.code, again.summary["already"]) == (0, 8)
    assert machine.origin.calls == []
    assert machine.store.own(machine.prefix) == [segment]


def test_a_store_without_conditional_writes(tmp_path, origin, prefix):
    """
    Everything but the lock works there, too.
    """
    (tmp_path / "rclone").mkdir()
    with rclone(tmp_path / "rclone") as store:
        machine = Machine(store, tmp_path / "machine", origin, prefix)
        finished = machine.run(NAMED)
        assert finished.code == 0
        assert "cannot be locked" in finished.stderr
        assert machine.images() == {name: png_of(task, PADDING) for task, name in NAMED.items()}
        machine.report.unlink()
        machine.origin.forget()
        assert machine.run(NAMED).code == 0
        assert machine.origin.calls == []


def test_an_image_that_is_gone_is_fetched_again(machine):
    """
    What the report calls Completed and the store has lost is fetched once more.
    """
    assert machine.run(ids("a", "b")).code == 0
    machine.store.client.delete_object(Bucket=BUCKET, Key=f"{machine.prefix}a.png")
    machine.origin.forget()
    assert machine.run(ids("a", "b")).code == 0
    assert [call.task_id for call in machine.origin.calls] == ["a"]
    assert machine.images() == expected_images(["a", "b"], PADDING)


def test_another_machine_goes_on(machine, other):
    """
    A machine that is lost takes nothing with it: what it decided is known from the store.
    """
    machine.origin.script["gone"] = [status(404)]
    machine.origin.script["late"] = [pending]
    names = {**NAMED, **ids("gone", "late")}
    first = machine.run(names, "--patience", "10ms")
    assert first.code == 3
    assert f"what to do: batchfetch report {REPORT}\n" in first.stderr
    assert run("report", REPORT, env=machine.variables, cwd=machine.folder).code == 0
    machine.origin.forget()
    planned = other.run(names, "--dry-run", "--json", "--retry", "Failed")
    assert planned.summary["already"] == 7
    assert not other.report.exists()
    finished = other.run(names, "--retry", "Invalid")
    assert machine.origin.calls == []
    assert "added 8 lines of runs elsewhere" in finished.stderr
    assert last_lines(other.report) == last_lines(machine.report)


def test_two_machines_take_turns(machine, other):
    """
    Each adds what the other has decided since; no line comes back, and none is older than one's
    own.
    """
    machine.origin.script["a"] = [status(404), large(PADDING)]
    assert machine.run(ids("a", "b")).code == 3
    assert other.run(ids("a", "b", "c")).code == 0
    assert machine.run(ids("a", "b", "c", "d")).code == 0
    machine.origin.forget()
    for each in (other, machine, other):
        assert each.run(ids("a", "b", "c", "d")).code == 0
        lines = last_lines(each.report)
        assert {line["outcome"] for line in lines.values()} == {"Completed"}
        texts = each.report.read_text().splitlines()
        assert len(texts) == len(set(texts)) == 5
    assert machine.origin.calls == []


def test_parts_on_two_machines(machine, other):
    """
    Each has its report at home, and finds the lines of the other in the store: another number of
    parts the next night, on one machine, asks nothing again, and nor does a run without parts.
    """
    names = {**NAMED, **ids("a", "b")}
    processes = [
        start(
            *each.argv(names, "--shard", shard),
            env=each.variables,
            cwd=each.folder,
        )
        for each, shard in ((machine, "1/2"), (other, "2/2"))
    ]
    assert [finish(process).code for process in processes] == [0, 0]
    assert machine.images() == {name or task: png_of(task, PADDING) for task, name in names.items()}
    reports = [
        machine.folder / "2026-11.report.1-of-2.jsonl",
        other.folder / "2026-11.report.2-of-2.jsonl",
    ]
    found = [set(last_lines(report)) for report in reports]
    assert found[0] | found[1] == {*names}
    machine.origin.forget()
    again = [machine.run(names, "--json", "--shard", f"{part}/3").summary for part in (1, 2, 3)]
    assert [summary["calls"] for summary in again] == [0, 0, 0]
    assert sum(summary["already"] for summary in again) == len(names)
    whole = machine.run(names, "--json").summary
    assert (whole["calls"], whole["already"]) == (0, len(names))
    assert machine.origin.calls == []
    # What one part has brought here, the others on this machine need not bring again.
    lines = [len(read_report(path)) for path in machine.folder.glob("2026-11.report*[0-9].jsonl")]
    assert sum(lines) <= len(names) + len(found[1])


@pytest.mark.parametrize("lost", ["segments", "torn"])
def test_notes_beside_the_report_may_be_lost(machine, other, lost):
    """
    Without the notes of what went to the store nothing is lost, and no line counts twice.
    """
    assert machine.run(NAMED).code == 0
    notes = machine.folder / "2026-11.report.segments"
    if lost == "segments":
        notes.unlink()
    else:
        notes.write_bytes(notes.read_bytes()[:-3])
    assert machine.run({**NAMED, **ids("a")}).code == 0
    assert len(read_report(machine.report)) == 7
    assert other.run({**NAMED, **ids("a")}).code == 0
    assert last_lines(other.report) == last_lines(machine.report)
    assert len(read_report(other.report)) == 7


def test_what_a_dead_run_did_not_send_is_sent(machine, other):
    """
    Lines that a killed run had written are kept in the store by the next one here.
    """
    machine.origin.script["late"] = [pending]
    process = start(
        *machine.argv({**NAMED, **ids("late")}), env=machine.variables, cwd=machine.folder
    )
    wait_until(
        lambda: machine.report.exists() and len(machine.report.read_text().splitlines()) == 6,
        process,
    )
    process.kill()
    process.communicate()
    assert [key for key in machine.store.own(machine.prefix) if "report" in key] == []
    assert machine.run(ids("a")).code == 0
    assert other.run(ids("a")).code == 0
    assert set(last_lines(other.report)) == {*TASKS, "a"}


# Whose image it is


def test_an_object_says_whose_it_is(machine, tmp_path, store, origin, prefix):
    """
    Without any report, an object that notes its task is adopted for it and for no other task.
    """
    assert machine.run({"a": "page 1", "b": "page 2"}).code == 0
    elsewhere = Machine(store, tmp_path / "elsewhere", origin, prefix)
    for segment in store.own(machine.prefix):
        store.client.delete_object(Bucket=BUCKET, Key=machine.prefix + segment)
    origin.forget()
    finished = elsewhere.run({"a": "page 1", "x": "page 2"}, "--json")
    assert finished.code == 3
    lines = last_lines(elsewhere.report)
    assert (lines["a"]["outcome"], lines["a"]["calls"]) == ("Completed", 0)
    assert lines["a"]["sha256"] == store.head(f"{machine.prefix}page 1.png")["Metadata"]["sha256"]
    assert (lines["x"]["outcome"], lines["x"]["reason"]) == ("Invalid", "bad_name")
    assert "page 2.png is the image of a task" in lines["x"]["detail"]
    assert origin.calls == []
    assert elsewhere.run({"a": "page 1", "x": "page 2"}, "--replace").code == 0
    assert machine.images() == {"page 1": png_of("a", PADDING), "page 2": png_of("x", PADDING)}


def test_an_image_whose_line_was_lost_is_not_replaced(machine, other):
    """
    The image of a task that took another's place, on a machine that was lost, is left alone.
    """
    machine.origin.script["b"] = [large(PADDING + 1)]
    assert machine.run({"a": "page 1"}).code == 0
    segments = machine.store.own(machine.prefix)
    assert other.run({"b": "page 1"}, "--replace").code == 0
    for key in set(machine.store.own(machine.prefix)) - set(segments):
        machine.store.client.delete_object(Bucket=BUCKET, Key=machine.prefix + key)
    machine.origin.forget()
    assert machine.run({"a": "page 1"}).code == 3
    assert last_lines(machine.report)["a"]["reason"] == "bad_name"
    assert machine.origin.calls == []
    assert machine.images() == {"page 1": png_of("b", PADDING + 1)}
    assert machine.run({"a": "page 1"}, "--replace").code == 0
    assert machine.images() == {"page 1": png_of("a", PADDING)}


def test_an_image_of_another_size_is_fetched_again(machine):
    """
    A task's own object that is not what the report says is replaced, or adopted if told so.
    """
    assert machine.run({"a": "page 1"}).code == 0
    key = f"{machine.prefix}page 1.png"
    machine.store.put(key, png_of("a", 7), taskid="a")
    assert machine.run({"a": "page 1"}).code == 0
    assert machine.images() == {"page 1": png_of("a", PADDING)}
    machine.store.put(key, png_of("a", 7), taskid="a")
    machine.origin.forget()
    assert machine.run({"a": "page 1"}, "--adopt").code == 0
    assert machine.origin.calls == []
    assert machine.images() == {"page 1": png_of("a", 7)}


def test_an_object_without_notes(machine):
    """
    An object that notes nothing is a task's by its name, else by --adopt; a broken one is replaced.
    """
    for name in ("a", "named"):
        machine.store.put(f"{machine.prefix}{name}.png", png_of("other"))
    machine.store.put(f"{machine.prefix}b.png", b"no image")
    assert machine.run({**ids("a", "b"), "n": "named"}).code == 3
    lines = last_lines(machine.report)
    assert (lines["a"]["calls"], lines["b"]["calls"]) == (0, 1)
    assert lines["n"]["reason"] == "bad_name"
    assert machine.run({"n": "named"}, "--adopt").code == 0
    assert machine.images() == {
        "a": png_of("other"),
        "named": png_of("other"),
        "b": png_of("b", PADDING),
    }


def test_names_that_no_key_can_have(machine):
    """
    A name that is not for images is its row's fault, and stops nothing.
    """
    assert machine.run({"a": ".batchfetch/lock", "b": ""}).code == 3
    assert last_lines(machine.report)["a"]["reason"] == "bad_name"
    assert machine.images() == expected_images(["b"], PADDING)


# One run at a time


def test_two_runs_at_once(machine, other):
    """
    A run on another machine is exit 7 while the first holds the prefix.
    """
    machine.origin.script["late"] = [pending]
    process = start(*machine.argv(ids("late")), env=machine.variables, cwd=machine.folder)
    wait_until(lambda: machine.origin.calls, process)
    second = other.run(ids("a"))
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    assert second.code == 7
    assert f"another run holds {machine.url}" in second.stderr
    assert other.run(ids("a")).code == 0


@pytest.mark.anyio
async def test_a_run_whose_lock_is_taken_ends(machine, monkeypatch):
    """
    It ends with a sentence, and what it had decided by then is in the report and its copy.
    """
    for name, text in machine.variables.items():
        monkeypatch.setenv(name, text)
    machine.origin.script["late"] = [pending]
    settings = Settings(output=machine.url, report=machine.report, base_url=machine.origin.base_url)
    lock = f"{machine.prefix}.batchfetch/lock"
    with FileExecutor() as files:
        storage = StoreStorage(Bucket(machine.url), files, renewal=0.2)
        with pytest.raises(StorageError, match="another run has taken the lock"):
            async with open_batch(["a", "late"], settings, storage=storage) as batch:
                async for _ in batch:
                    machine.store.put(lock, b'{"run": "another"}')
    assert machine.store.get(lock) == b'{"run": "another"}'
    assert machine.images() == expected_images(["a"], PADDING)
    (segment,) = [key for key in machine.store.own(machine.prefix) if "report" in key]
    assert machine.store.get(machine.prefix + segment) == machine.report.read_bytes()
    assert [line["task_id"] for line in read_report(machine.report)] == ["a"]


# Wrong from the start


@pytest.mark.parametrize(
    ("output", "options", "sentence"),
    [
        ("s3://scans/x", ("--durability", "full"), "durability full is for folders"),
        ("s3://scans/x", ("--durability", "none"), "durability none is for folders"),
        ("s3://", (), "names no bucket"),
        ("s3://key:secret@scans/x", (), "holds credentials"),
        ("s3://scans/../x", (), "has an empty, a . or a .. part"),
        ("s3://scans//x", (), "has an empty, a . or a .. part"),
        ("http://scans/x", (), "use s3://, az:// or gs://"),
        ("s3a://scans/x", (), "use s3://, az:// or gs://"),
        ("az://scans/x", (), "set AZURE_STORAGE_ACCOUNT_NAME"),
        ("s3://scans/x", ("--report", "s3://scans/r.jsonl"), "give a file of this machine"),
        ("images", ("--report", "S3://scans/r.jsonl"), "give a file of this machine"),
        ("s3://scans/x", ("--ca-file", "s3://scans/ca.pem"), "give a file of this machine"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, origin, store, output, options, sentence):
    """
    An output that no store can have is exit 2, and nothing was asked.
    """
    (tmp_path / "ids.txt").write_text("a\n")
    finished = run(
        *("fetch", "ids.txt", "-o", output, "--base-url", origin.base_url, *options),
        env=store.environment(),
        cwd=tmp_path,
    )
    assert finished.code == 2
    assert sentence in finished.stderr
    assert "secret" not in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert origin.calls == []
    assert [path.name for path in tmp_path.iterdir()] == ["ids.txt"]


def test_the_report_of_a_store(machine, other):
    """
    The URL stands for the report that runs into it have here; elsewhere a sentence says so.
    """
    assert machine.run({"a": "page 1"}).code == 0
    known = run("report", machine.url, "--json", env=machine.variables, cwd=machine.folder)
    assert json.loads(known.stdout)["tasks"] == 1
    page = run(
        "report", f"{machine.url}/", "-o", "n.html", env=machine.variables, cwd=machine.folder
    )
    assert page.code == 0
    assert f"in {machine.url}" in (machine.folder / "n.html").read_text()
    assert "not there" not in (machine.folder / "n.html").read_text()
    unknown = run("report", machine.url, env=machine.variables, cwd=other.folder)
    assert unknown.code == 2
    assert f"{REPORT}, the report of {machine.url}, is not there" in unknown.stderr
    table = run("report", REPORT, "-o", "s3://x/t.csv", env=machine.variables, cwd=machine.folder)
    assert table.code == 2
    assert "give a file of this machine" in table.stderr


def test_output_from_anywhere(machine, tmp_path):
    """
    The output's URL may come from the environment, or from a file.
    """
    _, manifest, _, _, *options = machine.argv({"a": ""})
    variables = {**machine.variables, "BATCHFETCH_OUTPUT": machine.url}
    assert run("fetch", manifest, *options, env=variables, cwd=machine.folder).code == 0
    (machine.folder / "night.toml").write_text(f'output = "{machine.url}"\n')
    machine.origin.forget()
    again = run(
        *("fetch", manifest, "--config", "night.toml", *options),
        env=machine.variables,
        cwd=machine.folder,
    )
    assert again.code == 0
    assert machine.origin.calls == []


def test_a_dry_run_touches_nothing(machine):
    """
    What a run would do is found out by reading alone, in the store and here.
    """
    machine.store.put(f"{machine.prefix}a.png", png_of("a"))
    with proxied(machine.store.url) as proxy:
        planned = machine.run(ids("a", "b"), "--dry-run", "--json", AWS_ENDPOINT_URL=proxy.url)
    assert (planned.summary["adopted"], planned.summary["to_fetch"]) == (1, 1)
    assert {each.method for each in proxy.requests} <= {"GET", "HEAD"}
    assert machine.store.own(machine.prefix) == []
    assert [path.name for path in machine.folder.iterdir()] == ["manifest.csv"]
    assert machine.origin.calls == []


def test_outputs_within_each_other(machine, store, tmp_path, origin, prefix):
    """
    A prefix and one below it are held by two runs at once, and neither touches the other's own.
    """
    inner = Machine(store, tmp_path / "inner", origin, f"{prefix}/2026-11/ward7")
    inner.url, inner.prefix = f"{machine.url}/ward7", f"{machine.prefix}ward7/"
    origin.script["late"] = [pending]
    process = start(*inner.argv(ids("late")), env=inner.variables, cwd=inner.folder)
    wait_until(lambda: origin.calls, process)
    before = store.own(inner.prefix)
    assert machine.run({"a": "", "b": "ward7/b", "x": "ward7/.batchfetch/report/x"}).code == 3
    assert last_lines(machine.report)["x"]["reason"] == "bad_name"
    assert store.own(inner.prefix) == before
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    assert machine.images() == {**expected_images(["a"], PADDING), "ward7/b": png_of("b", PADDING)}


def test_without_the_extra(tmp_path, origin, store):
    """
    Where obstore is not installed, the sentence says what to install; a folder needs none of it.
    """
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "obstore.py").write_text(
        'raise ModuleNotFoundError("No module named \'obstore\'", name="obstore")\n'
    )
    (tmp_path / "ids.txt").write_text("a\n")
    env = store.environment(PYTHONPATH=f"{missing}:{ROOT}")
    argv = ("fetch", "ids.txt", "--base-url", origin.base_url, "-o")
    finished = run(*argv, "s3://scans/x", env=env, cwd=tmp_path)
    assert finished.code == 2
    assert "needs the extra store; install it with pip install 'batchfetch[store]'" in (
        finished.stderr
    )
    assert run(*argv, "images", env=env, cwd=tmp_path).code == 0


def test_a_folder_imports_no_store(tmp_path):
    """
    A run into a folder does not pay for what it does not use.
    """
    code = (
        "import sys; from batchfetch.cli.main import main; "
        "main(['fetch', 'ids.txt', '--sandbox']); sys.exit('obstore' in sys.modules)"
    )
    (tmp_path / "ids.txt").write_text("a\n")
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ({}, "there is no bucket nowhere"),
    ],
)
def test_a_store_that_is_not_there(tmp_path, origin, store, variables, sentence):
    """
    No bucket and no store at all are exit 6, before anything is asked.
    """
    (tmp_path / "ids.txt").write_text("a\n")
    finished = run(
        *("fetch", "ids.txt", "-o", "s3://nowhere/x", "--base-url", origin.base_url),
        env=store.environment(**variables),
        cwd=tmp_path,
    )
    assert finished.code == 6
    assert sentence in finished.stderr
    assert origin.calls == []


# Trouble on the way


def test_a_store_that_slows_down_fails_no_task(machine):
    """
    A third of all requests refused is sat out; every task is Completed with one call.
    """
    counter = itertools.count()
    with proxied(machine.store.url) as proxy:
        proxy.hinder = lambda _: Refuse(503, "SlowDown") if next(counter) % 3 == 2 else None
        finished = machine.run(NAMED, "--json", AWS_ENDPOINT_URL=proxy.url)
    assert (finished.code, finished.summary["calls"]) == (0, 6)
    assert machine.images() == {name: png_of(task, PADDING) for task, name in NAMED.items()}


def test_a_store_that_begins_to_refuse_ends_the_run(machine):
    """
    Credentials that are taken back are exit 6 with a sentence; the next run does the rest.
    """
    with proxied(machine.store.url) as proxy:
        proxy.hinder = lambda request: (
            Refuse(403, "AccessDenied") if request.path.endswith(".png") else None
        )
        finished = machine.run(NAMED, AWS_ENDPOINT_URL=proxy.url)
    assert finished.code == 6
    assert "the store refuses access to" in finished.stderr
    assert machine.images() == {}
    assert machine.run(NAMED).code == 0


# Memory


@pytest.mark.slow
@pytest.mark.parametrize(("count", "padding"), [(40, 100_000_000), (100, 7_000_000)])
def test_large_images_in_bounded_memory(tmp_path, prefix, count, padding):
    """
    Images of 100 MB, and those that just go in one request, take less than 200 MB all together.
    """
    (tmp_path / "rclone").mkdir()
    (tmp_path / "ids.txt").write_text("".join(f"t{number}\n" for number in range(count)))
    image = png_of("x", padding)
    with (
        rclone(tmp_path / "rclone") as store,
        serving(Origin(default=shared(image))) as origin,
    ):
        code, memory = run_measured(
            *("fetch", tmp_path / "ids.txt", "-o", f"s3://{BUCKET}/x", "--concurrency", "32"),
            *("--report", tmp_path / "report.jsonl", "--base-url", origin.base_url),
            env=store.environment(),
            limit=500,
        )
        assert code == 0
        assert len(store.keys("x/")) == count
        assert {store.head(f"x/{key}")["ContentLength"] for key in store.keys("x/")} == {len(image)}
        assert store.get("x/t0.png") == image
    shutil.rmtree(tmp_path / "rclone")  # Gigabytes, which pytest would keep for three runs.
    assert memory < 200_000_000


# Killed


@pytest.fixture(scope="module")
def driver():
    """
    The process whose forks are killed.
    """
    with CrashDriver() as driver:
        yield driver


def order(driver, machine, names, **kill):
    """
    Run the command, killed as *kill* says, and return how it ended.
    """
    argv = [*machine.argv(names), "--report", str(machine.report)]
    return driver.run(argv, environment=machine.store.variables, **kill)


@pytest.mark.slow
@pytest.mark.timeout(0)  # Every command has a limit.
@pytest.mark.parametrize("names", [ids(*TASKS), NAMED], ids=["ids", "names"])
def test_killed_before_any_line_that_writes(driver, store, tmp_path, origin, prefix, names):
    """
    There is no line of the modules that write before which a death does harm: images are whole,
    what was stored is not asked for again, and the lock holds nothing up.
    """
    expected = {name or task: png_of(task, PADDING) for task, name in names.items()}
    tasks = {name or task: task for task, name in names.items()}
    for number in itertools.count(1, STEP):
        machine = Machine(store, tmp_path / str(number), origin, f"{prefix}/{number}")
        origin.forget()
        how = order(driver, machine, names, before_line=number)
        wait_for_stragglers(origin)
        there = machine.images()
        assert there == {name: expected[name] for name in there}
        settled = {tasks[name] for name in there}
        asked = {task: origin.calls_of(task) for task in TASKS}
        assert order(driver, machine, names) == 0
        assert machine.images() == expected
        assert sorted(line["task_id"] for line in read_report(machine.report)) == TASKS
        again = {task for task in TASKS if origin.calls_of(task) > asked[task]}
        # An object may have come after we looked: its request was on its way when the run died.
        assert again <= set(TASKS) - settled
        assert [key for key in store.own(machine.prefix) if key.endswith("lock")] == []
        if how != KILLED:
            break
    assert how == 0
    assert number > 100, "the trap saw hardly a line: does it know the modules that write?"
