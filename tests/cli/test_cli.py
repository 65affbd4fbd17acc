"""
The command from outside: words, exit codes, streams.
"""

import fcntl
import gc
import itertools
import json
import logging
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import click
import pytest
from command import (
    LIMIT,
    ROOT,
    client_credentials,
    environment,
    finish,
    images_in,
    run,
    start,
    wait_until,
)
from origin import Origin, serving
from terminal import Terminal

from batchfetch.cli.imports import kept
from batchfetch.cli.main import COMMANDS, load_command, main
from batchfetch.errors import (
    CredentialsError,
    JobError,
    ManifestError,
    OutputLockedError,
    ReportError,
    SettingsError,
    StorageError,
)
from batchfetch.exit_codes import code_of_failure
from batchfetch.version import __version__

IDS = ["t-1", "t-2", "t-3"]
SANDBOX = {"BATCHFETCH_SANDBOX_PROCESSING_TIME": "0"}


@pytest.fixture
def manifest(tmp_path):
    """
    A manifest of three tasks, all of which the stand-in completes.
    """
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(IDS))
    return path


@pytest.fixture
def fetch(tmp_path, manifest):
    """
    Run `fetch` on the manifest against the stand-in, in a folder of its own.
    """

    def fetch(*args, env=SANDBOX, **how):
        return run("fetch", manifest, "--sandbox", *args, env=without_credentials(**env), **how)

    def in_folder(*args, **how):
        return fetch(*args, **{"cwd": tmp_path, **how})

    return in_folder


def without_credentials(**more):
    """
    An environment that holds none of ours.
    """
    env = environment(**more)
    del env["BATCHFETCH_ACCESS_TOKEN"]
    return env


# The front door


def test_version():
    """
    `--version` says which release this is.
    """
    finished = run("--version")
    assert (finished.code, finished.stdout) == (0, f"batchfetch {__version__}\n")


def test_the_installed_command_is_the_module():
    """
    `batchfetch` and `python -m batchfetch` are one.
    """
    script = Path(sys.executable).with_name("batchfetch")
    if not script.exists():
        pytest.skip("batchfetch is not installed beside this Python")
    output = subprocess.run([script, "--help"], check=True, capture_output=True, text=True).stdout
    assert output == run("--help").stdout
    assert output.startswith("Usage: batchfetch ")


def test_no_arguments_show_the_help():
    """
    Without a subcommand there is help, and nothing was asked.
    """
    finished = run()
    assert finished.code == 2
    assert finished.stdout == ""
    assert re.search(r"^  fetch +Fetch every task", finished.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["fetch"], "no MANIFEST is given; name one, or set manifest in the file that --config"),
        (["fetch", "m.txt", "--conurrency", "3"], "No such option"),
        (["fetch", "m.txt", "--rate"], "Option '--rate' requires an argument; try batchfetch fet"),
        (["fetch", "m.txt", "--rate", "fast"], "--rate: 'fast' is not a valid rate; use 20, 20/s"),
        (
            ["fetch", "m.txt", "--log-level", "loud"],
            "--log-level: 'loud' is not valid; it should be 'debug', 'info'",
        ),
        (["fetch", "m.txt", "--config", "gone.toml"], "gone.toml: cannot be read: No such file"),
        (
            ["fetch", "m.txt", "--sandbox", "--base-url", "https://x"],
            "--base-url has no use with --sandbox, which asks its own stand-in; leave out one",
        ),
        (["sandbox", "--port", "x"], "--port: 'x' is not valid; it should be a valid integer"),
    ],
)
def test_a_usage_error_is_one_sentence(capsys, args, sentence):
    """
    What is wrong is said in one line, and the exit code is 2.
    """
    assert main(args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"batchfetch: {sentence}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["--nothing"], "batchfetch"),
        (["nothing"], "batchfetch"),
        (["fetch"], "batchfetch fetch"),
        (["fetch", "m.txt", "--conurrency", "3"], "batchfetch fetch"),
        (["fetch", "m.txt", "--rate", "fast"], "batchfetch fetch"),
        (["fetch", "m.txt", "--log-level", "loud"], "batchfetch fetch"),
        (["sandbox", "--port", "x"], "batchfetch sandbox"),
        (["sandbox", "--prot", "1"], "batchfetch sandbox"),
        (["help", "one", "two"], "batchfetch help"),
    ],
)
def test_a_usage_error_ends_with_the_way_to_help(capsys, args, command):
    """
    The last words are a command that lists what may be written.
    """
    assert main(args) == 2
    assert re.search(rf"(; t|\?\)? T)ry {command} --help\n\Z", capsys.readouterr().err)
    assert main([*command.split(" ")[1:], "--help"]) == 0


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("fetsh", "; did you mean batchfetch fetch? T"),
        ("Fetch", "; did you mean batchfetch fetch? T"),
        ("sandbx", "; did you mean batchfetch sandbox? T"),
        ("manifest.csv", "; did you mean batchfetch fetch manifest.csv? T"),
        ("my ids.JSONL", "; did you mean batchfetch fetch 'my ids.JSONL'? T"),
        ("ids.txt.gz", "; did you mean batchfetch fetch ids.txt.gz? T"),
        ("-", "; did you mean batchfetch fetch -? T"),
        ("quux", "; t"),
    ],
)
def test_a_word_that_is_no_command(capsys, word, meant):
    """
    All commands are named, and the one that was probably meant.
    """
    assert main([word, "--rate", "3"]) == 2
    assert capsys.readouterr().err == (
        f"batchfetch: {word!r} is not one of the commands {', '.join(COMMANDS)}{meant}ry "
        "batchfetch --help\n"
    )


