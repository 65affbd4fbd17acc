"""
`batchfetch submit` as a command: options, variables, settings file, words and exit codes.
"""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from command import LIMIT, ROOT, client_credentials, environment, run
from receiver import Receiver, no_answer, receiving
from replies import Ending
from submitting import images_at, lines_of

from batchfetch.cli.completion import completed_commands
from batchfetch.cli.submit_text import (
    submit_explanation,
    submit_panel,
    submit_plan_text,
    submit_progress_line,
    submit_summary_text,
)
from batchfetch.exit_codes import ExitCode
from batchfetch.report.interruptions import Cause, Present
from batchfetch.submission.plan import SubmitPlan
from batchfetch.submission.summary import SubmitProgress, SubmitSummary
from batchfetch.submit_settings import SubmitSettings, SubmitStatus


@pytest.fixture
def scans(tmp_path):
    """
    Three images.
    """
    images_at(tmp_path / "scans", 3)
    return tmp_path / "scans"


@pytest.fixture
def receiver():
    """
    A service that takes every image.
    """
    with receiving(Receiver()) as receiver:
        yield receiver


def test_the_stand_in(scans, tmp_path):
    """
    `--sandbox` needs no network and no credentials.
    """
    finished = run("submit", "scans", "--sandbox", "--json", cwd=tmp_path, env=environment())
    assert (finished.code, finished.summary["outcomes"]) == (0, {"Submitted": 3})
    assert "3 Submitted" in finished.stderr
    assert "manifest: manifest.jsonl\nreport: manifest.report.jsonl" in finished.stderr
    assert len(lines_of(tmp_path / "manifest.jsonl")) == 3
    runs = lines_of(tmp_path / "manifest.report.runs.jsonl")
    assert [run["summary"] for run in runs] == [None, finished.summary]
    assert runs[0]["manifests"] == ["scans"]


def test_a_second_run_has_nothing_to_do(scans, tmp_path, receiver):
    """
    What was accepted is said to be, and costs nothing.
    """
    argv = ("submit", "scans", "--base-url", receiver.base_url, "--price-per-call", "0.5")
    assert "1.50 at 0.5 a call" in run(*argv, cwd=tmp_path).stderr
    finished = run(*argv, cwd=tmp_path)
    assert finished.code == 0
    assert "3 images in" in finished.stderr
    assert "nothing to do, 3 already accepted\n0 calls, 0.00 at 0.5 a call\n" in finished.stderr


def test_a_plan(scans, tmp_path):
    """
    `--dry-run` is for a person, or with `--json` for a program; it needs no credentials.
    """
    env = {k: v for k, v in environment().items() if k != "BATCHFETCH_ACCESS_TOKEN"}
    argv = ("submit", "scans", "--dry-run", "--price-per-call", "2")
    finished = run(*argv, cwd=tmp_path, env=env)
    assert finished.stdout.startswith("3 images: 3 to submit\n3 calls at least, 6.00 at 2 a call")
    plan = json.loads(run(*argv, "--json", cwd=tmp_path, env=env).stdout)
    assert (plan["to_submit"], plan["least_calls"], plan["least_cost"]) == (3, 3, 6.0)
    assert list(tmp_path.iterdir()) == [scans]


def test_an_option_of_fetch_is_none_of_submit(scans, tmp_path):
    """
    It is said to be none, in the words of whichever release of click is installed.
    """
    finished = run("submit", "scans", "--patience", "3", cwd=tmp_path)
    assert (finished.code, finished.stdout) == (2, "")
    assert re.search(r"No such option(: --patience| '--patience')", finished.stderr)


