"""
Killed at any moment, a submission loses nothing, and sends nothing twice.

`BATCHFETCH_TEST_KILLS=1000` kills before every single line that writes.
"""

import itertools
import os
import signal
from math import inf

import pytest
from command import run, start, wait_until
from crashes import CrashDriver, wait_for_stragglers
from receiver import Receiver, receiving
from submitting import images_at, lines_of, open_intents, results_of

KILLS = int(os.environ.get("BATCHFETCH_TEST_KILLS", "40"))
STEP = 1 if KILLS >= 1000 else 17
KILLED = -signal.SIGKILL
IMAGES = 6
IN_FLIGHT = 3

POINTS = [
    pytest.param(text, passage, id=f"{name}, time {passage}")
    for name, text, passages in [
        ("before an intent", "intent = new_intent()", (1, 4)),
        ("after an intent", "body = ImageBody(", (1, 4)),
        ("while a report line is written", "written += os.write(", (1, 4, 9)),
        ("after a sync", "os.fsync(file)", (1, 4, 9)),
        ("after the body was handed over", "self.is_handed_over = True", (1, 4)),
        ("after an answer", "self._pace.answered()", (1, 4, 6)),
        ("between result and manifest", "self._count(result)", (1, 4, 6)),
        ("while the manifest is written", "rest = rest[os.write(", (1, 4, 6)),
        ("at the end", "Checkpoint(", (1,)),
    ]
    for passage in passages
]


class Runs:
    """
    One folder of images, one receiver, and the command that is run on them until it is through.
    """

    def __init__(self, driver, receiver, folder) -> None:
        self.driver = driver
        self.receiver = receiver
        receiver.submitted.clear()
        self.hashes = images_at(folder / "scans", IMAGES)
        self.manifest = folder / "manifest.jsonl"
        self.report = folder / "manifest.report.jsonl"
        self.argv = [
            *("submit", str(folder / "scans"), "-o", str(self.manifest)),
            *("--base-url", receiver.base_url, "--concurrency", str(IN_FLIGHT)),
        ]

    def run(self, *options, **kill):
        """
        Run the command, killed as *kill* says, and return how it ended.
        """
        return self.driver.run([*self.argv, *options], **kill)

    def check(self):
        """
        Say what must hold at any moment; return the hashes that are certain, and the uncertain.
        """
        wait_for_stragglers(self.receiver)
        arrived = self.receiver.images
        assert set(arrived.values()) <= {1}, "no image is sent twice"
        accepted = {r["source_sha256"] for r in results_of(self.report) if r["task_id"]}
        uncertain = {r["source_sha256"] for r in results_of(self.report) if not r["task_id"]}
        in_flight = {intent["source_sha256"] for intent in open_intents(self.report)}
        assert len(uncertain | in_flight) <= IN_FLIGHT
        # What the service counts is what is certain, and at most what was in flight.
        assert accepted <= arrived.keys() <= accepted | uncertain | in_flight
        ids = {each.task_id for each in self.receiver.submitted}
        written = [line["task_id"] for line in lines_of(self.manifest)]
        assert len(written) == len(set(written))
        assert set(written) <= ids
        return accepted, uncertain

    def kill_and_resume(self, **kill):
        """
        Kill a run, look at what is left, and let others do the rest; return how the first ended.
        """
        how = self.run(**kill)
        self.check()
        died = {intent["source_sha256"] for intent in open_intents(self.report)}
        assert self.run() == (3 if died else 0)
        accepted, uncertain = self.check()
        assert uncertain == died
        assert accepted | uncertain == set(self.hashes.values())
        self.check_manifest(accepted)
        # A third run sends nothing, and changes nothing but what it says of the uncertain.
        posts = self.receiver.posts
        assert self.run() == (3 if died else 0)
        assert self.receiver.posts == posts
        self.check_manifest(accepted)
        return how

    def check_manifest(self, accepted):
        """
        Every image that is known to be accepted has one line, which says what it is.
        """
        lines = lines_of(self.manifest)
        given = {each.task_id: each.sha256 for each in self.receiver.submitted}
        assert sorted(line["source_sha256"] for line in lines) == sorted(accepted)
        for line in lines:
            assert given[line["task_id"]] == line["source_sha256"] == self.hashes[line["name"]]