def test_a_file_without_a_suffix_is_meant_for_fetch(capsys, monkeypatch, manifest):
    """
    A word that is the name of a file is not a misspelt command.
    """
    monkeypatch.chdir(manifest.parent)
    manifest.rename(manifest.with_name("tonight"))
    assert main(["tonight"]) == 2
    assert "did you mean batchfetch fetch tonight?" in capsys.readouterr().err
    assert main(["x" * 300]) == 2  # No file can have that name.
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-o", "--rate"])
def test_an_option_before_the_command(capsys, option):
    """
    An option of `fetch` that stands in front of nothing names its command.
    """
    assert main([option, "x", "m.txt"]) == 2
    assert f"{option} is an option of fetch; did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_has_a_short_name(name):
    """
    `-h` is `--help`, of the command and of each subcommand.
    """
    words = name.split()
    short, long = run(*words, "-h"), run(*words, "--help")
    assert (short.code, short.stdout) == (0, long.stdout)
    assert "-h, --help" in long.stdout


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_is_as_wide_as_the_terminal(width):
    """
    Lines are filled, up to a width that can still be read.
    """
    shown = run("fetch", "--help", env=environment(COLUMNS=str(width))).stdout
    prose = shown.split("\nExamples:\n")[0]
    assert width - 12 < max(map(len, prose.splitlines())) <= width


def test_options_are_in_groups():
    """
    Every option of `fetch` is in a group with a title, and what is most asked comes first.
    """
    shown = run("fetch", "--help").stdout
    titles = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert titles[0] == "What to fetch"
    assert titles[-1] == "Examples"
    assert not {"Options", "Other options"} & set(titles)
    for parameter in load_command("fetch").params:
        if isinstance(parameter, click.Option):
            line = rf"^  (-\w, )?{parameter.opts[-1]} "
            assert len(re.findall(line, shown, re.MULTILINE)) == 1


def test_examples_of_the_help_are_valid(tmp_path, manifest):
    """
    Each of the three lines can be pasted.
    """
    shown = run("fetch", "--help").stdout.split("\nExamples:\n")[1]
    lines = re.findall(r"^  (batchfetch .+)$", shown, re.MULTILINE)
    assert len(lines) == 3
    (tmp_path / "manifest.csv").write_text("task_id\nt-1\n")
    for line in lines:
        words = shlex.split(line)[1:]
        extra = [] if {"--sandbox", "--dry-run"} & set(words) else ["--sandbox"]
        assert run(*words, *extra, cwd=tmp_path, env=environment(**SANDBOX)).code == 0


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_help_is_coloured_on_a_terminal(variables):
    """
    Titles and options have colours where a terminal shows them, and the text is the same.
    """
    plain = run("fetch", "--help").stdout
    with Terminal(80, 200) as terminal:
        process = terminal.start(
            *("fetch", "--help"),
            env=environment(**{"TERM": "xterm"} | variables),
            stdout=terminal.descriptor,
        )
        assert process.wait(LIMIT) == 0
        shown = terminal.wait_for(lambda lines: lines[-1].strip() == plain.split("\n")[-2].strip())
    assert shown == [line.rstrip() for line in plain.rstrip().split("\n")]
    assert (b"\x1b[" in terminal.sent) == (not variables)