def test_a_closed_standard_output_is_no_manifest(scans, tmp_path, receiver):
    """
    Nothing is sent whose id would be written nowhere.
    """
    command = f"{sys.executable} -m batchfetch submit scans -o - --base-url {receiver.base_url} >&-"
    done = subprocess.run(
        ["sh", "-c", command],
        check=False,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 2
    assert "--output - is standard output, and that is closed; leave it open" in done.stderr
    assert (receiver.submitted, list(tmp_path.iterdir())) == ([], [scans])


def test_a_manifest_that_was_taken_away_is_missed(scans, tmp_path, receiver):
    """
    A manifest without lines although images were accepted before: the report is named in its place.
    """
    argv = ("submit", "scans", "--base-url", receiver.base_url)
    words = "give it as the manifest: batchfetch fetch manifest.report.jsonl"
    for _ in range(2):
        finished = run(*argv, cwd=tmp_path)
        assert (finished.code, words in finished.stderr) == (0, False)
    (tmp_path / "manifest.jsonl").unlink()
    finished = run(*argv, cwd=tmp_path)
    assert (finished.code, words in finished.stderr) == (0, True)
    assert "manifest.jsonl has no lines, and the report has the ids of 3 images" in finished.stderr


def test_an_uncertain_image_is_explained(scans, tmp_path, receiver):
    """
    Exit code 3 says what is uncertain, and what would send it again.
    """
    receiver.acts = [no_answer(Ending.CLOSE)]
    argv = ("submit", "scans", "--base-url", receiver.base_url)
    finished = run(*argv, cwd=tmp_path)
    assert finished.code == 3
    assert "Uncertain (answer_lost): it may have been accepted" in finished.stderr
    assert "exit code 3: only 2 of 3 images accepted" in finished.stderr
    assert "not accepted: 1 Uncertain (1 answer_lost)" in finished.stderr
    assert "--retry Uncertain" in finished.stderr
    assert "report: manifest.report.jsonl" in finished.stderr
    assert run(*argv, "--retry", "uncertain", cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no SOURCE is given; name an image, a folder, a table or -"),
        (("scans", "--endpoint", "task"), "--endpoint: 'task' is not valid; it should be 'deskew'"),
        (("scans", "-o", "x.csv"), "--output: the manifest is JSON Lines; give a name in .jsonl"),
        (("scans", "--retry", "Lost"), "--retry: 'Lost' is not a valid outcome; use Uncertain"),
        (("scans", "--retry", "submitted"), "--retry: Submitted is not retried; use --again"),
        (("scans", "--base-url", "http://example.com"), "--base-url: is plain http"),
        (
            ("scans", "--sandbox", "--base-url", "https://a.b"),
            "--base-url has no use with --sandbox",
        ),
        (("scans", "-r", "x.jsonl", "-o", "x.jsonl"), "report and output are the same file"),
        (
            ("scans", "-r", "scans/../x.jsonl", "-o", "x.jsonl"),
            "are the same file; give the report",
        ),
        (("scans", "-o", "x.json"), "give a name in .jsonl, not in .json"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(scans, tmp_path, options, words):
    """
    A wrong line is exit code 2, with the option's name and what would do.
    """
    finished = run("submit", *options, cwd=tmp_path)
    assert (finished.code, finished.stdout) == (2, "")
    assert words in finished.stderr
    assert list(tmp_path.iterdir()) == [scans]


def test_variables(scans, tmp_path, receiver):
    """
    Its own begin with BATCHFETCH_SUBMIT_; of those of `fetch` only the shared ones count.
    """
    variables = {
        "BATCHFETCH_BASE_URL": receiver.base_url,
        "BATCHFETCH_SUBMIT_OUTPUT": "mine.jsonl",
        "BATCHFETCH_SUBMIT_ENDPOINT": "dewarp",
        "BATCHFETCH_OUTPUT": "images",
        "BATCHFETCH_MAX_CALLS": "1",
        "BATCHFETCH_SUBMIT_OUTPTU": "x",
    }
    finished = run("submit", "scans", cwd=tmp_path, env=environment(**variables))
    assert finished.code == 0
    assert {line["endpoint"] for line in lines_of(tmp_path / "mine.jsonl")} == {"dewarp"}
    assert "unknown variable BATCHFETCH_SUBMIT_OUTPTU; did you mean" in finished.stderr
    # And `fetch` takes none of them for its own, misspelt.
    finished = run("fetch", "none.txt", cwd=tmp_path, env=environment(**variables))
    assert "unknown variable" not in finished.stderr


def test_the_settings_file(scans, tmp_path, receiver):
    """
    The table [submit] has its keys and `source`; base URL and CA file are those of the top.
    """
    (tmp_path / "night.toml").write_text(
        f'base-url = "{receiver.base_url}"\nmax-calls = 1\nmanifest = "m.csv"\n'
        '[submit]\nsource = ["scans"]\nmax-calls = 2\noutput = "night.jsonl"\n'
    )
    finished = run("submit", "--config", "night.toml", "--json", cwd=tmp_path)
    assert (finished.code, finished.summary["calls"]) == (4, 2)
    assert "stopped by --max-calls; 1 image left: run the same command again" in finished.stderr
    assert len(lines_of(tmp_path / "night.jsonl")) == 2
    # A table of its own wins.
    (tmp_path / "own.toml").write_text(
        f'base-url = "https://127.0.0.1:9"\n[submit]\nbase-url = "{receiver.base_url}"\n'
    )
    finished = run("submit", "scans", "--config", "own.toml", cwd=tmp_path)
    assert finished.code == 0
    (tmp_path / "wrong.toml").write_text("[submit]\npatience = 3\n")
    finished = run("submit", "scans", "--config", "wrong.toml", cwd=tmp_path)
    assert finished.code == 2
    assert "wrong.toml: patience is not a setting" in finished.stderr
    # `fetch` takes no notice of the table.
    finished = run("fetch", "none.txt", "--config", "own.toml", cwd=tmp_path)
    assert "submit" not in finished.stderr


def test_secrets_are_not_shown(scans, tmp_path, receiver):
    """
    Neither the report nor the log has a credential or a token.
    """
    finished = run(
        *("submit", "scans", "--base-url", receiver.base_url, "--log-level", "debug"),
        cwd=tmp_path,
        env=client_credentials(),
    )
    assert finished.code == 0
    written = "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))
    for secret in ("cl13nt-1d", "cl13nt-s3cret", "granted-1"):
        assert secret not in finished.stderr + finished.stdout + written


def test_without_credentials(scans, tmp_path):
    """
    It is exit code 2, and nothing is made.
    """
    env = {k: v for k, v in environment().items() if k != "BATCHFETCH_ACCESS_TOKEN"}
    finished = run("submit", "scans", cwd=tmp_path, env=env)
    assert finished.code == 2
    assert "no credentials" in finished.stderr
    assert list(tmp_path.iterdir()) == [scans]


def test_refused_credentials_are_exit_code_5(scans, tmp_path, receiver):
    """
    A token that is refused ends the run, which says how many images are left.
    """
    receiver.refused_tokens = {"t0p-s3cret-t0ken"}
    finished = run("submit", "scans", "--base-url", receiver.base_url, cwd=tmp_path)
    assert finished.code == 5
    assert "3 images left: run the same command again when that is put right" in finished.stderr


PROGRESS = SubmitProgress(
    images=12,
    all_read=False,
    outcomes={SubmitStatus.SUBMITTED: 4, SubmitStatus.UNCERTAIN: 1},
    already=2,
    skipped=1,
    waiting=3,
    in_flight=2,
    calls=6,
    bytes=2**20,
    seconds=2.0,
)
SUMMARY = SubmitSummary(
    images=12,
    outcomes={SubmitStatus.SUBMITTED: 4, SubmitStatus.UNCERTAIN: 1},
    reasons={"answer_lost": 1},
    already=2,
    skipped=1,
    left=5,
    calls=6,
    cost=None,
    seconds=2.0,
    exit_code=ExitCode.STORAGE,
    stopped_by="storage",
)


def test_progress_in_words():
    """
    On one line, and on three that fit a terminal.
    """
    assert submit_progress_line(PROGRESS) == (
        "7 of at least 12 images: 4 Submitted, 1 Uncertain, 2 already accepted; "
        "2 in flight, 6 calls, 1.0 MiB, 2.5 images/s, 2.0 s"
    )
    assert submit_panel(PROGRESS, 200) == [
        "7 of at least 12 images",
        "4 Submitted, 1 Uncertain; 2 already accepted",
        "2 in flight, 6 calls, 1.0 MiB, 2.5 images/s, 2.0 s",
    ]
    assert all(len(line) <= 40 for line in submit_panel(PROGRESS, 40))


def test_an_interruption_in_words():
    """
    What the run waits for is said as for `fetch`, on a line of its own on a terminal.
    """
    began = datetime(2026, 11, 25, 2, 14, 5, tzinfo=UTC)
    present = Present(Cause.OUTAGE, began, began + timedelta(minutes=15), 900.0, "No route to host")
    progress = replace(PROGRESS, interruption=present)
    held = "held since 02:14:05Z, until 02:29:05Z at most: No route to host"
    assert submit_progress_line(progress) == f"{held}; {submit_progress_line(PROGRESS)}"
    assert submit_panel(progress, 200) == [*submit_panel(PROGRESS, 200), held]
    assert submit_panel(progress, 40)[-1] == "no answer: held 02:14Z to 02:29Z"


def test_a_summary_in_words():
    """
    What became of the images, what it took, and where it is.
    """
    assert submit_summary_text(SUMMARY, SubmitSettings(output="m.jsonl")) == (
        "12 images in 2.0 s: 4 Submitted, 1 Uncertain, 2 already accepted; 1 file skipped: no "
        "images\n6 calls\nmanifest: m.jsonl"
    )


@pytest.mark.parametrize(
    ("code", "stopped_by", "counted", "words"),
    [
        (6, "storage", False, "the manifest or the report cannot be written; at least 5 images"),
        (5, "credentials", True, "refuses the credentials; 5 images left"),
        (130, "SIGINT", True, "stopped by SIGINT; 5 images left: run the same command again"),
        (8, "refusals", True, "turns every request away; 5 images left"),
        (2, None, True, "a source cannot be read to its end"),
        (3, None, True, "only 6 of 12 images accepted"),
    ],
)
def test_an_exit_code_in_words(code, stopped_by, counted, words):
    """
    Each says what stopped the run, and what to do.
    """
    summary = SUMMARY.model_copy(update={"exit_code": ExitCode(code), "stopped_by": stopped_by})
    text = submit_explanation(summary, SubmitSettings(), counted=counted)
    assert text.startswith(f"exit code {code}: ")
    assert words in text
    assert text.endswith("report: manifest.report.jsonl")


def test_a_plan_in_words():
    """
    What would be sent, what would not, and why.
    """
    plan = SubmitPlan(
        images=6,
        already=1,
        uncertain=1,
        invalid=1,
        reasons={"not_image": 1},
        skipped=2,
        to_submit=3,
        bytes=3000,
        least_calls=3,
        least_cost=None,
    )
    assert submit_plan_text(plan, SubmitSettings()) == (
        "6 images: 3 to submit, 1 already accepted, 1 uncertain, 1 unusable (1 not_image); 2 files "
        "skipped: no images\n3 calls at least, 2.9 KiB of images\nreport: manifest.report.jsonl"
    )


def test_what_can_be_completed():
    """
    A shell offers the endpoints that take images, and the one outcome that --retry is for.
    """
    (submit,) = (each for each in completed_commands() if each.name == "submit")
    words = {option.names[-1]: option.values.words for option in submit.options}
    assert words["--endpoint"] == ["deskew", "dewarp", "upscale", "binarize"]
    assert words["--retry"] == ["Uncertain"]
    assert "NotExist" in words["--only"]
