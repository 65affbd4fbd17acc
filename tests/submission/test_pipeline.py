"""
`submit … -o - | fetch -`: images go out while results are fetched, and both can be stopped.
"""

import json
import os
import signal
import subprocess
import time
from math import inf

import pytest
from command import (
    HEARD,
    client_credentials,
    environment,
    finish,
    read_report,
    run,
    start,
    wait_until,
)
from receiver import Receiver, receiving
from submitting import images_at, lines_of, open_intents, results_of

pytestmark = pytest.mark.slow


@pytest.fixture
def scans(tmp_path):
    """
    Where the images are.
    """
    return tmp_path / "scans"


@pytest.fixture
def report(tmp_path):
    """
    The report that a submission to standard output has, in its working directory.
    """
    return tmp_path / "manifest.report.jsonl"


@pytest.fixture
def sandbox():
    """
    The stand-in, in a process of its own.
    """
    process = start("sandbox", "--processing-time", "0", "--seed", "5")
    yield process.stdout.readline().strip()
    process.terminate()
    finish(process)


def pipeline(folder, url, *options, source="scans"):
    """
    Start both commands with a pipe between them, in a process group of their own; return their
    processes.
    """
    sender = start(
        *("submit", source, "-o", "-", "--base-url", url, "--progress", "never", *options),
        cwd=folder,
        env=client_credentials(),
        stdin=subprocess.PIPE if source == "-" else subprocess.DEVNULL,
        process_group=0,
    )
    fetcher = start(
        *("fetch", "-", "--manifest-format", "jsonl", "-o", "images", "--base-url", url),
        stdin=sender.stdout,
        cwd=folder,
        env=client_credentials(),
        process_group=sender.pid,
    )
    sender.stdout.close()
    return sender, fetcher


def ends(*processes):
    """
    Wait for the processes, and return their exit codes.
    """
    codes = []
    for process in processes:
        process.wait(timeout=60)
        codes.append(process.returncode)
        for stream in (process.stdout, process.stderr):
            stream.close()
    return codes


def test_lines_come_at_once(scans, tmp_path):
    """
    The line of an accepted image is on standard output before the next image is accepted.
    """
    images_at(scans, 3)
    with receiving(Receiver()) as receiver:
        receiver.answers = 1
        process = start(
            *("submit", scans, "-o", "-", "--base-url", receiver.base_url, "--concurrency", 1),
            cwd=tmp_path,
        )
        first = json.loads(process.stdout.readline())
        receiver.answers = inf
        finished = finish(process)
    assert finished.code == 0
    lines = [first, *map(json.loads, finished.stdout.splitlines())]
    assert [line["name"] for line in lines] == ["00000", "00001", "00002"]
    assert [each.task_id for each in receiver.submitted] == [line["task_id"] for line in lines]


def test_results_are_fetched_while_images_go_out(scans, tmp_path, sandbox):
    """
    `fetch -` asks for the first results while the pipe is open.
    """
    paths = [f"scans/{name}.png" for name in images_at(scans, 4)]
    sender, fetcher = pipeline(tmp_path, sandbox, source="-")
    sender.stdin.write(f"{paths[0]}\n")
    sender.stdin.flush()
    wait_until((tmp_path / "images" / paths[0]).exists, fetcher)
    assert sender.poll() is None, "the first image is there, and others are still to be sent"
    sender.stdin.write("\n".join([*paths[1:], ""]))
    sender.stdin.close()
    assert ends(sender, fetcher) == [0, 0]
    lines = read_report(tmp_path / "images/report.jsonl")
    assert {line["outcome"] for line in lines} == {"Completed"}
    assert all(line["submitted_at"] for line in lines)
    assert len(lines) == len(list((tmp_path / "images").rglob("*.png"))) == 4


def test_a_reader_that_goes_away_ends_it_cleanly(scans, tmp_path, report):
    """
    What is in flight is recorded, nothing new is sent, and the next run goes on from there.
    """
    hashes = images_at(scans, 200)
    with receiving(Receiver()) as receiver:
        receiver.answers = 20
        argv = ("submit", "scans", "-o", "-", "--base-url", receiver.base_url)
        process = start(*argv, cwd=tmp_path)
        process.stdout.readline()
        process.stdout.close()
        receiver.answers = inf
        assert process.wait(timeout=60) == 6
        said = process.stderr.read()
        process.stderr.close()
        assert "standard output: the program that read the manifest has ended" in said
        assert "Traceback" not in said
        posts = receiver.posts
        assert posts < 200
        assert open_intents(report) == []
        assert {r["outcome"] for r in results_of(report)} == {"Submitted"}
        assert len(results_of(report)) == posts
        finished = run(*argv, cwd=tmp_path)
        assert finished.code == 0
        assert receiver.images == dict.fromkeys(hashes.values(), 1)
    # All lines are there, those of the first run, which went nowhere, first.
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert sorted(line["source_sha256"] for line in lines) == sorted(hashes.values())