@pytest.mark.parametrize("source", ["option", "joined", "variable", "file"])
def test_a_usage_error_in_json(tmp_path, source):
    """
    What collects JSON lines also gets the error of a command that could not be understood.
    """
    (tmp_path / "night.toml").write_text('log-format = "json"\n')
    words, variables = {
        "option": (["--log-format", "json"], {}),
        "joined": (["--log-format=json"], {}),
        "variable": ([], {"BATCHFETCH_LOG_FORMAT": "json"}),
        "file": (["--config", "night.toml"], {}),
    }[source]
    for wrong in (["--conurrency", "3"], ["--rate", "fast"]):
        finished = run(
            *("fetch", "m.txt", *wrong, *words), cwd=tmp_path, env=environment(**variables)
        )
        entry = json.loads(finished.stderr)
        assert (finished.code, entry["level"]) == (2, "error")
        assert wrong[0] in entry["message"]
    text = run("fetch", *words, "--log-format", "text", "--nothing", cwd=tmp_path)
    assert text.stderr.startswith("batchfetch: No such option")


@pytest.mark.parametrize("args", [["sandbox", "--port", "x"], ["fetch", "m.txt", "--rate", "fast"]])
def test_a_usage_error_leaves_the_log_alone(args):
    """
    A program that calls `main` keeps the levels and handlers that it has set.
    """
    logger = logging.getLogger("batchfetch")
    before = (logger.level, logging.getLogger().handlers.copy())
    assert main(args) == 2
    assert (logger.level, logging.getLogger().handlers) == before


def test_wrong_settings_create_nothing(fetch, tmp_path):
    """
    A setting that makes no sense stops the run before it touches anything.
    """
    assert fetch("--patience", "soon").code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"ids.txt"}


def test_missing_credentials_are_one_sentence(tmp_path, manifest):
    """
    A run without credentials says what to set, asks nothing and leaves nothing.
    """
    finished = run("fetch", manifest, cwd=tmp_path, env=without_credentials())
    assert finished.code == 2
    assert (
        "no credentials: set BATCHFETCH_CLIENT_ID and BATCHFETCH_CLIENT_SECRET" in finished.stderr
    )
    assert finished.stderr.count("\n") == 1
    assert not (tmp_path / "images").exists()


def test_a_missing_manifest_comes_before_missing_credentials(tmp_path, manifest):
    """
    A mistyped name is told at once, and not after the credentials have been found.
    """
    finished = run("fetch", manifest, "gone.csv", cwd=tmp_path, env=without_credentials())
    assert finished.code == 2
    assert "gone.csv cannot be opened: No such file or directory" in finished.stderr
    assert "credentials" not in finished.stderr


def test_a_missing_manifest_is_one_sentence(tmp_path):
    """
    A manifest that is not there is exit 2, in the chosen log format.
    """
    finished = run("fetch", "gone.csv", "--log-format", "json", cwd=tmp_path)
    assert finished.code == 2
    entry = json.loads(finished.stderr)
    assert (entry["level"], "gone.csv" in entry["message"]) == ("error", True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError, 2),
        (ManifestError, 2),
        (CredentialsError, 5),
        (StorageError, 6),
        (ReportError, 6),
        (OutputLockedError, 7),
    ],
)
def test_every_error_that_ends_a_run_has_a_code(error, code):
    """
    The errors of a run that never began have the contract's codes.
    """
    assert code_of_failure(error("why")) == code


def test_an_error_that_should_never_get_out_is_a_defect():
    """
    It is raised again, which shows a traceback and exits 1.
    """
    with pytest.raises(JobError, match="why"):
        code_of_failure(JobError("why"))


