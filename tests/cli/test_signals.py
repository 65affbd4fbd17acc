"""
SIGINT and SIGTERM, whatever the run is in the middle of; and two runs at once.
"""

import signal
import subprocess

import pytest
import replies
from command import (
    HEARD,
    client_credentials,
    expected_images,
    finish,
    images_in,
    manifest_of,
    parts_in,
    read_report,
    run,
    start,
    wait_until,
)
from origin import Origin, serving
from replies import large, raw

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
WAITING = [f"waiting{number}" for number in range(40)]
DONE = [f"done{number}" for number in range(5)]


def half_then_silence(task_id):
    """
    The first half of a large image, then nothing.
    """
    body = b"".join(large(2**20)(task_id).pieces())
    return raw(body[: len(body) // 2], ending=replies.Ending.HANG)


@pytest.fixture
def begin(tmp_path):
    """
    Start the command on `DONE` and `WAITING` and wait until the former are done.
    """

    def begin(origin, **how):
        process = start(
            *("fetch", manifest_of(tmp_path, DONE + WAITING), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--concurrency", 20),
            **how,
        )
        report = tmp_path / "out" / "report.jsonl"
        wait_until(lambda: len(origin.calls) > len(DONE), process)
        wait_until(
            lambda: report.exists() and report.read_bytes().count(b"\n") == len(DONE), process
        )
        return process

    return begin


def origin_where_others(step):
    """
    Return an origin that answers about `DONE` and says *step* to the rest.
    """
    return Origin({task_id: [replies.ready] for task_id in DONE}, default=step)


@pytest.mark.parametrize(
    ("step", "number"),
    [
        pytest.param(replies.pending, signal.SIGTERM, id="everything pending"),
        pytest.param(replies.silence, signal.SIGINT, id="every request hanging"),
        pytest.param(half_then_silence, signal.SIGTERM, id="every image half downloaded"),
        pytest.param(
            replies.status(429, "Retry-After: 600"), signal.SIGTERM, id="everyone pausing"
        ),
    ],
)
def test_signal_stops_cleanly(begin, tmp_path, number, step):
    """
    Outcomes known are reported, the rest is left, nothing half remains; the next run does the rest.
    """
    with serving(origin_where_others(step)) as origin:
        process = begin(origin)
        process.send_signal(number)
        finished = finish(process)
    assert finished.code == CODES[number]
    assert finished.summary["stopped_by"] == number.name
    assert finished.summary["exit_code"] == CODES[number]
    assert finished.summary["outcomes"] == {"Completed": len(DONE)}
    assert finished.summary["left"] == len(WAITING)
    assert "Traceback" not in finished.stderr
    assert (
        f"exit code {CODES[number]}: stopped by {number.name}; {len(WAITING)} tasks left: "
        in finished.stderr
    )
    reported = [line["task_id"] for line in read_report(tmp_path / "out" / "report.jsonl")]
    assert sorted(reported) == sorted(DONE)
    assert images_in(tmp_path / "out") == expected_images(DONE)
    assert parts_in(tmp_path / "out") == []

    with serving(Origin()) as origin:
        again = run(
            *("fetch", tmp_path / "manifest.txt", "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url),
        )
    assert (again.code, again.summary["already"]) == (0, len(DONE))
    assert sorted(call.task_id for call in origin.calls) == sorted(WAITING)
    assert images_in(tmp_path / "out") == expected_images(DONE + WAITING)


def test_signal_during_the_token_request(tmp_path):
    """
    A token endpoint that hangs does not hold up the end.
    """
    with serving(Origin(tokens=[replies.silence])) as origin:
        process = start(
            *("fetch", manifest_of(tmp_path, WAITING), "-o", tmp_path / "out"),
            *("--base-url", origin.base_url),
            env=client_credentials(),
        )
        wait_until(lambda: origin.token_requests, process)
        process.send_signal(signal.SIGTERM)
        finished = finish(process)
    assert finished.code == 143
    assert origin.calls == []


def test_second_signal_stops_at_once(begin, tmp_path):
    """
    Whoever insists does not wait for the grace of requests in flight.
    """
    log = tmp_path / "log"
    with serving(origin_where_others(half_then_silence)) as origin, log.open("w") as stderr:
        process = begin(origin, stderr=stderr)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: HEARD in log.read_text(), process)
        process.send_signal(signal.SIGINT)
        finished = finish(process)
    assert finished.code == 130
    assert finished.stdout == "", "the run ended by itself, with its summary"
    assert images_in(tmp_path / "out") == expected_images(DONE)


def test_signal_while_reading_standard_input(tmp_path):
    """
    A manifest that comes through a pipe and never ends does not hold up the end.
    """
    with serving(Origin()) as origin:
        process = start(
            *("fetch", "-", "-o", tmp_path / "out", "--base-url", origin.base_url),
            stdin=subprocess.PIPE,
        )
        process.stdin.write("".join(f"task{number}\n" for number in range(1000)))
        process.stdin.flush()
        wait_until(lambda: origin.calls, process)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        finished = finish(process)
    assert finished.code == 143


def test_second_run_on_one_output_is_turned_away(begin, tmp_path):
    """
    Exit 7, one sentence, no request and no change; the first run does not notice.
    """
    with serving(origin_where_others(replies.silence)) as origin:
        process = begin(origin)
        wait_until(lambda: len(origin.calls) == len(DONE) + 20, process)
        second = run(
            *("fetch", tmp_path / "manifest.txt", "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url),
        )
        assert len(origin.calls) == len(DONE) + 20
        assert process.poll() is None
        process.kill()
        process.communicate()
    assert second.code == 7
    assert second.stdout == ""
    assert len(second.stderr.splitlines()) == 1


def test_lock_dies_with_its_process(begin, tmp_path):
    """
    A killed run holds nothing: the next one starts.
    """
    with serving(origin_where_others(replies.silence)) as origin:
        process = begin(origin)
        process.kill()
        process.communicate()
    with serving(Origin()) as origin:
        again = run(
            *("fetch", tmp_path / "manifest.txt", "-o", tmp_path / "out"),
            *("--base-url", origin.base_url),
        )
    assert again.code == 0
    assert parts_in(tmp_path / "out") == []
