"""
The log of runs beside the report: what a run writes, and what is read back whatever happened.
"""

import json
import logging
import os
import re
import signal
import stat

import pytest
from command import (
    SECRET,
    TOKEN,
    client_credentials,
    finish,
    manifest_of,
    read_report,
    run,
    start,
    wait_until,
)
from origin import Origin, serving
from replies import pending, ready, silence

import batchfetch
from batchfetch.errors import ReportError
from batchfetch.report.runs import RunLog, holder_of, read_runs, runs_path
from batchfetch.settings import Settings


def settings_of(folder, **more):
    """
    Settings with a report in *folder*, which a run would have made by now.
    """
    folder.mkdir(exist_ok=True)
    settings = Settings(output=folder, **more)
    settings.report_path.touch()
    return settings


def test_the_log_is_beside_the_report(tmp_path):
    """
    Its name is the report's, with `.runs.jsonl` in place of `.jsonl` or behind it.
    """
    assert runs_path(tmp_path / "report.jsonl") == tmp_path / "report.runs.jsonl"
    assert runs_path(tmp_path / "night.2.jsonl") == tmp_path / "night.2.runs.jsonl"
    assert runs_path(tmp_path / "report.txt") == tmp_path / "report.txt.runs.jsonl"


@pytest.mark.parametrize("flag", [["--json"], ["--json", "--max-calls", "1"]])
def test_a_run_writes_two_lines(tmp_path, flag):
    """
    The second has the summary that `--json` prints, whatever the exit code.
    """
    manifest, output = manifest_of(tmp_path, ["a", "b"]), tmp_path / "images"
    with serving(Origin()) as origin:
        url = origin.base_url
        finished = run("fetch", manifest, "-o", output, "--base-url", url, "--rate=600/m", *flag)
    began, ended = read_report(output / "report.runs.jsonl")
    assert began["summary"] is None
    assert began["ended_at"] is None
    assert ended["summary"] == finished.summary
    assert ended["summary"]["exit_code"] == finished.code
    assert ended["began_at"] <= ended["ended_at"]
    assert {key: ended[key] for key in ("run", "began_at", "settings")} == {
        key: began[key] for key in ("run", "began_at", "settings")
    }
    assert ended["version"] == batchfetch.__version__
    assert ended["manifests"] == [str(manifest)]
    given = {"output": str(output), "base_url": url, "rate": 10.0}
    assert ended["settings"] == (given if len(flag) == 1 else {**given, "max_calls": 1})


def test_every_run_is_logged(tmp_path):
    """
    A run with nothing to do, too; each has a name of its own.
    """
    manifest, output = manifest_of(tmp_path, ["a"]), tmp_path / "images"
    with serving(Origin()) as origin:
        for _ in range(2):
            run("fetch", manifest, "-o", output, "--base-url", origin.base_url)
    first, second = read_runs(output / "report.jsonl")
    assert first.run != second.run
    assert (first.summary["calls"], second.summary["calls"]) == (1, 0)
    assert first.seconds >= 0


def test_the_library_logs_its_runs(tmp_path):
    """
    A run without a manifest and without the command is logged all the same.
    """
    output = tmp_path / "images"
    with serving(Origin()) as origin:
        summary = batchfetch.fetch(
            jobs=["a"],
            output=output,
            base_url=origin.base_url,
            credentials=batchfetch.Credentials(access_token=TOKEN),
        )
    (logged,) = read_runs(output / "report.jsonl")
    assert logged.summary == summary.model_dump(mode="json")
    assert logged.manifests == ()


def test_a_killed_run_has_not_ended(tmp_path):
    """
    Its line says when it began, and the next run's log goes on behind it.
    """
    manifest, output = manifest_of(tmp_path, ["a"]), tmp_path / "images"
    log = output / "report.runs.jsonl"
    with serving(Origin(default=pending)) as origin:
        command = ("fetch", manifest, "-o", output, "--base-url", origin.base_url)
        process = start(*command)
        wait_until(lambda: origin.calls, process)
        process.send_signal(signal.SIGKILL)
        finish(process)
        killed, *_ = read_runs(output / "report.jsonl")
        assert (killed.ended_at, killed.summary, killed.seconds) == (None, None, None)
        origin.default = ready
        assert run(*command).code == 0
    first, _ = read_runs(output / "report.jsonl")
    assert first.run == killed.run
    assert len(read_report(log)) == 3


def test_no_secret_is_logged(tmp_path):
    """
    Neither credentials nor the token that they were exchanged for are in it.
    """
    manifest, output = manifest_of(tmp_path, ["a"]), tmp_path / "images"
    with serving(Origin()) as origin:
        command = ("fetch", manifest, "-o", output, "--base-url", origin.base_url)
        assert run(*command, env=client_credentials()).code == 0
        assert run(*command).code == 0
    text = (output / "report.runs.jsonl").read_text()
    assert not [secret for secret in (TOKEN, SECRET, "Bearer", "token-") if secret in text]