def test_nothing_heavy_is_imported_for_help():
    """
    Help does not wait for what only a run needs.
    """
    code = (
        "import sys; from batchfetch.cli.main import main; main(['{}', '--help'][{}:]);"
        "print(sorted({{'aiohttp', 'anyio', 'rich', 'aiofiles', 'asyncio', 'pydantic'}}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    for start_at, imported in ((1, []), (0, ["pydantic"])):
        command = [sys.executable, "-c", code.format("fetch", start_at)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment()
        )
        assert done.stderr.strip() == str(imported)


def test_no_garbage_is_looked_for_while_importing():
    """
    The collector rests in the block, leaves what was made there alone, and works on afterwards.
    """
    before = gc.get_freeze_count()
    with kept():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_a_run_imports_nothing_that_it_does_not_use():
    """
    What only a plan, a settings file, a mistake, a terminal or the stand-in needs is left alone.
    """
    code = (
        # Who measures coverage has imported something of its own by then.
        "import sys; before = set(sys.modules); import batchfetch.cli.run;"
        "print({'batchfetch.run.plan', 'batchfetch.sandbox', 'tomllib', 'difflib', 'rich'}"
        " & set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.stdout.strip() == "set()"


# A run on the stand-in


def test_a_run_leaves_images_a_report_and_a_summary(fetch, tmp_path):
    """
    All tasks are completed: exit 0, nothing on stdout, the summary on stderr.
    """
    finished = fetch()
    assert (finished.code, finished.stdout) == (0, "")
    assert set(images_in(tmp_path / "images")) == set(IDS)
    assert re.search(r"^3 tasks in .* s: 3 Completed\n3 calls \(1\.00 for each", finished.stderr)
    assert finished.stderr.endswith("report: images/report.jsonl\n")


def test_json_is_all_there_is_on_stdout(fetch):
    """
    `--json` prints the summary as one object.
    """
    finished = fetch("--json")
    assert set(finished.summary) == {
        *("tasks", "outcomes", "reasons", "adopted", "already", "left", "repeated", "calls"),
        *("calls_per_image", "asked_too_early", "cost", "token_requests", "bytes", "seconds"),
        *("exit_code", "stopped_by"),
    }
    assert finished.summary["outcomes"] == {"Completed": 3}
    assert finished.stdout.count("\n") == 1


def test_a_second_run_has_nothing_to_do(fetch):
    """
    What is there is not fetched again.
    """
    fetch()
    again = fetch("--json")
    assert again.code == 0
    assert (again.summary["already"], again.summary["calls"]) == (3, 0)


def test_tasks_that_did_not_end_well_are_warnings(fetch, manifest):
    """
    Each is a line on stderr, the exit code is 3, and the summary says how to list them.
    """
    manifest.write_text("t-1\nsample-error\nsample-unknown\n")
    finished = fetch()
    assert finished.code == 3
    assert "warning: sample-error: Error (service_error): " in finished.stderr
    assert "warning: sample-unknown: NotExist (not_found)" in finished.stderr
    command = finished.stderr.splitlines()[-1].split(": batchfetch ")[1]
    shown = run(*shlex.split(command), "--json", cwd=manifest.parent).summary
    assert shown["reasons"] == {"service_error": 1, "not_found": 1}


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [
        (None, 3),
        ("NotExist,Failed", 3),
        ("Error", 3),
        ("Failed,TimedOut,Invalid", 0),
        ("none", 0),
    ],
)
def test_outcomes_that_count_as_failures_are_chosen(fetch, manifest, fail_on, code):
    """
    They make exit code 3, in the run that finds them and in later ones that leave them alone.
    """
    manifest.write_text("t-1\nsample-error\nsample-unknown\n")
    env = SANDBOX if fail_on is None else {**SANDBOX, "BATCHFETCH_FAIL_ON": fail_on}
    first, second = fetch("--json", env=env), fetch("--json", env=env)
    assert (first.code, second.code) == (code, code)
    assert first.summary["outcomes"] == {"Completed": 1, "Error": 1, "NotExist": 1}
    assert (second.summary["already"], second.summary["exit_code"]) == (3, code)


def test_no_choice_of_failures_hides_that_a_run_was_stopped(fetch):
    """
    Exit code 4 says that tasks are left, and has nothing to do with outcomes.
    """
    assert fetch("--fail-on", "none", "--max-calls", "1").code == 4


def test_a_log_for_machines(fetch, manifest):
    """
    With `--log-format json` every line on stderr is an object, the summary among them.
    """
    manifest.write_text("t-1\nsample-error\n")
    entries = [json.loads(line) for line in fetch("--log-format", "json").stderr.splitlines()]
    assert [entry["outcome"]["task_id"] for entry in entries if "outcome" in entry] == [
        "sample-error"
    ]
    assert entries[-1]["summary"]["exit_code"] == 3


def test_a_quiet_run(fetch):
    """
    A run that went well and was asked to be quiet says nothing at all.
    """
    finished = fetch("--log-level", "warning")
    assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")


def test_a_quiet_run_that_reached_its_limit_says_so(fetch):
    """
    `--log-level warning` shows what stopped the run, what is left, and where the report is.
    """
    finished = fetch("--log-level", "warning", "--max-calls", "1")
    assert finished.code == 4
    assert finished.stderr.splitlines() == [
        "exit code 4: stopped by --max-calls; 2 tasks left: run the same command again",
        "report: images/report.jsonl",
    ]


def test_a_quiet_second_night_says_why_it_is_red(fetch, manifest):
    """
    What earlier runs left is the reason, and named as that; at `error` nothing is said.
    """
    manifest.write_text("t-1\nsample-error\nsample-unknown\n")
    assert fetch("--log-level", "error").stderr == ""
    second = fetch("--log-level", "warning")
    assert second.code == 3
    assert second.stderr.splitlines()[:2] == [
        "exit code 3: 2 of 3 tasks did not end Completed",
        (
            "in earlier runs, and left alone in this one: 1 Error, 1 NotExist; "
            "--retry Error,NotExist asks about them again"
        ),
    ]
    (entry,) = fetch("--log-level", "warning", "--log-format", "json").stderr.splitlines()
    assert json.loads(entry)["message"].startswith(
        "exit code 3: 2 of 3 tasks did not end Completed; in earlier runs, and left alone"
    )
    assert json.loads(entry)["summary"]["already"] == 3


def test_settings_come_from_file_and_environment_too(fetch, tmp_path):
    """
    A run takes its options from the settings file and from variables as well.
    """
    (tmp_path / "night.toml").write_text('output = "from-file"\nreport = "from-file.jsonl"\n')
    env = {**SANDBOX, "BATCHFETCH_CONFIG": "night.toml", "BATCHFETCH_OUTPUT": "from-environment"}
    finished = fetch(env=env)
    assert finished.code == 0
    assert set(images_in(tmp_path / "from-environment")) == set(IDS)
    assert (tmp_path / "from-file.jsonl").exists()


def test_a_misspelt_variable_is_a_warning(fetch):
    """
    It does not stop the run.
    """
    finished = fetch(env={**SANDBOX, "BATCHFETCH_OUTPT": "x", "BATCHFETCH_SANDBOX_WORKRS": "3"})
    assert finished.code == 0
    assert "unknown variable BATCHFETCH_OUTPT; did you mean BATCHFETCH_OUTPUT?" in finished.stderr
    assert (
        "unknown variable BATCHFETCH_SANDBOX_WORKRS; did you mean BATCHFETCH_SANDBOX_WORKERS?"
        in finished.stderr
    )


def test_the_stand_in_listens_to_the_environment(fetch):
    """
    `fetch --sandbox` takes the stand-in's settings from variables.
    """
    finished = fetch("--attempts", "1", env={"BATCHFETCH_SANDBOX_FAULTS": "corrupt=1"})
    assert finished.code == 3
    assert finished.stderr.count("Failed (corrupt_png)") == 3


def test_the_stand_in_beside_a_run_logs_requests(fetch):
    """
    At its own level, whatever that of the run is, and in the run's format; by default it is silent.
    """
    level = {"BATCHFETCH_SANDBOX_LOG_LEVEL": "info"}
    asked = fetch("--log-level", "error", "--log-format", "json", env=SANDBOX | level)
    requests = [json.loads(line)["request"] for line in asked.stderr.splitlines()]
    assert [each["target"] for each in requests].count("/connect/token") == 1
    assert len(requests) == 1 + len(IDS)
    assert '"request":' not in fetch("--overwrite", "--log-format", "json").stderr


def test_credentials_from_the_environment_reach_the_service(tmp_path, manifest):
    """
    A client id and a secret are changed into a token, with which the service is asked.
    """
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", manifest, "--base-url", origin.base_url, "-o", tmp_path / "out"),
            env=client_credentials(),
        )
    assert finished.code == 0, finished.stderr
    assert origin.token_requests


