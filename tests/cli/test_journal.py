"""
Log lines of real commands: under systemd, and those of the stand-in.
"""

import json
import os
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from command import LIMIT, ROOT, environment, finish, manifest_of, run, start
from origin import Origin, serving
from replies import says

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@pytest.fixture
def journal(tmp_path):
    """
    Run the command with its stderr in a file that stands for the journal, and return its lines.
    """

    def journal(*args, named=True):
        path = tmp_path / "journal"
        with path.open("w") as stream:
            found = os.fstat(stream.fileno())
            name = f"{found.st_dev}:{found.st_ino if named else found.st_ino + 1}"
            process = start(
                *args, env=environment(JOURNAL_STREAM=name), stderr=stream, cwd=tmp_path
            )
            process.wait(LIMIT)
            process.stdout.close()
        return path.read_text().splitlines()

    return journal


@pytest.fixture
def fetch(tmp_path):
    """
    The arguments of a run in which one task of two fails.
    """
    with serving(Origin({"bad": [says("Error")]})) as origin:
        yield "fetch", manifest_of(tmp_path, ["good", "bad"]), "--base-url", origin.base_url


def test_lines_in_the_journal_have_a_priority(journal, fetch):
    """
    Warnings are 4 and the summary is 6, on each of its lines; the time is the journal's own.
    """
    lines = journal(*fetch)
    assert all(re.match(r"<[346]>\S", line) for line in lines)
    assert [line for line in lines if line.startswith("<4>warning: bad: Error (service_error)")]
    assert [line for line in lines if re.match(r"<6>2 tasks in .*: 1 Completed, 1 Error$", line)]
    assert not [line for line in lines if INSTANT.search(line)]


def test_json_in_the_journal(journal, fetch):
    """
    The prefix is the journal's to take off; what remains is the object, with its time.
    """
    for line in journal(*fetch, "--log-format", "json"):
        priority, text = line[1], line[3:]
        entry = json.loads(text)
        assert {"4": "warning", "6": "info"}[priority] == entry["level"]
        assert INSTANT.match(entry["time"])


@pytest.mark.parametrize(
    "options", [["--nothing"], ["--rate", "fast"], ["--nothing", "--log-format=json"]]
)
def test_a_usage_error_in_the_journal(journal, options):
    """
    It is an error there as well.
    """
    (line,) = journal("fetch", "m.txt", *options)
    assert line.startswith("<3>")


def test_another_stream_is_not_the_journal(journal, fetch):
    """
    A unit's script that sends stderr to a file gets lines with their time, and no prefix.
    """
    lines = journal(*fetch, named=False)
    assert not [line for line in lines if line.startswith("<")]
    assert INSTANT.match(lines[0])


def requests_logged(*options, faults=None):
    """
    Fetch two tasks from a stand-in with these options, and return what it has logged.
    """
    process = start(
        *("sandbox", "--processing-time", "0", *options),
        *(("--faults", faults) if faults else ()),
    )
    url = process.stdout.readline().strip()
    yield url
    process.terminate()
    yield finish(process).stderr.splitlines()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_stand_in_logs_each_request(tmp_path, log_format):
    """
    One sees what a job has asked, and what it was answered; no token is among it.
    """
    options = ["--log-level", "info", "--log-format", log_format]
    logged = requests_logged(*options, faults="500=1")
    url = next(logged)
    run(
        *("fetch", manifest_of(tmp_path, ["one"]), "--base-url", url, "--attempts", 2),
        env=environment(BATCHFETCH_ACCESS_TOKEN="sandbox"),
        cwd=tmp_path,
    )
    lines = next(logged)
    assert len(lines) == 2
    for line in lines:
        said = "/v5.0/ocr/ImageProcessing/GetResultTask?id=one"
        if log_format == "json":
            entry = json.loads(line)
            assert entry["request"]["target"] == said
            assert (entry["request"]["status"], entry["request"]["fault"]) == (500, "500")
            continue
        assert line.endswith(f" info: GET {said}: 500, injected fault 500")


def test_the_stand_in_tells_the_status():
    """
    The line has the task's status, or what is wrong with the request.
    """
    logged = requests_logged("--log-level", "info")
    url = next(logged)
    path = "/v5.0/ocr/DeskewImage?id=sample-unknown"
    form = b"grant_type=client_credentials&client_id=a&client_secret=b"
    urlopen(Request(url + path, headers={"Authorization": "Bearer sandbox"})).close()
    with pytest.raises(HTTPError, match="401"):
        urlopen(url + path)
    urlopen(f"{url}/connect/token", form).close()
    lines = [line.split(" info: ")[1] for line in next(logged)]
    assert lines == [
        f"GET {path}: 200, NotExist",
        f"GET {path}: 401, The access token is missing, unknown or expired.",
        "POST /connect/token: 200",
    ]


def test_the_stand_in_is_silent_by_default(tmp_path):
    """
    Nothing is logged that was not asked for, in `fetch --sandbox` neither.
    """
    logged = requests_logged()
    url = next(logged)
    run("fetch", manifest_of(tmp_path, ["one"]), "--base-url", url, cwd=tmp_path)
    assert next(logged) == []
    finished = run("fetch", ROOT / "samples/ids.txt", "--sandbox", "--max-calls", 1, cwd=tmp_path)
    assert "GET " not in finished.stderr
