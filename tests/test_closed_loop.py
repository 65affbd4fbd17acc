"""
The closed loop of the samples: submit, fetch, submit again what expired, report.
"""

import json
import re
import subprocess
import sys
import time

import pytest
from command import LIMIT, ROOT, environment, images_in, read_report, run, start, wait_until
from images import write
from stand_in import standing_in

from batchfetch.sandbox.pages import draw_page

pytestmark = pytest.mark.slow

SAMPLE = ROOT / "samples" / "closed-loop.sh"
COMMAND = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m batchfetch "$@"\n'


def scans(folder, count, prefix="page"):
    """
    Put *count* different images into the folder `scans`, some in a folder of their own.
    """
    for number in range(count):
        name = f"{'more/' if number % 3 == 0 else ''}{prefix}{number}.png"
        write(folder / "scans" / name, draw_page(f"{prefix}-{number}", 3000, 0))


def results(path):
    """
    Return the results in the report of a submission, by what became of the images.
    """
    found = {}
    for line in read_report(path) if path.exists() else []:
        if "outcome" in line:
            found.setdefault(line["outcome"], []).append(line)
    return found


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


class Loop:
    """
    The sample in a folder, with what a person has to adapt adapted.
    """

    def __init__(self, folder, url):
        self.folder = folder
        self.url = url
        command = executable(folder / "command", COMMAND)
        text = SAMPLE.read_text()
        for name, value in {"batchfetch": command, "folder": folder}.items():
            text, count = re.subn(rf"^{name}=\S+", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1
        self.script = executable(folder / "closed-loop.sh", text)

    def run(self):
        """
        Run one night, as cron does, and return its exit code and what it said.
        """
        variables = {
            "BATCHFETCH_BASE_URL": self.url,
            "BATCHFETCH_ACCESS_TOKEN": "sandbox",
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run(
            ["/bin/sh", self.script],
            check=False,
            cwd="/",
            env={**environment(), **variables},
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout


def expired(folder, name, source):
    """
    Add a task to the manifest whose result is no longer stored.
    """
    row = {
        "task_id": "sample-expired",
        "name": name,
        "submitted_at": "2026-01-01T00:00:00Z",
        "endpoint": "deskew",
        "source": str(source),
    }
    with (folder / "manifest.jsonl").open("a") as file:
        file.write(f"{json.dumps(row)}\n")


def test_a_night_without_faults(tmp_path):
    """
    Every image comes back under the name of its scan, also the one that had expired; the next night
    pays for what is new.
    """
    scans(tmp_path, 6)
    old = write(tmp_path / "old" / "lost.png", draw_page("lost", 3000, 0))
    expired(tmp_path, "folder/lost", old)
    with standing_in(processing_time=0) as service:
        loop = Loop(tmp_path, service.url)
        code, text = loop.run()
        assert code == 0, text
        assert "Again   1 task submitted again: 1 Completed" in text
        assert service.tally["submissions"] == 7
        names = {f"{'more/' if n % 3 == 0 else ''}page{n}" for n in range(6)}
        assert images_in(tmp_path / "images").keys() == names | {"folder/lost"}

        calls = service.tally["calls"]
        assert loop.run()[0] == 0
        assert service.tally["calls"] == calls

        scans(tmp_path, 2, "new")
        assert loop.run()[0] == 0
        assert service.tally["submissions"] == service.tally["images"] == 9
    assert len(images_in(tmp_path / "images")) == 9


def test_one_manifest_for_all_of_it(tmp_path):
    """
    What is submitted again into the manifest that it is in takes the old place: what expired, and
    with `--again` what is there already.
    """
    scans(tmp_path, 2)
    old = write(tmp_path / "old" / "lost.png", draw_page("lost", 3000, 0))
    expired(tmp_path, "folder/lost", old)
    names = {"more/page0", "page1", "folder/lost"}
    with standing_in(processing_time=0) as service:

        def step(*words):
            where = ("--base-url", service.url)
            before = service.tally["calls"]
            env = environment(BATCHFETCH_ACCESS_TOKEN="sandbox")
            finished = run(*words, *where, cwd=tmp_path, env=env)
            return finished.code, service.tally["calls"] - before

        assert step("submit", "scans", "-o", "manifest.jsonl") == (0, 2)
        assert step("fetch", "manifest.jsonl") == (3, 3)
        again = ("submit", "images/report.jsonl", "--only", "NotExist", "-o", "manifest.jsonl")
        assert step(*again) == (0, 1)
        # The old task stays what it was.
        assert [step("fetch", "manifest.jsonl") for _ in range(2)] == [(3, 1), (3, 0)]
        assert images_in(tmp_path / "images").keys() == names

        assert step("submit", "scans", "-o", "manifest.jsonl", "--again") == (0, 2)
        assert [step("fetch", "manifest.jsonl") for _ in range(2)] == [(3, 2), (3, 0)]
        assert images_in(tmp_path / "images").keys() == names
        report = run("report", "images", "--json", cwd=tmp_path).stdout
        assert json.loads(report)["outcomes"] == {"Completed": 5, "NotExist": 1}


def test_a_night_with_faults(tmp_path):
    """
    Nothing is paid for twice, whatever goes wrong: what the stand-in accepted is what the reports
    say, and the answers that it lost.
    """
    scans(tmp_path, 40)
    old = write(tmp_path / "old" / "lost.png", draw_page("lost", 3000, 0))
    expired(tmp_path, "folder/lost", old)
    faults = "lose=10%,500=10%,429=2%,truncate=2%"
    with standing_in(processing_time=0, faults=faults) as service:
        loop = Loop(tmp_path, service.url)
        codes = {loop.run()[0] for _ in range(2)}
        tally = service.tally
    assert codes <= {0, 3}
    reports = [tmp_path / "manifest.report.jsonl", tmp_path / "again.report.jsonl"]
    accepted = sum(len(results(path).get("Submitted", ())) for path in reports)
    lost = tally["faults"].get("lose", 0)
    truncated = tally["faults"].get("truncate", 0)
    assert lost > 0
    assert accepted + lost <= tally["submissions"] <= accepted + lost + truncated
    assert tally["submissions"] == tally["images"]
    assert len(images_in(tmp_path / "images")) == accepted


def test_an_error_is_left_to_a_person(tmp_path):
    """
    An image that the filter cannot process is paid for once, however many nights there are.
    """
    write(tmp_path / "scans" / "broken.png", b"\x89PNG\r\n\x1a\n" + b"no chunk of an image at all")
    scans(tmp_path, 1)
    with standing_in(processing_time=0) as service:
        loop = Loop(tmp_path, service.url)
        assert [loop.run()[0] for _ in range(3)] == [3, 3, 3]
        assert service.tally["submissions"] == 2
    assert images_in(tmp_path / "images").keys() == {"more/page0"}


@pytest.mark.parametrize("step", ["submit", "fetch"])
def test_a_step_that_stops_ends_the_script(tmp_path, step):
    """
    Exit codes but 3 are those of the script: there is nothing to go on with.
    """
    scans(tmp_path, 3)
    loop = Loop(tmp_path, "http://127.0.0.1:9")
    if step == "fetch":
        (tmp_path / "images").write_text("a file in the way of the output")
        with standing_in(processing_time=0) as service:
            loop.url = service.url
            assert loop.run()[0] == 6
    else:
        (tmp_path / "manifest.jsonl").mkdir()
        assert loop.run()[0] in {2, 6}


def test_images_named_while_they_are_made(tmp_path):
    """
    Paths that come one by one on standard input are submitted as they come.
    """
    scans(tmp_path, 2)
    with standing_in(processing_time=0) as service:
        env = environment(BATCHFETCH_ACCESS_TOKEN="sandbox")
        process = start(
            *("submit", "-", "-o", "m.jsonl", "--base-url", service.url),
            cwd=tmp_path,
            env=env,
            stdin=subprocess.PIPE,
        )
        process.stdin.write("scans/more/page0.png\n")
        process.stdin.flush()
        wait_until(lambda: service.tally["submissions"] == 1)
        time.sleep(0.2)
        assert process.poll() is None
        process.stdin.write("scans/page1.png\n")
        process.stdin.close()
        process.stdin = None
        assert process.wait(LIMIT) == 0
        process.communicate()
    assert [row["name"] for row in read_report(tmp_path / "m.jsonl")] == [
        *("scans/more/page0", "scans/page1")
    ]