@pytest.fixture(scope="module")
def driver():
    """
    The process whose forks are killed.
    """
    with CrashDriver() as driver:
        yield driver


@pytest.fixture(scope="module")
def receiver():
    """
    A service that takes every image.
    """
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture
def runs(driver, receiver, tmp_path):
    """
    A fresh folder.
    """
    return Runs(driver, receiver, tmp_path)


@pytest.mark.parametrize(("text", "passage"), POINTS)
def test_killed_at_a_chosen_point(runs, text, passage):
    """
    Killed right after a step of the first, a middle or the last image, nothing is sent twice.
    """
    assert runs.kill_and_resume(after=text, passage=passage) == KILLED


@pytest.mark.slow
@pytest.mark.timeout(0)  # Every command has a limit.
def test_killed_before_any_line_that_writes(driver, receiver, tmp_path):
    """
    There is no line of the modules that write before which a death does harm.
    """
    for number in itertools.count(1, STEP):
        folder = tmp_path / str(number)
        folder.mkdir()
        if Runs(driver, receiver, folder).kill_and_resume(before_line=number) != KILLED:
            break
    else:
        pytest.fail("the run never came to its end")
    assert number > 300, "the trap saw hardly a line: does it know the modules that write?"


def test_killed_again_and_again(runs):
    """
    A run that is killed whenever it has done a little comes to its end all the same.
    """
    for _ in range(10):
        how = runs.run("--retry", "Uncertain", after="self._count(result)", passage=2)
        if how != KILLED:
            break
    assert how == 0
    assert len(lines_of(runs.manifest)) == len(runs.hashes)


def test_killed_process_of_the_real_command(receiver, tmp_path):
    """
    The same, without any driver: `python -m batchfetch`, killed while answers are awaited.
    """
    runs = Runs(None, receiver, tmp_path)
    receiver.answers = 0
    try:
        posts = receiver.posts
        process = start(*runs.argv)
        wait_until(lambda: receiver.posts == posts + IN_FLIGHT, process)
        process.kill()
        process.communicate()
    finally:
        receiver.answers = inf
    wait_until(lambda: len(receiver.submitted) == IN_FLIGHT)
    finished = run(*runs.argv, "--json")
    assert finished.code == 3
    assert finished.summary["outcomes"] == {"Submitted": 3, "Uncertain": 3}
    assert (
        "on their way when an earlier run ended, and may have been accepted: 3\n" in finished.stderr
    )
    accepted, uncertain = runs.check()
    assert (len(accepted), len(uncertain)) == (3, 3)


@pytest.mark.parametrize("size", [300, 1500, 2500, 4000])
def test_a_report_that_has_no_room(receiver, tmp_path, size):
    """
    Without room for an intent nothing is sent; without room for a result the image is uncertain.
    """
    runs = Runs(None, receiver, tmp_path)
    finished = run(*runs.argv, prefix=["prlimit", f"--fsize={size}"])
    assert finished.code == 6
    assert "allow larger files" in finished.stderr
    text = runs.report.read_text()
    runs.report.write_text(text[: text.rfind("\n") + 1])  # Which the next run does as well.
    runs.check()
    runs.report.write_text(text)
    died = {intent["source_sha256"] for intent in open_intents(runs.report)}
    assert run(*runs.argv).code == (3 if died else 0)
    accepted, uncertain = runs.check()
    assert uncertain == died
    assert accepted | uncertain == set(runs.hashes.values())
    runs.check_manifest(accepted)


@pytest.mark.parametrize("cut", [1, 30, 150])
@pytest.mark.parametrize("which", ["manifest", "report"])
def test_torn_last_lines(runs, cut, which):
    """
    A line that a power cut tore is repaired; no image is sent for it.
    """
    assert runs.run() == 0
    path = getattr(runs, which)
    # Without its last line, the checkpoint, which is written when the manifest is synced.
    lines = runs.report.read_bytes().splitlines(keepends=True)
    assert b"checkpoint" in lines[-1]
    runs.report.write_bytes(b"".join(lines[:-1]))
    path.write_bytes(path.read_bytes()[:-cut])
    posts = runs.receiver.posts
    code = runs.run()
    assert runs.receiver.posts == posts
    # Of a result that is gone the intent is left; one that lacks its end alone is whole.
    assert code == (3 if which == "report" and cut > 1 else 0)
    assert len(lines_of(runs.manifest)) == IMAGES
