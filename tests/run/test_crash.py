"""
Killed at any moment, the run loses nothing, invents nothing, and asks nothing twice in vain.

`BATCHFETCH_TEST_KILLS=1000` kills as often at random, and before every single line that writes.
"""

import itertools
import json
import os
import random
import signal
import time

import pytest
from command import (
    expected_images,
    images_in,
    manifest_of,
    parts_in,
    read_report,
    run,
    start,
    wait_until,
)
from crashes import CrashDriver, wait_for_stragglers
from origin import Origin, serving
from replies import large, png_of

KILLS = int(os.environ.get("BATCHFETCH_TEST_KILLS", "40"))
STEP = 1 if KILLS >= 1000 else 11
KILLED = -signal.SIGKILL
WITHOUT_LIMIT = pytest.mark.timeout(0)  # Every command has one.
TASKS = [f"task{number}" for number in range(6)]
PADDING = 3_000
# What the images are called by a manifest that names them, and where that is by their tasks' ids.
NAMED = {task_id: f"night/page {number}" for number, task_id in enumerate(TASKS)}
UNNAMED = {task_id: task_id for task_id in TASKS}
IMAGES = expected_images(TASKS, PADDING)

POINTS = [
    pytest.param(text, passage, id=f"{name}, time {passage}")
    for name, text, passages in [
        ("after write", "os.writev(", (1, 3, 6)),
        ("after fsync", "os.fsync(", (1, 3, 6)),
        ("after rename", "os.replace(", (1, 3, 6)),
        ("before the report line", "map(encode, outcomes)", (1, 2)),
        ("while the report line is written", "written += os.write(", (1, 2)),
    ]
    for passage in passages
]


class Runs:
    """
    One output, one origin, and the command that is run on them until it is through.
    """

    def __init__(self, driver, origin, folder, names=UNNAMED) -> None:
        self.driver = driver
        self.origin = origin
        self.names = names
        self.images = {name: IMAGES[task_id] for task_id, name in names.items()}
        self.tasks = {name: task_id for task_id, name in names.items()}
        self.out = folder / "out"
        self.report = self.out / "report.jsonl"
        manifest = folder / "manifest.csv"
        manifest.write_text("\n".join(["id,name", *(f"{i},{n}" for i, n in names.items()), ""]))
        if names is UNNAMED:
            manifest = manifest_of(folder, TASKS)
        self.argv = [
            *("fetch", str(manifest), "-o", str(self.out)),
            *("--base-url", origin.base_url, "--concurrency", "3"),
        ]

    def run(self, *options, **kill):
        """
        Run the command, killed as *kill* says, and return how it ended.
        """
        return self.driver.run([*self.argv, *options], **kill)

    def check_after_kill(self):
        """
        Say what must hold at any moment; return the tasks that are settled.
        """
        images = images_in(self.out)
        assert images == {name: self.images[name] for name in images}
        text = self.report.read_text() if self.report.exists() else ""
        whole = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        assert {line["outcome"] for line in whole} <= {"Completed"}
        settled = {self.tasks[name] for name in images}
        assert {line["task_id"] for line in whole} <= settled
        return settled

    def check_end(self):
        """
        Say what must hold once a run came to its end.
        """
        assert images_in(self.out) == self.images
        assert parts_in(self.out) == []
        assert sorted(line["task_id"] for line in read_report(self.report)) == TASKS

    def kill_and_resume(self, **kill):
        """
        Kill a run, look at what is left, and let another do the rest; return how the first ended.
        """
        self.origin.forget()
        how = self.run(**kill)
        wait_for_stragglers(self.origin)
        settled = self.check_after_kill()
        asked = {task_id: self.origin.calls_of(task_id) for task_id in TASKS}
        assert self.run() == 0
        self.check_end()
        again = {task_id: self.origin.calls_of(task_id) - asked[task_id] for task_id in TASKS}
        assert again == {task_id: int(task_id not in settled) for task_id in TASKS}
        unsettled = [t for t in TASKS if asked[t] and t not in settled]
        assert len(unsettled) <= 3, "only tasks in flight are fetched again"
        return how


@pytest.fixture(scope="module")
def driver():
    """
    The process whose forks are killed.
    """
    with CrashDriver() as driver:
        yield driver


@pytest.fixture(scope="module")
def origin():
    """
    An origin whose images are 3 kB each.
    """
    with serving(Origin(default=large(PADDING))) as origin:
        yield origin


BOTH = pytest.mark.parametrize(
    "names", [pytest.param(UNNAMED, id="ids"), pytest.param(NAMED, id="names")]
)


@pytest.fixture
def runs(driver, origin, tmp_path, names):
    """
    A fresh output.
    """
    return Runs(driver, origin, tmp_path, names)


@BOTH
@pytest.mark.parametrize(("text", "passage"), POINTS)
def test_killed_at_a_chosen_point(runs, text, passage):
    """
    Killed right after a step of the first, a middle or the last image, the next run does the rest.
    """
    assert runs.kill_and_resume(after=text, passage=passage) == KILLED


