"""
`batchfetch report` of submissions: chains in a report of fetch, and reports of submit.
"""

import json
import shlex

import pytest
from command import environment, read_report, run
from images import PNG, write


@pytest.fixture
def lost(tmp_path):
    """
    A folder in which one task has expired, one failed and was submitted again, and one is there.
    """
    write(tmp_path / "scans" / "a.png")
    rows = [
        {"task_id": "sample-expired", "name": "a", "submitted_at": "2026-01-01T00:00:00Z"},
        {"task_id": "sample-error", "name": "b"},
        {"task_id": "T3", "name": "b3", "resubmits": "SAMPLE-ERROR"},
        {"task_id": "T4", "name": "d"},
    ]
    source = str(tmp_path / "scans" / "a.png")
    lines = "".join(f"{json.dumps({**row, 'source': source})}\n" for row in rows)
    (tmp_path / "manifest.jsonl").write_text(lines)
    env = {"BATCHFETCH_SANDBOX_PROCESSING_TIME": "0"}
    finished = command(tmp_path, "fetch", "manifest.jsonl", "--sandbox", **env)
    assert finished.code == 3
    return tmp_path


def command(folder, *args, **variables):
    """
    Run the command in *folder*.
    """
    return run(*args, cwd=folder, env=environment(**variables))


def test_chains_are_shown(lost):
    """
    What was submitted again, and what became of it, beside what still has to be.
    """
    text = command(lost, "report").stdout
    assert "Again   1 task submitted again: 1 Completed\n" in text
    assert "service_error  1 submitted again; sample-error: " in text
    figures = json.loads(command(lost, "report", "--json").stdout)
    assert figures["resubmitted"] == {"tasks": 1, "outcomes": {"Completed": 1}}


def test_chains_are_on_the_page(lost):
    """
    The page has them among its figures.
    """
    assert command(lost, "report", "-o", "night.html").code == 0
    assert "Submitted again" in (lost / "night.html").read_text()


def test_the_suggested_command_submits_what_is_lost(lost):
    """
    The next step is a command that works as it is, and names no outcome that needs none.
    """
    lines = command(lost, "report").stdout.splitlines()
    line = lines[lines.index("Submit again what is NotExist:") + 1].strip()
    assert line == "batchfetch submit images/report.jsonl --only NotExist -o again.jsonl"
    finished = command(lost, *shlex.split(line)[1:], "--sandbox")
    assert finished.code == 0, finished.stderr
    (row,) = read_report(lost / "again.jsonl")
    assert (row["name"], row["resubmits"]) == ("a", "sample-expired")


def test_the_report_of_a_submission(tmp_path):
    """
    It is named, and its figures are those of its images.
    """
    write(tmp_path / "scans" / "a.png")
    write(tmp_path / "scans" / "b.png", PNG + b"another")
    write(tmp_path / "note.png", b"a note")
    done = command(tmp_path, "submit", "scans", "note.png", "missing.png", "--sandbox")
    assert done.code == 3
    text = command(tmp_path, "report", "manifest.report.jsonl", "--price-per-call", "0.5").stdout
    assert text.startswith("4 images submitted or refused, in manifest.report.jsonl\n")
    assert "\n  2 Submitted\n" in text
    assert f"\n  1 Invalid    not_image    {tmp_path}/note.png: " in text
    assert "\nCalls   2, 1.00 at 0.5 a call\n" in text
    assert text.endswith(f"batchfetch fetch {tmp_path}/manifest.jsonl\n")
    figures = json.loads(command(tmp_path, "report", "manifest.report.jsonl", "--json").stdout)
    assert figures["outcomes"] == {"Submitted": 2, "Invalid": 2}
    assert [each["reason"] for each in figures["troubles"]] == ["not_image", "unreadable"]
    assert (figures["images"], figures["calls"], figures["in_flight"]) == (4, 2, 0)
    assert figures["bytes"] == 2 * len(PNG) + len(b"another")


def test_the_last_line_of_each_image_counts(tmp_path):
    """
    An image that a later run has submitted is no longer uncertain, and one without an end is told.
    """
    line = {"source": "/a.png", "endpoint": "deskew", "calls": 1, "task_id": None}
    intent = {"task_id": None, "intent": "0a", "source": "/b.png", "endpoint": "deskew"}
    lines = [
        {**line, "outcome": "Uncertain", "reason": "answer_lost"},
        {**line, "outcome": "Submitted", "task_id": "T1", "source_bytes": 5},
        {**line, "endpoint": "dewarp", "outcome": "Uncertain", "reason": "answer_lost"},
        intent,
    ]
    report = tmp_path / "manifest.report.jsonl"
    report.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    text = command(tmp_path, "report", report).stdout
    assert "1 Submitted" in text
    assert "1 Uncertain  answer_lost  /a.png" in text
    assert "1 sent without a result: the run goes on, or was killed" in text
    assert "--retry Uncertain" in text


@pytest.mark.parametrize(
    "option", [("-o", "x.csv"), ("--only", "Failed"), ("--group-by", "x"), ("--all",)]
)
def test_options_about_tasks_are_refused(tmp_path, option):
    """
    A report of submissions has no tasks to list or to group.
    """
    report = tmp_path / "r.jsonl"
    report.write_text('{"task_id":null,"checkpoint":"/manifest.jsonl"}\n')
    finished = command(tmp_path, "report", report, *option)
    assert finished.code == 2
    assert f"{report} is a report of submit, and this is for reports of fetch" in finished.stderr


def test_both_kinds_of_reports_are_two_commands(lost):
    """
    Images and tasks are not counted together.
    """
    (lost / "r.jsonl").write_text('{"task_id":null,"checkpoint":"/manifest.jsonl"}\n')
    finished = command(lost, "report", "r.jsonl", "images")
    assert finished.code == 2
    assert "r.jsonl is a report of submit, and images/report.jsonl is one of fetch" in (
        finished.stderr
    )