def test_a_torn_line_is_told_and_skipped(tmp_path, caplog):
    """
    What a power cut left of a line costs that line only, and the next one begins anew.
    """
    settings = settings_of(tmp_path)
    log = runs_path(settings.report_path)
    RunLog(settings, ["a.txt"]).begin()
    with log.open("a") as file:
        file.write('{"run":"torn","beg')
    last = RunLog(settings, ["b.txt"])
    last.begin()
    last.end({"calls": 1})
    with caplog.at_level(logging.WARNING, "batchfetch"):
        first, second = read_runs(settings.report_path)
    assert (first.manifests, second.manifests) == (("a.txt",), ("b.txt",))
    assert second.summary == {"calls": 1}
    assert [record.getMessage() for record in caplog.records] == [
        f"{log}, line 2 is no run and was skipped: it was torn or changed; remove it"
    ]


def test_a_log_that_cannot_be_read_is_called_what_it_is(tmp_path):
    """
    It is not the report, and another `--report` is no way out.
    """
    settings = settings_of(tmp_path / "images")
    log = runs_path(settings.report_path)
    log.symlink_to(log)
    with pytest.raises(ReportError) as caught:
        read_runs(settings.report_path)
    assert str(caught.value) == (
        f"the log of runs {log} cannot be read: Too many levels of symbolic links; "
        "see that it is a file which this user may read, or move it away"
    )


def test_who_holds_a_shared_report_is_told(tmp_path):
    """
    Two outputs with one report: the second run is told which process has it, where, since when.
    """
    manifest, shared = manifest_of(tmp_path, ["a"]), tmp_path / "shared.jsonl"
    with serving(Origin(default=silence)) as origin:
        how = ("-r", shared, "--base-url", origin.base_url)
        first = start("fetch", manifest, "-o", tmp_path / "one", *how)
        wait_until(lambda: origin.calls)
        second = run("fetch", manifest, "-o", tmp_path / "two", *how)
        first.send_signal(signal.SIGTERM)
        finish(first)
    assert second.code == 7
    host = re.escape(os.uname().nodename)
    assert re.search(
        rf"another run \(process {first.pid} on {host}, since 2\S+Z\) is writing the report "
        rf"{re.escape(str(shared))}; wait for it or choose another --report",
        second.stderr,
    )
    # A run that has ended holds nothing, and neither does one whose log is not there.
    assert holder_of(shared) == holder_of(tmp_path / "gone.jsonl") == ""


def test_a_name_that_is_no_text_is_logged_all_the_same(tmp_path):
    """
    A path may hold bytes that are no UTF-8; the log is UTF-8 in any case.
    """
    folder = tmp_path / os.fsdecode(b"\xff-images")
    settings = settings_of(folder)
    RunLog(settings, [os.fsdecode(b"\xff.txt")]).begin()
    (line,) = runs_path(settings.report_path).read_bytes().decode().splitlines()
    assert json.loads(line)["manifests"] == ["?.txt"]


def test_a_log_that_cannot_be_written_does_not_stop_the_run(tmp_path):
    """
    Something else in its place is warned of, and the images are fetched.
    """
    manifest, output = manifest_of(tmp_path, ["a"]), tmp_path / "images"
    (output / "report.runs.jsonl").mkdir(parents=True)
    with serving(Origin()) as origin:
        finished = run("fetch", manifest, "-o", output, "--base-url", origin.base_url)
    assert finished.code == 0
    assert finished.stderr.count("report.runs.jsonl cannot be written: ") == 2


def test_a_planted_link_is_not_followed(tmp_path, caplog):
    """
    In the output a link may have been planted; beside a report of the user's own it is theirs.
    """
    settings = settings_of(tmp_path / "images")
    elsewhere = tmp_path / "elsewhere"
    runs_path(settings.report_path).symlink_to(elsewhere)
    with caplog.at_level(logging.WARNING, "batchfetch"):
        RunLog(settings, []).begin()
    assert "cannot be written" in caplog.text
    assert not elsewhere.exists()
    own = Settings(output=tmp_path / "other", report=settings.report_path)
    RunLog(own, []).begin()
    assert elsewhere.exists()


def test_a_report_in_a_pipe_has_no_log(tmp_path):
    """
    Nothing is made beside a report that is no plain file.
    """
    manifest, output = manifest_of(tmp_path, ["a"]), tmp_path / "images"
    pipe = tmp_path / "report.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with serving(Origin()) as origin:
        command = ("fetch", manifest, "-o", output, "-r", pipe, "--base-url", origin.base_url)
        assert run(*command).code == 0
    os.close(reader)
    assert not runs_path(pipe).exists()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