@pytest.mark.slow
@WITHOUT_LIMIT
@BOTH
def test_killed_before_any_line_that_writes(driver, origin, tmp_path, names):
    """
    There is no line of the modules that write before which a death does harm.
    """
    for number in itertools.count(1, STEP):
        folder = tmp_path / str(number)
        folder.mkdir()
        if Runs(driver, origin, folder, names).kill_and_resume(before_line=number) != KILLED:
            break
    else:
        pytest.fail("the run never came to its end")
    assert number > 100, "the trap saw hardly a line: does it know the modules that write?"


@pytest.mark.slow
@WITHOUT_LIMIT
@BOTH
def test_killed_at_random(driver, origin, tmp_path, names):
    """
    Killed at moments nobody chose, as often as asked for, the outcome is the same.
    """
    started = time.monotonic()
    calm = tmp_path / "calm"
    calm.mkdir()
    assert Runs(driver, origin, calm, names).run() == 0
    lasted = time.monotonic() - started
    chance = random.Random(7)
    killed = 0
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        seconds = chance.uniform(0, lasted)
        how = Runs(driver, origin, folder, names).kill_and_resume(seconds=seconds)
        if how != KILLED:  # A run takes less time by now: the machine has less to do.
            lasted *= 0.9
        killed += how == KILLED
        if killed == KILLS:
            break


def test_killed_process_of_the_real_command(origin, tmp_path):
    """
    The same, without any driver: `python -m batchfetch`, killed as it gets on.
    """
    runs = Runs(None, origin, tmp_path)
    origin.forget()
    for progress in (1, 3, 5):
        process = start(*runs.argv)
        wait_until(lambda: len(origin.calls) >= progress, process)  # noqa: B023 - waited for right here
        process.kill()
        process.communicate()
        runs.check_after_kill()
    assert run(*runs.argv).code == 0
    runs.check_end()


@BOTH
def test_killed_again_and_again_on_one_output(runs):
    """
    A run that is killed whenever it has done a little comes to its end all the same.
    """
    for attempt in itertools.count(1):
        how = runs.run(after="os.replace(", passage=2)
        settled = runs.check_after_kill()
        assert len(settled) >= min(2 * attempt, len(TASKS))
        if how == 0:
            break
        assert how == KILLED
    runs.check_end()


@pytest.mark.parametrize("names", [UNNAMED], ids=["ids"])
def test_torn_last_line_loses_nothing(runs):
    """
    A report that a power cut left without its end is repaired; the image it was about is adopted.
    """
    assert runs.run() == 0
    for cut in (1, 2, 30, 200):
        text = runs.report.read_bytes()
        runs.report.write_bytes(text[:-cut])
        runs.origin.forget()
        assert runs.run() == 0
        assert runs.origin.calls == []
        lines = read_report(runs.report)
        assert {line["task_id"] for line in lines} == set(TASKS)
        assert images_in(runs.out) == IMAGES


@pytest.mark.parametrize("names", [NAMED], ids=["names"])
@pytest.mark.parametrize("cut", [1, 30, 200])
def test_line_torn_by_a_power_cut_loses_no_named_image(runs, cut):
    """
    Until the report is synced, an image's claim outlives its line: the image is adopted.
    """
    assert runs.run(after="map(encode, outcomes)", passage=2) == KILLED
    text = runs.report.read_bytes()
    whole = len(read_report(runs.report))
    runs.report.write_bytes(text[:-cut])
    wait_for_stragglers(runs.origin)
    settled = runs.check_after_kill()
    assert len(settled) >= whole
    runs.origin.forget()
    assert runs.run() == 0
    assert {task for task in TASKS if runs.origin.calls_of(task)} == set(TASKS) - settled
    runs.check_end()


@pytest.mark.parametrize("names", [NAMED], ids=["names"])
@pytest.mark.parametrize(
    ("text", "passage"),
    [
        *(("os.close(os.open(claim", passage) for passage in (1, 3, 6)),
        *(("os.replace(", passage) for passage in (1, 3, 6)),
        *(("map(encode, outcomes)", passage) for passage in (1, 2)),
    ],
)
def test_killed_while_one_image_takes_the_place_of_another(runs, tmp_path, text, passage):
    """
    Killed while it replaces images, a run leaves each under the name of the one or the other task,
    and no run takes one for the other's.
    """
    assert runs.run() == 0
    others = {f"other{number}": name for number, name in enumerate(NAMED.values())}
    images = {name: png_of(task_id, PADDING) for task_id, name in others.items()}
    manifest = tmp_path / "others.csv"
    manifest.write_text("\n".join(["id,name", *(f"{i},{n}" for i, n in others.items()), ""]))
    mine, theirs = runs.argv, [str(manifest) if "manifest" in w else w for w in runs.argv]
    runs.argv = theirs
    assert runs.run("--replace", after=text, passage=passage) == KILLED
    wait_for_stragglers(runs.origin)
    there = images_in(runs.out)
    replaced = {name for name, image in there.items() if image == images[name]}
    assert there == {n: images[n] if n in replaced else runs.images[n] for n in there}
    runs.argv = mine
    runs.origin.forget()
    # The first night's tasks keep what is theirs, and take nothing else.
    assert runs.run() == (3 if replaced else 0)
    assert images_in(runs.out) == there
    assert runs.origin.calls == []
    # The second night's take the rest, and ask for that only.
    runs.argv = theirs
    assert runs.run("--replace") == 0
    assert images_in(runs.out) == images
    asked = {call.task_id for call in runs.origin.calls}
    assert asked == {task for task, name in others.items() if name not in replaced}
    assert parts_in(runs.out) == []


