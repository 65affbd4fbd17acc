"""
The samples for other programs: notifications, notebooks, Airflow, containers.
"""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from command import LIMIT, ROOT, environment, run

import batchfetch
from batchfetch.cli.fetch import command
from batchfetch.exit_codes import ExitCode

pytestmark = pytest.mark.slow

SAMPLES = ROOT / "samples"


class Listener:
    """
    A server that keeps what is posted to it, as path and text, and answers with *status*.
    """

    def __init__(self, status=200):
        self.posted = posted = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                posted.append((self.path, text))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def notify(tmp_path):
    """
    Run the script as a user would, against the stand-in.
    """
    wrapper = tmp_path / "bin" / "batchfetch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchfetch "$@"\n')
    wrapper.chmod(0o755)
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def notify(ids, *options, **variables):
        (tmp_path / "ids.txt").write_text("".join(f"{task_id}\n" for task_id in ids))
        env = environment(BATCHFETCH_SANDBOX_PROCESSING_TIME="0", **variables)
        return subprocess.run(
            ["sh", SAMPLES / "notify.sh", "ids.txt", "--sandbox", *options],
            check=False,
            cwd=tmp_path,
            env=env | {"PATH": f"{wrapper.parent}:{env['PATH']}"},
            text=True,
            capture_output=True,
            timeout=LIMIT,
        )

    return notify


def test_a_job_that_ends_well_is_reported(notify):
    """
    healthchecks.io is told of the start and the end, with the summary; the chat is left in peace.
    """
    with Listener() as health, Listener() as chat:
        done = notify(["a"], HEALTHCHECK_URL=health.url, CHAT_URL=chat.url)
    assert done.returncode == 0
    assert [path for path, _ in health.posted] == ["/start", "/"]
    assert json.loads(health.posted[-1][1]) == json.loads(done.stdout)
    assert chat.posted == []


@pytest.mark.parametrize(
    ("ids", "options", "code", "path"),
    [
        (["sample-error", "b"], [], 3, "/fail"),
        (["a", "b"], ["--max-calls", "1"], 4, "/log"),
        (["a"], ["--rate", "fast"], 2, "/fail"),
    ],
)
def test_a_job_that_does_not(notify, ids, options, code, path):
    """
    A limit is logged; what a person has to see to is a failure, and is told to the chat.
    """
    with Listener() as health, Listener() as chat:
        done = notify(ids, *options, HEALTHCHECK_URL=health.url, CHAT_URL=chat.url)
    assert done.returncode == code
    assert health.posted[-1][0] == path
    texts = [json.loads(text)["text"] for _, text in chat.posted]
    assert len(texts) == (path == "/fail")
    for text in texts:
        assert re.match(rf"batchfetch on \S+ ended with exit code {code}\. [A-Z].*\. ", text)
        assert f'"exit_code":{code}' in text or code == 2


def test_without_an_address(notify):
    """
    Without addresses, or with one that does not answer, the job and its exit code are the same.
    """
    assert notify(["a"]).returncode == 0
    with Listener(status=404) as broken:
        assert notify(["b"], HEALTHCHECK_URL=broken.url, CHAT_URL=broken.url).returncode == 0


def test_the_script_is_sound():
    """
    `sh` can read it, and shellcheck finds nothing where it is installed.
    """
    subprocess.run(["sh", "-n", SAMPLES / "notify.sh"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", SAMPLES / "notify.sh"], check=True)


def test_the_notebook(tmp_path):
    """
    It prints how many tasks have which outcome, how long they took and what they cost.
    """
    pytest.importorskip("pandas", reason="pandas is not installed")
    run(
        *("fetch", SAMPLES / "ids.txt", "--sandbox"),
        cwd=tmp_path,
        env=environment(BATCHFETCH_SANDBOX_PROCESSING_TIME="0"),
    )
    done = subprocess.run(
        [sys.executable, SAMPLES / "notebook.py", "images"],
        check=True,
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert re.search(r"^Error +service_error +1$", done.stdout, re.MULTILINE)
    assert re.search(r"^95% +\d", done.stdout, re.MULTILINE)
    assert re.search(r"^\d\.\d\d calls an image$", done.stdout, re.MULTILINE)


def test_the_notebook_uses_what_there_is():
    """
    Every name of batchfetch in it is public, and it can be compiled.
    """
    tree = ast.parse((SAMPLES / "notebook.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "batchfetch"
    }
    assert used
    assert used <= set(batchfetch.__all__)


def keywords(path, call):
    """
    Return the arguments of the first call of this name in a file, those that are constants.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == call:
            values = {argument.arg: argument.value for argument in node.keywords}
            return {k: v.value for k, v in values.items() if isinstance(v, ast.Constant)}
    raise AssertionError(f"{path} does not call {call}")


def test_the_task_of_airflow():
    """
    Its command is one, and its code to skip is that of another run.
    """
    task = keywords(SAMPLES / "airflow_dag.py", "BashOperator")
    name, subcommand, *words = shlex.split(task["bash_command"])
    assert (name, subcommand) == ("batchfetch", "fetch")
    command.make_context("fetch", words)
    assert task["skip_on_exit_code"] == ExitCode.LOCKED


def test_airflow_can_load_it():
    """
    Where Airflow is installed the file makes its workflow.
    """
    pytest.importorskip("airflow.sdk", reason="Airflow is not installed")
    subprocess.run([sys.executable, SAMPLES / "airflow_dag.py"], check=True, timeout=LIMIT)


def test_the_image():
    """
    What is copied into it is there, it runs the command without a shell, and not as root.
    """
    text = (SAMPLES / "Dockerfile").read_text()
    lines = [line.split(" ", 1) for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    copied = [rest.split()[:-1] for verb, rest in lines if verb == "COPY" and "--from" not in rest]
    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists()
    given = dict(lines)
    assert json.loads(given["ENTRYPOINT"])[0].endswith("/bin/batchfetch")
    assert json.loads(given["CMD"]) == ["--help"]
    assert int(given["USER"]) > 0
    if shutil.which("hadolint"):
        subprocess.run(["hadolint", SAMPLES / "Dockerfile"], check=True)


def test_the_job_of_kubernetes():
    """
    Its command is one, its credentials are files, and only codes that may pass are tried again.
    """
    job = yaml.safe_load((SAMPLES / "cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    spec = job["spec"]["jobTemplate"]["spec"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert set(rule["onExitCodes"]["values"]) == {
        ExitCode.UNUSABLE,
        ExitCode.CREDENTIALS,
        ExitCode.LOCKED,
    }
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # What a policy of failures needs.
    (container,) = pod["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    subcommand, *words = container["args"]
    assert subcommand == "fetch"
    command.make_context("fetch", words)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    for variable in container["env"]:
        assert re.fullmatch(r"BATCHFETCH_CLIENT_(ID|SECRET)_FILE", variable["name"])
        assert variable["value"].startswith(f"{mounts['credentials']}/")
