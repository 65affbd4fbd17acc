"""
What is documented is true: README's commands and samples are run, its tables compared.
"""

import configparser
import json
import re
import shutil
import subprocess
import sys

import pytest
from command import LIMIT, ROOT, environment, finish, read_report, start
from origin import Origin, serving
from PIL import Image

import batchfetch
from batchfetch import errors
from batchfetch.cli.config_file import read_config
from batchfetch.cli.fetch import command as fetch_command
from batchfetch.cli.options import names_of
from batchfetch.cli.sources import resolve
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.run.summary import Summary
from batchfetch.settings import Settings

README = (ROOT / "README.md").read_text()
CLIENT = {"BATCHFETCH_CLIENT_ID": "anybody", "BATCHFETCH_CLIENT_SECRET": "anything"}


def blocks(language):
    """
    Return the text of each block of code in this language.
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title):
    """
    Return what stands under this heading.
    """
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title):
    """
    Return every word in code font in the first column of the tables under this heading.
    """
    cells = re.findall(r"^\| ([^|]*) \|", section(title), re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def session(block):
    """
    Yield each command of a block that shows a terminal, with what it shows.
    """
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        yield part.split("\n", 1)


@pytest.fixture
def clone(tmp_path):
    """
    A folder with the samples in it, where `batchfetch` is on the path.
    """
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    script = tmp_path / "bin" / "batchfetch"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchfetch "$@"\n')
    script.chmod(0o755)
    return tmp_path


@pytest.fixture
def shell(clone):
    """
    Run a command line as a user would, in a fresh clone.
    """

    def shell(line, **variables):
        env = environment(**variables)
        del env["BATCHFETCH_ACCESS_TOKEN"]
        env["PATH"] = f"{clone / 'bin'}:{env['PATH']}"
        return subprocess.run(
            ["sh", "-c", line],
            check=False,
            cwd=clone,
            env=env,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return shell


def shape(text):
    """
    Return the lines of *text*, every number in them made the same: they differ from run to run.
    """
    return sorted(re.sub(r"\d+([.:-]\d+)*", "N", line) for line in text.splitlines())


# The first screen


def test_the_first_line_leaves_sound_images_and_a_report(shell, clone):
    """
    The samples on the stand-in: two dozen images, one Error, one NotExist, said as in the example.
    """
    line = re.search(r"^    (python3 -m venv .* --sandbox)$", README, re.MULTILINE)[1]
    *setting_up, job = line.split(" && ")
    assert setting_up == ["python3 -m venv .venv", ".venv/bin/pip install -q ."]
    (first, shown), *rest = session(blocks("console")[0])
    assert job == f".venv/bin/{first}"
    assert shape(shell(first).stdout) == shape(shown)
    report = read_report(clone / "images/report.jsonl")
    completed = [line for line in report if line["outcome"] == "Completed"]
    assert len(completed) == len(list(clone.glob("images/**/*.png"))) == 24
    assert {line["outcome"] for line in report} == {"Completed", "Error", "NotExist"}
    for line in completed:
        Image.open(clone / "images" / line["path"]).verify()
    for line, shown in rest:
        assert shape(shell(line).stdout) == shape(shown)


def test_the_first_lines_are_on_the_first_screen():
    """
    Nobody needs to scroll to set up, to run and to test.
    """
    first_screen = "\n".join(README.splitlines()[:40])
    assert first_screen.count("    python3 -m venv .venv && ") == 2


def test_the_checks_run_the_test_line_of_the_readme():
    """
    What `.ci/run` looks for is one line, and it stands in README alone.
    """
    script = (ROOT / ".ci/run").read_text()
    pattern = re.search(r"grep -m1 -E '([^']*)' README\.md", script)[1]
    found = [line for line in README.splitlines() if re.search(pattern, line)]
    assert len(found) == 1
    assert found[0].strip() not in script
    assert "--require-hashes -r .ci/requirements.txt" in found[0]


def test_a_server_of_its_own(shell, clone):
    """
    The commands about the stand-in as a process work, in the order in which they stand.
    """
    (serve, url), (export, _), (fetch, summary) = session(blocks("console")[1])
    arguments = serve.removeprefix("batchfetch ").removesuffix(" &").replace("8765", "0").split()
    process = start(*arguments)
    address = process.stdout.readline()
    line = f"{export} && {fetch}".replace(url.strip(), address.strip())
    finished = shell(line)
    process.terminate()
    finish(process)
    assert finished.returncode in {0, 3}, finished.stdout
    assert json.loads(finished.stdout).keys() == json.loads(summary).keys()


@pytest.mark.parametrize("number", range(2))
def test_the_python_in_readme_runs(clone, number):
    """
    Each example of the library, pointed at the stand-in, fetches samples.
    """
    process = start("sandbox", "--processing-time", "0")
    url = process.stdout.readline().strip()
    code = blocks("python")[number]
    code = code.replace('output="images"', f'output="images", base_url="{url}"')
    code = code.replace("samples/manifest.csv", "samples/ids.txt")
    assert url in code
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=clone,
        env=environment(**CLIENT),
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    process.terminate()
    finish(process)
    assert done.returncode == 0, done.stderr
    assert len(list(clone.glob("images/**/*.png"))) == 4


# Tables and lists


@pytest.mark.parametrize("name", ["fetch", "sandbox"])
def test_help_is_quoted_as_it_is(shell, name):
    """
    README shows the options as the command does.
    """
    assert shell(f"batchfetch {name} --help", COLUMNS="80").stdout in blocks("text")


def test_report_keys():
    """
    The table lists the keys of a report's line, all of them, in their order.
    """
    keys = [field.alias or name for name, field in Outcome.model_fields.items()]
    listed = first_cells("Report")
    assert listed[: len(keys)] == keys
    assert [word for word in listed[len(keys) :] if word[0] != "-"] == list(OutcomeStatus)


def test_summary_keys():
    """
    The table lists the keys of the summary, all of them, in their order.
    """
    assert first_cells("Summary") == list(Summary.model_fields)


def test_exit_codes():
    """
    Every code is explained, in README and in the help.
    """
    codes = set(re.findall(r"^\| (\d+(?:, \d+)?) \|", section("Exit codes"), re.MULTILINE))
    assert codes == {"0", "1", "2", "3", "4", "5", "6", "7", "130, 143"}


def test_errors():
    """
    The tree is the one the errors are written in.
    """
    tree = re.search(r"    (BatchFetchError\n.*?)\n\n", errors.__doc__, re.DOTALL)[1]
    assert tree.replace("\n    ", "\n") + "\n" in blocks("text")


def test_the_release_is_in_the_changes():
    """
    The newest entry of the changes is this release.
    """
    newest = re.search(r"^### (\S+)", section("Changes"), re.MULTILINE)[1]
    assert newest == batchfetch.__version__


# Samples


def test_every_sample_is_run_by_a_test():
    """
    A new sample needs a test.
    """
    assert {path.name for path in (ROOT / "samples").iterdir() if path.is_file()} == {
        *("batchfetch.service", "batchfetch.timer", "batchfetch.toml", "crontab"),
        *("ids.txt", "manifest.csv", "manifest.jsonl", "quickstart.py"),
    }


def test_the_library_script(clone):
    """
    It fetches the samples and says where each image is.
    """
    done = subprocess.run(
        [sys.executable, "samples/quickstart.py", "samples/ids.txt"],
        check=False,
        cwd=clone,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.returncode == 3, done.stderr
    assert "sample-error Error service_error" in done.stdout
    assert len(list(clone.glob("images/**/*.png"))) == 4


def test_the_settings_file():
    """
    It is read without complaint, and every key in it says something.
    """
    names = names_of(Settings)
    place = read_config(str(ROOT / "samples/batchfetch.toml"), names)
    settings = resolve(Settings, [place])
    defaults = Settings().model_dump()
    told = {name for name, value in settings.model_dump().items() if value != defaults[name]}
    assert {*place.values} - told <= {"output"}


@pytest.fixture
def server(clone):
    """
    The machine of the samples: the working directory has a manifest and the settings file.
    """
    (clone / "manifest.csv").write_text("task_id,name\n1,one\n2,two\nsample-error,\n")
    shutil.copy(ROOT / "samples/batchfetch.toml", clone)
    return clone


def test_the_line_for_cron(shell, server):
    """
    What cron starts runs, and says only what went wrong.
    """
    table = (server / "samples/crontab").read_text()
    line = re.search(r"^30 2 \* \* \* (.*)$", table, re.MULTILINE)[1]
    variables = dict(re.findall(r"^([A-Z_]+)=(.*)$", table, re.MULTILINE))
    assert set(variables) == {"MAILTO", *(f"{name}_FILE" for name in CLIENT)}
    done = shell(line.replace("/srv/ocr", str(server)), BATCHFETCH_SANDBOX="1")
    assert done.returncode == 3
    assert {line.split(" ")[1] for line in done.stdout.splitlines()} == {"warning:"}
    assert (server / "images/report.jsonl").exists()


def test_the_unit_for_systemd(shell, server):
    """
    What systemd starts runs, and finds its credentials where systemd puts them.
    """
    unit = read_unit("batchfetch.service")["Service"]
    line = unit["ExecStart"].replace("/opt/batchfetch/bin/", "")
    assert unit["WorkingDirectory"] == "/srv/ocr"
    names = [entry.split(":")[0] for entry in unit["LoadCredential"].split("\n")]
    for name in names:
        (server / name).write_text("anything\n")
    with serving(Origin()) as origin:
        done = shell(
            f"{line} --max-calls 2",
            CREDENTIALS_DIRECTORY=str(server),
            BATCHFETCH_BASE_URL=origin.base_url,
        )
    assert done.returncode == int(unit["SuccessExitStatus"]), done.stdout
    assert origin.token_requests


def test_the_timer_for_systemd():
    """
    It starts the unit of the same name every night, also one that was slept through.
    """
    assert read_unit("batchfetch.timer")["Timer"]["Persistent"] == "true"
    if shutil.which("systemd-analyze"):
        when = read_unit("batchfetch.timer")["Timer"]["OnCalendar"]
        subprocess.run(["systemd-analyze", "calendar", when], check=True, capture_output=True)


def read_unit(name):
    """
    Return the sections of a unit; a key that occurs twice has both values, one a line.
    """

    class Both(dict):
        def __setitem__(self, key, value):
            if isinstance(value, list) and key in self:
                value = [*self[key], *value]
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(strict=False, dict_type=Both)
    parser.optionxform = str
    parser.read(ROOT / "samples" / name)
    return parser


def test_every_option_is_in_the_help():
    """
    The quoted help has every option the command takes.
    """
    for parameter in fetch_command.params:
        for switch in parameter.opts:
            assert switch in README or switch == "manifests"
