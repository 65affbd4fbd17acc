"""
The real command in a process of its own, and what it leaves behind.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replies import png_of

ROOT = Path(__file__).parent.parent.parent
TOKEN = "t0p-s3cret-t0ken"
CLIENT_ID = "cl13nt-1d"
SECRET = "cl13nt-s3cret"
LIMIT = 60.0
"""Seconds after which a command is taken for hung."""


@dataclass(frozen=True)
class Finished:
    """
    A command that has come to its end.
    """

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """
        What `--json` printed, and nothing beside it.
        """
        return json.loads(self.stdout)


def environment(**more: str) -> dict[str, str]:
    """
    Return an environment with a token and without whatever the tester has set.
    """
    kept = {k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("COV")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        # Tests also run in folders that must not change, and as users who may write nowhere.
        "PYTHONDONTWRITEBYTECODE": "1",
        "BATCHFETCH_ACCESS_TOKEN": TOKEN,
        **more,
    }


def client_credentials(**more: str) -> dict[str, str]:
    """
    Return an environment with a client id and a secret instead of a token.
    """
    redact = {k: v for k, v in environment(**more).items() if k != "BATCHFETCH_ACCESS_TOKEN"}
    return {**redact, "BATCHFETCH_CLIENT_ID": CLIENT_ID, "BATCHFETCH_CLIENT_SECRET": SECRET}


def start(
    *args: object,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    **popen: Any,
) -> subprocess.Popen[str]:
    """
    Start `python -m batchfetch` with *args*; *prefix* is a command that starts it in turn.
    """
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "batchfetch", *map(str, args)],
        env=environment() if env is None else env,
        text=True,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **popen,
        },
    )


def finish(process: subprocess.Popen[str]) -> Finished:
    """
    Wait for *process* and collect what it said; one that hangs is killed and fails the test.
    """
    try:
        stdout, stderr = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Finished(process.returncode, stdout, stderr)


def run(*args: object, **how: Any) -> Finished:
    """
    Run `python -m batchfetch` to its end.
    """
    return finish(start(*args, **how))


# What the system counts of a child includes the process that started it; only the command itself
# can tell what it held.
_MEASURED = """
import sys
from batchfetch.cli.main import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
sys.exit(code)
"""


def run_measured(*args: object) -> tuple[int, int]:
    """
    Run the command with *args*; return its exit code and the most memory it held, in bytes.
    """
    finished = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, args)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=LIMIT,
        check=False,
    )
    return finished.returncode, int(finished.stdout) * 1024


def manifest_of(folder: Path, task_ids: Iterable[str]) -> Path:
    """
    Write a manifest of one id a line.
    """
    path = folder / "manifest.txt"
    path.write_text("".join(f"{task_id}\n" for task_id in task_ids))
    return path


def read_report(path: Path) -> list[dict[str, Any]]:
    """
    Return the report's lines; every one must be whole.
    """
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def last_lines(path: Path) -> dict[str, dict[str, Any]]:
    """
    Return each task's last line of the report.
    """
    return {line["task_id"]: line for line in read_report(path)}


def images_in(output: Path) -> dict[str, bytes]:
    """
    Return every file below *output* that is called an image, by name without its ending.
    """
    found = output.rglob("*.png")
    return {str(p.relative_to(output)).removesuffix(".png"): p.read_bytes() for p in found}


def parts_in(output: Path) -> list[Path]:
    """
    Return the files under construction below *output*.
    """
    return [path for path in output.rglob(".*") if path.name.endswith(".part")]


def expected_images(task_ids: Iterable[str], padding: int = 0) -> dict[str, bytes]:
    """
    Return what `images_in` finds once all of these were fetched from the origin.
    """
    return {task_id: png_of(task_id, padding) for task_id in task_ids}


def wait_until(
    happened: Callable[[], object], process: subprocess.Popen[str] | None = None
) -> None:
    """
    Wait for what another process or thread is about to do; *process* must not end before.
    """
    deadline = time.monotonic() + LIMIT
    while not happened():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
