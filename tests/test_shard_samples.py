"""
The samples that run the parts of a manifest: Kubernetes, Slurm, AWS Batch, Airflow, one machine.

What starts the processes is not here; what it would start is, and is run.
"""

import ast
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from command import LIMIT, ROOT, environment, images_in

from batchfetch.cli.fetch import command
from batchfetch.exit_codes import ExitCode
from batchfetch.sharding import Shard

pytestmark = pytest.mark.slow

SAMPLES = ROOT / "samples"
IDS = [f"task{number}" for number in range(40)]


class Machine:
    """
    A folder with a manifest, in which `batchfetch` is a command.
    """

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        self.install("batchfetch", f'exec "{sys.executable}" -m batchfetch "$@"')
        (folder / "manifest.csv").write_text("\n".join(["task_id", *IDS, ""]))
        (folder / "settings.toml").write_text("sandbox = true\n")

    def install(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def start(self, *argv, **variables):
        env = environment(
            BATCHFETCH_CONFIG=str(self.folder / "settings.toml"),
            **{"BATCHFETCH_SANDBOX_PROCESSING_TIME": "0", **variables},
        )
        return subprocess.Popen(
            list(map(str, argv)),
            cwd=self.folder,
            env=env | {"PATH": f"{self.folder / 'bin'}:{env['PATH']}"},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *argv, **variables):
        process = self.start(*argv, **variables)
        _, stderr = process.communicate(timeout=2 * LIMIT)
        return process.returncode, stderr

    def shell(self, line, **variables):
        """
        Run the line of a container as its shell would, with the command where it is here.
        """
        assert "/opt/batchfetch/bin/batchfetch" in line
        return self.run("sh", "-c", line.replace("/opt/batchfetch/bin/", ""), **variables)


@pytest.fixture
def machine(tmp_path):
    """
    A machine with the command.
    """
    return Machine(tmp_path)


def require_part(machine, output, index):
    """
    The part, and nothing else, has been run: that of *index*, which counts from 0.
    """
    (report,) = (machine.folder / output).glob("report.*-of-8.jsonl")
    assert report.name == f"report.{index + 1}-of-8.jsonl"
    mine = {task_id for task_id in IDS if Shard(index + 1, 8).has(task_id)}
    assert set(images_in(machine.folder / output)) == mine != set()


@pytest.fixture
def job():
    """
    The job of Kubernetes.
    """
    return yaml.safe_load((SAMPLES / "shards.yaml").read_text())


def test_the_job_of_kubernetes(job):
    """
    A pod for each part, replaced only once it is gone, and tried again where that can help: each
    exit code is treated as the manual says.
    """
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert (spec["completionMode"], spec["podReplacementPolicy"]) == ("Indexed", "Failed")
    assert spec["completions"] == spec["parallelism"] == 8
    assert spec["backoffLimitPerIndex"] > 0
    ignored, *rules = spec["podFailurePolicy"]["rules"]
    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    codes = {rule["action"]: set(rule["onExitCodes"]["values"]) for rule in rules}
    assert codes == {
        "FailJob": {ExitCode.UNUSABLE, ExitCode.CREDENTIALS},
        "FailIndex": {ExitCode.INCOMPLETE, ExitCode.LIMIT, ExitCode.LOCKED},
    }
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # What a policy of failures needs.
    (container,) = pod["containers"]
    assert {rule["onExitCodes"]["containerName"] for rule in rules} == {container["name"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("index", [0, 7])
def test_the_pod_of_kubernetes(machine, job, index):
    """
    What a pod starts runs the part of its index.
    """
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "-c"]
    (line,) = container["args"]
    code, stderr = machine.shell(line, JOB_COMPLETION_INDEX=str(index))
    assert code == 0, stderr
    require_part(machine, "images", index)


def test_the_array_of_aws_batch(machine):
    """
    The shell of its image runs the part of its index; what may pass is tried again.
    """
    job = json.loads((SAMPLES / "aws-batch.json").read_text())
    assert job["arrayProperties"]["size"] == 8
    (line,) = job["containerOverrides"]["command"]
    assert " -o s3://" in line
    line = line.replace("s3://scans/2026-11", "images")
    code, stderr = machine.shell(line, AWS_BATCH_JOB_ARRAY_INDEX="2")
    assert code == 0, stderr
    require_part(machine, "images", 2)
    rules = job["retryStrategy"]["evaluateOnExit"]
    assert [rule["action"] for rule in rules] == ["RETRY"] * (len(rules) - 1) + ["EXIT"]
    again = {int(rule["onExitCode"]) for rule in rules if "onExitCode" in rule}
    assert again == {ExitCode.STORAGE, ExitCode.UNAVAILABLE, ExitCode.SIGTERM}


def test_the_array_of_slurm(machine):
    """
    The script is sound, has a minute to stop in, and its step runs the part of its index.
    """
    path = SAMPLES / "slurm.sh"
    subprocess.run(["sh", "-n", path], check=True)
    text = path.read_text()
    assert "#SBATCH --array=0-7\n" in text
    assert "#SBATCH --signal=TERM@60\n" in text
    machine.install("srun", 'exec "$@"')
    code, stderr = machine.run("sh", path, SLURM_ARRAY_TASK_ID="6")
    assert code == 0, stderr
    require_part(machine, "images", 6)


def call_of(tree, name):
    """
    Return the values of the arguments of the call of *name*, those that can be evaluated.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == name:
            return {argument.arg: argument.value for argument in node.keywords}
    raise AssertionError(f"{name} is not called")


def test_the_tasks_of_airflow():
    """
    There is one for each part, by the variable; the command is one, and another run is skipped.
    """
    tree = ast.parse((SAMPLES / "airflow_shards.py").read_text())
    partial = call_of(tree, "partial")
    name, subcommand, *words = ast.literal_eval(partial["bash_command"]).split()
    assert (name, subcommand) == ("batchfetch", "fetch")
    command.make_context("fetch", words)
    assert ast.literal_eval(partial["skip_on_exit_code"]) == [ExitCode.LIMIT, ExitCode.LOCKED]
    variables = compile(ast.Expression(call_of(tree, "expand")["env"]), "sample", "eval")
    found = eval(variables, {"SHARDS": 8})
    assert found == [{"BATCHFETCH_SHARD": f"{part}/8"} for part in range(1, 9)]


def test_airflow_can_load_it():
    """
    Where Airflow is installed the file makes its workflow.
    """
    pytest.importorskip("airflow.sdk", reason="Airflow is not installed")
    subprocess.run([sys.executable, SAMPLES / "airflow_shards.py"], check=True, timeout=LIMIT)


def test_parts_on_one_machine(machine):
    """
    The script runs all parts at once, and ends as a run would.
    """
    code, stderr = machine.run("sh", SAMPLES / "parallel.sh", "manifest.csv", SHARDS="3")
    assert code == 0, stderr
    assert set(images_in(machine.folder / "images")) == set(IDS)
    assert len(list((machine.folder / "images").glob("report.*-of-3.jsonl"))) == 3


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--max-calls", "2"), 4), (("--rate", "fast"), 2), (("--retry", "Error"), 3)],
)
def test_the_gravest_code_of_the_parts(machine, options, code):
    """
    One that says what to do with the run as a whole.
    """
    with (machine.folder / "manifest.csv").open("a") as manifest:
        manifest.write("sample-error\n")
    script = SAMPLES / "parallel.sh"
    assert machine.run("sh", script, "manifest.csv", *options, SHARDS="2")[0] == code


def test_parts_on_one_machine_are_stopped(machine):
    """
    SIGTERM reaches them all: each stops cleanly.
    """
    process = machine.start(
        *("sh", SAMPLES / "parallel.sh", "manifest.csv"),
        SHARDS="2",
        BATCHFETCH_SANDBOX_PROCESSING_TIME="10m",
    )
    images = machine.folder / "images"
    deadline = time.monotonic() + LIMIT
    while len(list(images.glob("report.*.runs.jsonl"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT)
    assert process.returncode == ExitCode.SIGTERM
    for runs in images.glob("report.*.runs.jsonl"):
        assert json.loads(runs.read_text().splitlines()[-1])["summary"]["stopped_by"] == "SIGTERM"


@pytest.mark.parametrize("name", ["parallel.sh", "slurm.sh"])
def test_the_scripts_are_sound(name):
    """
    `sh` can read them, and shellcheck finds nothing where it is installed.
    """
    subprocess.run(["sh", "-n", SAMPLES / name], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", SAMPLES / name], check=True)