def test_ctrl_c_ends_both_and_both_resume(scans, tmp_path, sandbox, report):
    """
    SIGINT to both: they end with 130, and the same line again does the rest, each image once.
    """
    hashes = images_at(scans, 100)  # At this rate, more than can be sent before the signal.
    sender, fetcher = pipeline(tmp_path, sandbox, "--rate", "4")
    wait_until(lambda: len(results_of(report)) >= 3, sender)
    os.killpg(sender.pid, signal.SIGINT)
    assert ends(sender, fetcher) == [130, 130]
    assert 3 <= len(results_of(report)) < 100
    assert open_intents(report) == []
    assert ends(*pipeline(tmp_path, sandbox)) == [0, 0]
    accepted = [r["source_sha256"] for r in results_of(report)]
    assert sorted(accepted) == sorted(hashes.values())
    assert len(list((tmp_path / "images").glob("*.png"))) == 100


@pytest.mark.parametrize("after_body", [False, True])
def test_a_signal_waits_for_answers_and_records_the_rest(scans, tmp_path, report, after_body):
    """
    After SIGTERM nothing new is sent; what is answered in time counts, what is not is Uncertain.
    """
    images_at(scans, 9)
    log = tmp_path / "log"
    with receiving(Receiver()) as receiver, log.open("w") as stderr:
        receiver.answers = 0
        process = start(
            *("submit", "scans", "--base-url", receiver.base_url, "--concurrency", 3, "--json"),
            cwd=tmp_path,
            stderr=stderr,
        )
        wait_until(lambda: len(receiver.submitted) == 3, process)
        process.terminate()
        wait_until(lambda: HEARD in log.read_text(), process)
        if after_body:
            receiver.answers = inf
        finished = finish(process)
        assert receiver.posts == 3
    assert finished.code == 143
    outcome = "Submitted" if after_body else "Uncertain"
    assert finished.summary["outcomes"] == {outcome: 3}
    assert (finished.summary["left"], finished.summary["stopped_by"]) == (6, "SIGTERM")
    assert {r["outcome"] for r in results_of(report)} == {outcome}
    assert open_intents(report) == []


def test_a_second_signal_stops_at_once(scans, tmp_path, report):
    """
    What was in flight then is Uncertain by the next run.
    """
    images_at(scans, 3)
    log = tmp_path / "log"
    with receiving(Receiver()) as receiver, log.open("w") as stderr:
        receiver.answers = 0
        argv = ("submit", "scans", "--base-url", receiver.base_url, "--json")
        process = start(*argv, cwd=tmp_path, stderr=stderr)
        wait_until(lambda: len(receiver.submitted) == 3, process)
        process.terminate()
        wait_until(lambda: HEARD in log.read_text(), process)
        process.terminate()
        assert process.wait(timeout=60) == 143
        process.communicate()
        assert len(open_intents(report)) == 3
        finished = run(*argv, cwd=tmp_path)
    assert (finished.code, finished.summary["outcomes"]) == (3, {"Uncertain": 3})
    assert receiver.posts == 3


def test_a_slow_reader_slows_it_down(scans, tmp_path):
    """
    While the reader takes no lines, no more images are sent than the pipe and the run hold.
    """
    images_at(scans, 600)
    reading, writing = os.pipe()
    with receiving(Receiver()) as receiver:
        process = subprocess.Popen(
            [
                *(os.sys.executable, "-m", "batchfetch", "submit", "scans", "-o", "-"),
                *("--base-url", receiver.base_url, "--concurrency", "4"),
            ],
            env=environment(),
            cwd=tmp_path,
            stdout=writing,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        try:
            wait_until(lambda: receiver.posts > 100, process)
            count = 0
            while count != receiver.posts:
                count = receiver.posts
                time.sleep(2)
            assert count < 500
            with os.fdopen(reading) as lines:
                assert len(lines.readlines()) == 600
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()


def test_both_on_standard_output_are_refused(scans, tmp_path):
    """
    A manifest and a summary on one stream are exit code 2, before anything is sent.
    """
    images_at(scans, 1)
    finished = run("submit", "scans", "-o", "-", "--json", "--sandbox", cwd=tmp_path)
    assert (finished.code, finished.stdout) == (2, "")
    assert "--output - and --json both write to standard output" in finished.stderr
    assert list(tmp_path.iterdir()) == [scans]


def test_the_pipe_may_lead_to_a_file(scans, tmp_path, sandbox):
    """
    Standard output that is redirected is the shell's: the lines are appended, and nothing is read.
    """
    images_at(scans, 2)
    with (tmp_path / "lines.jsonl").open("w") as file:
        process = start(
            *("submit", "scans", "-o", "-", "--base-url", sandbox),
            cwd=tmp_path,
            env=client_credentials(),
            stdout=file,
        )
        assert finish(process).code == 0
    assert len(lines_of(tmp_path / "lines.jsonl")) == 2


def test_a_signal_ends_a_run_that_waits_for_its_reader(scans, tmp_path):
    """
    While the lines of an earlier run are not taken, one signal ends the run all the same.
    """
    images_at(scans, 400)
    with receiving(Receiver()) as receiver:
        argv = ("submit", "scans", "-o", "-", "--base-url", receiver.base_url)
        assert run(*argv, cwd=tmp_path).code == 0
        process = start(*argv, cwd=tmp_path, stderr=subprocess.DEVNULL)
        process.stdout.read(1)  # Of more than a pipe holds.
        process.terminate()
        assert process.wait(timeout=60) == 143
        process.stdout.close()