def test_standard_input_is_a_manifest(fetch, tmp_path):
    """
    `-` reads ids from stdin, one a line.
    """
    process = start(
        *("fetch", "-", "--sandbox", "--json"),
        env=without_credentials(**SANDBOX),
        stdin=subprocess.PIPE,
        cwd=tmp_path,
    )
    stdout, _ = process.communicate("a\nb\n", timeout=LIMIT)
    assert json.loads(stdout)["outcomes"] == {"Completed": 2}


def unread(pipe):
    """
    Return how many bytes in *pipe* nobody has read yet.
    """
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_its_manifest_can_be_stopped(tmp_path, number):
    """
    A signal before, or just after, the run has begun ends it at once and without a traceback.
    """
    process = start(
        *("fetch", "-", "--sandbox"),
        env=without_credentials(),
        stdin=subprocess.PIPE,
        cwd=tmp_path,
    )
    process.stdin.write("half a li")
    process.stdin.flush()
    wait_until(lambda: not unread(process.stdin))
    process.send_signal(number)
    try:
        process.wait(30)  # Its manifest stays open: only the signal can end it.
    finally:
        process.kill()
        finished = finish(process)
    # How a shell says that a signal ended a process: by 128 and its number, as we do.
    assert finished.code in {128 + number, -number}
    assert "Traceback" not in finished.stderr