class Damaged:
    """
    An output whose report ends in the middle, as a power cut leaves it: the images are all there.
    """

    def __init__(self, runs, torn) -> None:
        self.runs = runs
        assert runs.run() == 0
        lines = runs.report.read_bytes().splitlines(keepends=True)
        self.report = b"".join(lines[:2]) + lines[2][:-torn]

    def renew(self):
        """
        Put it back into that state.
        """
        self.runs.report.write_bytes(self.report)
        self.runs.origin.forget()

    def check_end(self):
        """
        Nothing was asked, and each task has one line, which the earlier runs wrote or an adoption.
        """
        assert self.runs.origin.calls == []
        self.runs.check_end()
        adopted = [line for line in read_report(self.runs.report) if not line["calls"]]
        assert len(adopted) >= len(TASKS) - 3


@BOTH
@pytest.mark.parametrize("torn", [1, 30])
@pytest.mark.parametrize(
    "text",
    ["is_torn(tail)", "os.ftruncate(file, start)", 'os.write(file, b"\\n")', "encode, outcomes"],
)
def test_killed_while_it_repairs_or_adopts(runs, torn, text):
    """
    Killed at a step of the repair or of an adoption, the next run does the rest, and asks nothing.
    """
    damaged = Damaged(runs, torn)
    damaged.renew()
    cuts = torn > 1
    passes = {"os.ftruncate(file, start)": cuts, 'os.write(file, b"\\n")': not cuts}.get(text, True)
    assert runs.run("--adopt", after=text) == (KILLED if passes else 0)
    runs.check_after_kill()
    assert runs.run("--adopt") == 0
    damaged.check_end()


@pytest.mark.slow
@WITHOUT_LIMIT
@BOTH
def test_killed_before_any_line_of_a_repair(runs):
    """
    There is no line before which a death does harm to a run that repairs its report and adopts.
    """
    damaged = Damaged(runs, 30)
    for number in itertools.count(1, STEP if STEP == 1 else 5 * STEP):
        damaged.renew()
        how = runs.run("--adopt", before_line=number)
        runs.check_after_kill()
        assert runs.run("--adopt") == 0
        damaged.check_end()
        if how != KILLED:
            break
    assert number > 100


class Handed(Runs):
    """
    An output whose run was killed as one shard, and whose next run is without shards.
    """

    def check_after_kill(self):
        """
        See `Runs.check_after_kill`; the shard's report is never repaired.
        """
        images = images_in(self.out)
        assert images == {name: self.images[name] for name in images}
        return {self.tasks[name] for name in images}

    def check_end(self):
        """
        Say what must hold at the end: each task has a line in the one report or in the other.
        """
        assert images_in(self.out) == self.images
        assert parts_in(self.out) == []
        shard = self.out / "report.1-of-1.jsonl"
        text = shard.read_text() if shard.exists() else ""
        whole = [line for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        lines = [json.loads(line) for line in whole] + read_report(self.report)
        assert {line["outcome"] for line in lines} == {"Completed"}
        assert sorted(line["task_id"] for line in lines) == TASKS


@pytest.mark.slow
@WITHOUT_LIMIT
def test_a_shard_killed_before_any_line_that_writes(driver, origin, tmp_path):
    """
    A run without shards knows whose the images are that it leaves, claimed ones too, and asks only
    about the tasks that have none; a torn line in the shard's report does no harm.
    """
    for number in itertools.count(1, STEP):
        folder = tmp_path / str(number)
        folder.mkdir()
        handed = Handed(driver, origin, folder, NAMED)
        origin.forget()
        killed = handed.run("--shard", "1/1", before_line=number) == KILLED
        wait_for_stragglers(handed.origin)
        settled = handed.check_after_kill()
        origin.forget()
        assert handed.run() == 0
        assert not settled & {call.task_id for call in origin.calls}
        if not killed:
            break
        handed.check_end()
    else:
        pytest.fail("the run never came to its end")
    assert number > 100, "the trap saw hardly a line: does it know the modules that write?"
