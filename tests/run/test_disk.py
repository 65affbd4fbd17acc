"""
Disks that are full, small, read-only, forbidden or gone, and a machine short of descriptors.
"""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import replies
from command import (
    expected_images,
    finish,
    images_in,
    last_lines,
    manifest_of,
    parts_in,
    read_report,
    run,
    start,
    wait_until,
)
from origin import Origin, serving
from privileges import unprivileged
from replies import large

PADDING = 20_000
TASKS = [f"task{number}" for number in range(40)]
IMAGES = expected_images(TASKS, PADDING)


def limited(resource, amount):
    """
    Return the words that start a command with a limit of the shell's `ulimit`.
    """
    # Coverage would write files of its own, larger than allowed, and complain of it.
    return [
        "sh",
        "-c",
        f'unset COVERAGE_PROCESS_CONFIG; ulimit -{resource} {amount}; exec "$@"',
        "sh",
    ]


class Disk:
    """
    A small real filesystem.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, options: str) -> bool:
        """
        Mount it, or say that we may not.
        """
        words = ["mount", "-t", "tmpfs", "-o", options, "batchfetch-test", self.folder]
        return os.geteuid() == 0 and subprocess.run(words, check=False).returncode == 0

    def remount(self, options: str) -> None:
        """
        Change its size, or whether it may be written.
        """
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    """
    A filesystem of 256 KiB, which has room for a quarter of the images.
    """
    disk = Disk(tmp_path / "disk")
    disk.folder.mkdir()
    if not disk.mount("size=256k"):
        pytest.skip("mounting a small filesystem takes root and the right to mount")
    yield disk
    subprocess.run(["umount", "--lazy", disk.folder], check=True)


@pytest.fixture
def origin():
    """
    An origin whose images are 20 kB each.
    """
    with serving(Origin(default=large(PADDING))) as origin:
        yield origin


@pytest.fixture
def fetch(tmp_path, origin):
    """
    Fetch `TASKS` into a folder with the real command.
    """

    def fetch(output, *options, **how):
        return run(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", output, "--json", *options),
            *("--base-url", origin.base_url, "--concurrency", 4),
            **how,
        )

    return fetch


def assert_stopped_by_the_disk(finished):
    """
    Exit 6, a summary that says so, and one plain sentence.
    """
    assert finished.code == 6, finished.stderr
    assert finished.summary["stopped_by"] == "storage"
    assert "Traceback" not in finished.stderr
    assert finished.stderr.count("batchfetch: ") <= 1
    assert (
        "exit code 6: stopped because the images or the report cannot be written; "
        f"{finished.summary['left']} task" in finished.stderr
    )


def assert_whole(output, report):
    """
    Everything under an image's name is right, and everything reported is there, once.
    """
    images = images_in(output)
    assert images == {task_id: IMAGES[task_id] for task_id in images}
    lines = last_lines(report)
    assert {line["outcome"] for line in lines.values()} <= {"Completed"}
    assert set(lines) == set(images)
    assert len(lines) == len(read_report(report))
    assert parts_in(output) == []


def test_full_disk_stops_the_run_and_room_lets_it_finish(fetch, disk, origin):
    """
    What is on the disk is whole and reported; with more room the rest follows, nothing twice.
    """
    full = fetch(disk.folder)
    report = disk.folder / "report.jsonl"
    assert_stopped_by_the_disk(full)
    assert_whole(disk.folder, report)
    assert 0 < len(images_in(disk.folder)) < len(TASKS)

    had = set(images_in(disk.folder))
    disk.remount("size=4m")
    origin.calls.clear()
    roomy = fetch(disk.folder)
    assert roomy.code == 0
    assert images_in(disk.folder) == IMAGES
    assert {call.task_id for call in origin.calls} == set(TASKS) - had
    assert_whole(disk.folder, report)


def test_full_disk_under_the_report_stops_at_once(fetch, disk, tmp_path, origin):
    """
    An outcome that cannot be recorded stops the run; the images already in place are adopted later.
    """
    report = disk.folder / "report.jsonl"
    filler = disk.folder / "filler"
    filler.write_bytes(bytes(252 * 1024))
    full = fetch(tmp_path / "out", "--report", report)
    assert_stopped_by_the_disk(full)
    assert "report" in full.stderr
    had = images_in(tmp_path / "out")
    assert len(had) < len(TASKS)

    filler.unlink()
    origin.calls.clear()
    roomy = fetch(tmp_path / "out", "--report", report)
    assert roomy.code == 0
    assert images_in(tmp_path / "out") == IMAGES
    assert {call.task_id for call in origin.calls} == set(TASKS) - set(had)
    assert sorted(line["task_id"] for line in read_report(report)) == sorted(TASKS)


def fill(disk):
    """
    Leave no room on *disk*; return the file that takes it all.
    """
    filler = disk.folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.parametrize("torn", [0, 1, 50], ids=["whole", "without its end", "torn"])
def test_full_disk_while_the_report_is_repaired(fetch, disk, tmp_path, origin, torn):
    """
    Where a last line can be neither ended nor followed by another, the run stops with the report
    as it is, or without the torn line; with room the rest follows, and every task has one line.
    """
    report = disk.folder / "report.jsonl"
    output = tmp_path / "out"
    first = fetch(output, "--report", report, "--max-calls", 6)
    assert first.code == 4
    # The line's end is that of a block: one more byte takes another.
    lines = report.read_bytes().splitlines(keepends=True)
    room = 4096 - (sum(map(len, lines)) - torn) % 4096
    note = json.dumps({"note": ""})
    lines.insert(0, f"{json.dumps({'note': '-' * (room - len(note) - 1)})}\n".encode())
    text = b"".join(lines)
    report.write_bytes(text[: len(text) - torn])
    assert report.stat().st_size % 4096 == 0
    before = report.read_bytes()
    filler = fill(disk)
    origin.calls.clear()
    full = fetch(output, "--report", report)
    if torn == 1:
        assert full.code == 6
        assert f"the report {report} cannot be opened" in full.stderr
        assert origin.calls == []
    else:
        assert_stopped_by_the_disk(full)
    assert report.read_bytes() == (before if torn < 2 else b"".join(lines[:-1]))

    filler.unlink()
    origin.calls.clear()
    had = images_in(output)
    roomy = fetch(output, "--report", report)
    assert roomy.code == 0, roomy.stderr
    assert images_in(output) == IMAGES
    assert {call.task_id for call in origin.calls} == set(TASKS) - set(had)
    lines = [line for line in read_report(report) if "note" not in line]
    assert sorted(line["task_id"] for line in lines) == sorted(TASKS)


def test_file_larger_than_allowed_stops_the_run(fetch, tmp_path):
    """
    A limit on the size of files is the disk's refusal too, not the task's failure.
    """
    limited_run = fetch(tmp_path / "out", prefix=limited("f", 16))
    assert_stopped_by_the_disk(limited_run)
    assert images_in(tmp_path / "out") == {}
    assert_whole(tmp_path / "out", tmp_path / "out" / "report.jsonl")
    assert fetch(tmp_path / "out").code == 0
    assert images_in(tmp_path / "out") == IMAGES


def test_read_only_disk_stops_before_anything_is_asked(fetch, disk, origin):
    """
    Where no report can be written nothing is fetched.
    """
    disk.remount("ro")
    assert fetch(disk.folder).code == 6
    assert origin.calls == []


@pytest.mark.parametrize("where", ["output", "folder of the output", "report"])
def test_permission_denied_stops_before_anything_is_asked(fetch, tmp_path, origin, where):
    """
    Exit 6 and nothing fetched if output or report may not be written.
    """
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    places = {
        "output": (closed,),
        "folder of the output": (closed / "out",),
        "report": (tmp_path / "out", "--report", closed / "report.jsonl"),
    }
    denied = fetch(*places[where], prefix=unprivileged())
    assert denied.code == 6
    assert "ermission" in denied.stderr
    assert "Traceback" not in denied.stderr
    assert origin.calls == []


def test_folder_that_may_not_be_written_stops_the_run(tmp_path, origin):
    """
    A closed folder below the output is found out in the middle of the run: exit 6, not Failed.
    """
    closed = tmp_path / "out" / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o500)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("task_id,name\na,a\nb,closed/b\n")
    denied = run(
        *("fetch", manifest, "-o", tmp_path / "out", "--json", "--base-url", origin.base_url),
        prefix=unprivileged(),
    )
    assert_stopped_by_the_disk(denied)
    assert "closed" in denied.stderr
    assert "Failed" not in denied.summary["outcomes"]


@pytest.mark.parametrize("kind", ["output is a file", "report is a folder"])
def test_wrong_kind_of_place(fetch, tmp_path, origin, kind):
    """
    A file where the folder should be, or the other way round, is one sentence, and nothing asked.
    """
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    places = {
        "output is a file": (tmp_path / "file",),
        "report is a folder": (tmp_path / "out", "--report", tmp_path / "folder"),
    }
    finished = fetch(*places[kind])
    assert finished.code in {2, 6}
    assert "Traceback" not in finished.stderr
    assert (tmp_path / "file").read_text() == "precious"
    assert origin.calls == []


@pytest.mark.slow
def test_output_removed_under_the_run_stops_it(tmp_path):
    """
    Nothing is fetched into a folder that nobody will find.
    """
    output = tmp_path / "out"
    with serving(Origin({task_id: [replies.silence] for task_id in TASKS[5:]})) as origin:
        process = start(
            *("fetch", manifest_of(tmp_path, TASKS), "-o", output, "--json"),
            *("--base-url", origin.base_url, "--concurrency", 4, "--read-timeout", 1),
        )
        report = output / "report.jsonl"
        wait_until(lambda: report.exists() and report.read_bytes().count(b"\n") == 5, process)
        output.rename(tmp_path / "elsewhere")  # At once, which removing is not.
        shutil.rmtree(tmp_path / "elsewhere")
        origin.script.clear()
        finished = finish(process)
    assert_stopped_by_the_disk(finished)
    assert not images_in(output)


def test_too_few_file_descriptors_mean_fewer_in_flight(fetch, tmp_path, origin):
    """
    With 40 descriptors and 100 requests wished for, everything is fetched all the same.
    """
    finished = fetch(tmp_path / "out", "--concurrency", 100, prefix=limited("n", 40))
    assert finished.code == 0, finished.stderr
    assert images_in(tmp_path / "out") == IMAGES
    assert finished.summary["calls"] == len(origin.calls)


@pytest.mark.parametrize("durability", ["none", "full"])
def test_durability_changes_nothing_one_can_see(fetch, tmp_path, durability):
    """
    Every way of writing leaves the same images and the same lines.
    """
    assert fetch(tmp_path / "out", "--durability", durability).code == 0
    assert images_in(tmp_path / "out") == IMAGES
    assert_whole(tmp_path / "out", tmp_path / "out" / "report.jsonl")