def test_an_interrupt_before_anything_was_asked_is_told(tmp_path):
    """
    A forecast that waits for its manifest has not begun: exit 130, and why.
    """
    process = start("fetch", "-", "--dry-run", stdin=subprocess.PIPE, cwd=tmp_path)
    process.stdin.write("half a li")
    process.stdin.flush()
    wait_until(lambda: not unread(process.stdin))
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)  # Its manifest stays open: only the signal can end it.
    finally:
        process.kill()
        finished = finish(process)
    assert finished.code == 130
    assert finished.stderr.strip() == "batchfetch: stopped by SIGINT; run the same command again"


def test_an_interrupt_of_the_first_moment_is_quiet():
    """
    Whenever it comes, no traceback leads into the command; what the interpreter says of one that
    comes before that is its own.
    """
    began = time.monotonic()
    run("report", "nowhere")
    lasted = time.monotonic() - began  # Longer on a busy machine.
    codes = set()
    for number in itertools.count():
        process = start("report", "nowhere")
        time.sleep(lasted * (number % 40) / 40)
        process.send_signal(signal.SIGINT)
        finished = finish(process)
        codes.add(finished.code)
        if "Traceback" in finished.stderr:
            assert f"{ROOT / 'batchfetch' / 'cli'}/" not in finished.stderr
        assert codes <= {1, 2, 130, -signal.SIGINT}
        if number >= 40 and 130 in codes:
            break


def test_an_interrupt_during_an_import_comes_after_it():
    """
    An import is not left half-way: the signal is delivered when the block ends.
    """
    arrived = []
    before = signal.signal(signal.SIGINT, lambda *_: arrived.append(True))
    try:
        with kept():
            signal.raise_signal(signal.SIGINT)
            assert arrived == []
        assert arrived == [True]
    finally:
        signal.signal(signal.SIGINT, before)


# Forecasts


def test_a_dry_run_touches_nothing(fetch, tmp_path):
    """
    The plan is on stdout; no folder is made.
    """
    finished = fetch("--dry-run")
    assert finished.code == 0
    assert finished.stdout.startswith("3 tasks: 3 to fetch\n3 calls at least")
    assert [path.name for path in tmp_path.iterdir()] == ["ids.txt"]


