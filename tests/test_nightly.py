"""
The samples of a nightly job: the script, the line for cron, the units for systemd.
"""

import configparser
import json
import re
import shutil
import subprocess
import sys

import pytest
from command import LIMIT, ROOT, environment, finish, start
from origin import Origin, serving

SAMPLES = ROOT / "samples"
CLIENT = {"BATCHFETCH_CLIENT_ID": "anybody", "BATCHFETCH_CLIENT_SECRET": "anything"}

# What cron and systemd give a job: a PATH that does not lead to batchfetch.
CRON = "/usr/bin:/bin"

# In the place of the command: notes how it was called, and is the command; while the file
# `unreachable` has a line, it takes that away and ends like a run that reaches no service.
COMMAND = """#!/bin/sh
echo "$*" >>"{folder}/tries"
if [ -s "{folder}/unreachable" ]; then
    sed -i 1d "{folder}/unreachable"
    echo '{{"tasks":3,"left":3,"calls":7,"calls_per_image":null,"stopped_by":"unreachable"}}'
    exit 8
fi
PYTHONPATH="{root}" exec "{python}" -m batchfetch "$@"
"""


class Machine:
    """
    The machine of the samples, in a folder: what a person has to adapt is adapted.
    """

    def __init__(self, folder):
        self.folder = folder
        (folder / "manifest.csv").write_text("task_id,name\n1,one\n2,two\nsample-error,\n")
        (folder / "unreachable").touch()
        shutil.copy(SAMPLES / "batchfetch.toml", folder)
        self.command = folder / "command"
        words = {"folder": folder, "root": ROOT, "python": sys.executable}
        self._executable(self.command, COMMAND.format(**words))

    def _executable(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def install(self, **values):
        """
        Put the script in its place, with these *values* for its variables.
        """
        text = (SAMPLES / "nightly.sh").read_text()
        values = {"batchfetch": self.command, "folder": self.folder, "pause": 0, **values}
        for name, value in values.items():
            text, count = re.subn(rf"^{name}=\S+", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1
        self._executable(self.folder / "nightly.sh", text)

    def run(self, line, **variables):
        """
        Run *line*, a command of the samples, as cron does.
        """
        env = environment(**variables)
        del env["BATCHFETCH_ACCESS_TOKEN"]
        return subprocess.run(
            ["/bin/sh", "-c", line.replace("/srv/ocr", str(self.folder))],
            check=False,
            cwd="/",
            env={**env, "PATH": CRON},
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def budgets(self):
        """
        The most calls that each try was allowed.
        """
        tries = (self.folder / "tries").read_text()
        return [int(number) for number in re.findall(r"--max-calls (\d+)", tries)]


@pytest.fixture
def machine(tmp_path):
    """
    A machine with the samples on it, and the script as it is but for places and pauses.
    """
    machine = Machine(tmp_path)
    machine.install()
    return machine


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
    parser.read(SAMPLES / name)
    return parser


def lines_in(report):
    """
    Return the outcome of each line, by its task.
    """
    lines = map(json.loads, report.read_text().splitlines())
    return {line["task_id"]: line["outcome"] for line in lines}


# The script


def test_the_line_for_cron(machine):
    """
    What cron starts is found without a PATH, and says only what went wrong.
    """
    table = (SAMPLES / "crontab").read_text()
    line = re.search(r"^30 2 \* \* \* (.*)$", table, re.MULTILINE)[1]
    variables = dict(re.findall(r"^([A-Z_]+)=(.*)$", table, re.MULTILINE))
    assert set(variables) == {"MAILTO", *(f"{name}_FILE" for name in CLIENT)}
    done = machine.run(line, BATCHFETCH_SANDBOX="1")
    assert done.returncode == 3
    warning, *why = done.stdout.splitlines()
    assert " warning: sample-error: Error (service_error): " in warning
    assert why[0] == "exit code 3: 1 of 3 tasks did not end Completed"
    assert lines_in(machine.folder / "images/report.jsonl")["1"] == "Completed"
    assert machine.budgets == [20000]


def test_a_service_that_cannot_be_reached_is_tried_again(machine):
    """
    After exit code 8 it tries again within the night; what was paid for leaves less to spend.
    """
    (machine.folder / "unreachable").write_text("once\ntwice\n")
    done = machine.run("/srv/ocr/nightly.sh", BATCHFETCH_SANDBOX="1")
    assert done.returncode == 3, done.stdout
    assert machine.budgets == [20000, 19993, 19986]
    assert len(lines_in(machine.folder / "images/report.jsonl")) == 3


def test_the_night_has_an_end(machine):
    """
    When the hours are over, no further try begins, and the exit code is that of the last one.
    """
    machine.install(hours=0)
    (machine.folder / "unreachable").write_text("once\n")
    assert machine.run("/srv/ocr/nightly.sh", BATCHFETCH_SANDBOX="1").returncode == 8
    assert machine.budgets == [20000]


def test_a_budget_of_calls_is_not_spent_twice(machine):
    """
    Exit code 4 because of the calls ends the night.
    """
    machine.install(budget=2)
    done = machine.run("/srv/ocr/nightly.sh", BATCHFETCH_SANDBOX="1")
    assert done.returncode == 4
    assert "exit code 4: stopped by --max-calls; " in done.stdout
    assert machine.budgets == [2]


def test_a_run_that_was_out_of_time_goes_on(machine):
    """
    After exit code 4 because of the time it tries again, with what is left of the budget.
    """
    process = start("sandbox", "--processing-time", "3s")
    url = process.stdout.readline().strip()
    done = machine.run(
        "/srv/ocr/nightly.sh", **CLIENT, BATCHFETCH_BASE_URL=url, BATCHFETCH_MAX_RUNTIME="1s"
    )
    process.terminate()
    finish(process)
    assert done.returncode == 3, done.stdout
    assert "exit code 4: stopped by --max-runtime; " in done.stdout
    assert set(lines_in(machine.folder / "images/report.jsonl")) == {"1", "2", "sample-error"}
    assert len(machine.budgets) > 1
    assert machine.budgets == sorted(machine.budgets, reverse=True)
    assert machine.budgets[-1] < machine.budgets[0] == 20000


def test_a_mistake_in_the_manifest_ends_the_night_at_once(machine):
    """
    What does not pass by itself is not tried again.
    """
    (machine.folder / "manifest.csv").write_text("name\nno ids\n")
    done = machine.run("/srv/ocr/nightly.sh", BATCHFETCH_SANDBOX="1")
    assert done.returncode == 2
    assert "manifest.csv has no column task_id" in done.stdout
    assert len(machine.budgets) == 1


# systemd


def test_the_unit_for_systemd(machine):
    """
    What systemd starts runs, and finds its credentials where systemd puts them.
    """
    unit = read_unit("batchfetch.service")["Service"]
    machine.install(budget=2)
    for entry in unit["LoadCredential"].split("\n"):
        (machine.folder / entry.split(":")[0]).write_text("anything\n")
    with serving(Origin()) as origin:
        done = machine.run(
            unit["ExecStart"],
            CREDENTIALS_DIRECTORY=str(machine.folder),
            BATCHFETCH_BASE_URL=origin.base_url,
        )
    assert done.returncode == int(unit["SuccessExitStatus"]), done.stdout
    assert origin.token_requests


def test_a_failure_is_told():
    """
    The unit names one that is started when it fails, which is a sample, too.
    """
    assert read_unit("batchfetch.service")["Unit"]["OnFailure"] == "batchfetch-failed.service"
    assert "batchfetch" in read_unit("batchfetch-failed.service")["Service"]["ExecStart"]


def test_the_unit_may_touch_little():
    """
    By systemd's own measure, from 0 (nothing) to 10 (everything), its exposure is at most 4.
    """
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this system has no systemd-analyze")
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=40", "--no-pager"]
    done = subprocess.run(
        [*words, SAMPLES / "batchfetch.service"], check=False, capture_output=True, text=True
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a unit that is not installed")
    assert done.returncode == 0, done.stdout


def test_the_timer_for_systemd():
    """
    It starts the unit of the same name every night, also one that was slept through.
    """
    assert read_unit("batchfetch.timer")["Timer"]["Persistent"] == "true"
    if shutil.which("systemd-analyze"):
        when = read_unit("batchfetch.timer")["Timer"]["OnCalendar"]
        subprocess.run(["systemd-analyze", "calendar", when], check=True, capture_output=True)