def test_a_dry_run_needs_no_credentials(tmp_path, manifest):
    """
    It asks nothing, so nobody needs to be known; it knows what is settled.
    """
    run("fetch", manifest, "--sandbox", cwd=tmp_path, env=without_credentials(**SANDBOX))
    with manifest.open("a") as more:
        more.write("\nt-4\n")
    finished = run(
        *("fetch", manifest, "--dry-run", "--json"),
        cwd=tmp_path,
        env=without_credentials(),
    )
    assert finished.code == 0
    plan = json.loads(finished.stdout)
    assert (plan["tasks"], plan["to_fetch"], plan["already"], plan["least_calls"]) == (4, 1, 3, 1)


# Terminals and pipes


def test_a_terminal_shows_the_run(tmp_path, manifest):
    """
    On a terminal there is a live display, gone at the end, and the summary stays.
    """
    mine, its = pty.openpty()
    process = start(
        *("fetch", manifest, "--sandbox"),
        env=without_credentials(BATCHFETCH_SANDBOX_PROCESSING_TIME="0", TERM="xterm"),
        cwd=tmp_path,
        stderr=its,
    )
    os.close(its)
    shown = b""
    while chunk := read_terminal(mine):
        shown += chunk
    assert process.wait(LIMIT) == 0
    process.stdout.close()
    assert b"in flight" in shown
    assert b"\x1b[?25h" in shown, "the cursor was not given back"
    assert b"3 tasks in" in shown.split(b"in flight")[-1]


def read_terminal(descriptor):
    """
    Return what comes next, and nothing once the other side is gone.
    """
    try:
        return os.read(descriptor, 65536)
    except OSError:  # How Linux says that the other side is closed.
        os.close(descriptor)
        return b""


@pytest.mark.parametrize("args", [["--json"], ["--dry-run"], ["--json", "--log-level", "debug"]])
def test_a_reader_who_leaves_is_no_failure(fetch, args):
    """
    A closed pipe on stdout and stderr makes no traceback and no other exit code.
    """
    reading, writing = os.pipe()
    os.close(reading)
    finished = fetch(*args, stdout=writing)
    os.close(writing)
    assert finished.code == 0
    assert "Traceback" not in finished.stderr
    assert "Exception ignored" not in finished.stderr


def test_a_closed_stderr_is_no_failure(fetch, tmp_path):
    """
    When nobody reads the log, the work is done all the same.
    """
    reading, writing = os.pipe()
    os.close(reading)
    assert fetch("--log-level", "debug", stderr=writing).code == 0
    os.close(writing)
    assert set(images_in(tmp_path / "images")) == set(IDS)


def test_closed_streams_are_no_failure(manifest, tmp_path):
    """
    A run may be started with stdout and stderr closed.
    """
    command = f"{sys.executable} -m batchfetch fetch {manifest} --sandbox --json >&- 2>&-"
    subprocess.run(
        ["sh", "-c", command], check=True, cwd=tmp_path, env=without_credentials(**SANDBOX)
    )
    assert set(images_in(tmp_path / "images")) == set(IDS)


def test_a_full_disk_under_stdout_is_exit_6(fetch):
    """
    A summary that cannot be delivered is not passed over.
    """
    with Path("/dev/full").open("w") as full:
        finished = fetch("--json", stdout=full)
    assert finished.code == 6
    assert finished.stderr.endswith("No space left on device; make room, or send it elsewhere\n")


# The stand-in as a process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_stand_in_serves_until_told(tmp_path, manifest, number):
    """
    Its address is the first line on stdout; a run can use it; a signal ends it with exit 0.
    """
    process = start("sandbox", "--processing-time", "0", env=without_credentials())
    url = process.stdout.readline().strip()
    finished = run(
        *("fetch", manifest, "--base-url", url, "-o", tmp_path / "out"), env=client_credentials()
    )
    process.send_signal(number)
    stopped = finish(process)
    assert finished.code == 0, finished.stderr
    assert (stopped.code, stopped.stdout, stopped.stderr) == (0, "", "")


def test_the_stand_in_has_variables_of_its_own(tmp_path):
    """
    `BATCHFETCH_SANDBOX_…` is not mixed up with the options of a run.
    """
    finished = run("sandbox", env=environment(BATCHFETCH_SANDBOX_HOST="192.0.2.1"))
    assert finished.code == 2
    assert finished.stderr.startswith("batchfetch: BATCHFETCH_SANDBOX_HOST: '192.0.2.1' is no loop")
