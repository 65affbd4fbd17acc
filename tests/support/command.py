"""
Helpers that run the command in a subprocess and read its output, report and images.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replies import png_of

ROOT = Path(__file__).parent.parent.parent
TOKEN = "t0p-s3cret-t0ken"
CLIENT_ID = "cl13nt-1d"
SECRET = "cl13nt-s3cret"
LIMIT = 60.0
"""Seconds after which a command counts as hung."""


@dataclass(frozen=True)
class Finished:
    """
    The result of a finished command.
    """

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """
        The JSON that `--json` printed, which must be the whole of stdout.
        """
        return json.loads(self.stdout)


def environment(**more: str) -> dict[str, str]:
    """
    Return an environment with a token and without other variables of the developer's shell.
    """
    kept = {k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("COV")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        # Tests also run in read-only folders, and as users without write permission.
        "PYTHONDONTWRITEBYTECODE": "1",
        "BATCHFETCH_ACCESS_TOKEN": TOKEN,
        **more,
    }


def client_credentials(**more: str) -> dict[str, str]:
    """
    Return an environment with a client id and a secret instead of a token.
    """
    kept = {k: v for k, v in environment(**more).items() if k != "BATCHFETCH_ACCESS_TOKEN"}
    return {**kept, "BATCHFETCH_CLIENT_ID": CLIENT_ID, "BATCHFETCH_CLIENT_SECRET": SECRET}


def start(
    *args: object,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    **popen: Any,
) -> subprocess.Popen[str]:
    """
    Start `python -m batchfetch` with *args*; *prefix* is a command that runs it, like `nice`.
    """
    with _interruptible():
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


@contextmanager
def _interruptible() -> Iterator[None]:
    """
    Start processes with the default disposition of SIGINT.

    A shell without job control has its background jobs ignore SIGINT, and so would every process
    that the tests start: an ignored signal is inherited, a handler is not.
    """
    inherited = signal.getsignal(signal.SIGINT)
    if inherited is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, inherited)


def finish(process: subprocess.Popen[str]) -> Finished:
    """
    Wait for *process* and return its result; one that hangs is killed and fails the test.
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


# The system's maximum for a child process includes the memory of its parent before exec, so the
# command measures itself.
_MEASURED = """
import sys
from batchfetch.cli.main import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
sys.exit(code)
"""


def run_measured(
    *args: object, env: Mapping[str, str] | None = None, limit: float = LIMIT
) -> tuple[int, int]:
    """
    Run the command with *args*; return its exit code and its peak memory in bytes.
    """
    finished = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, args)],
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=limit,
        check=False,
    )
    return finished.returncode, int(finished.stdout) * 1024


def manifest_of(folder: Path, task_ids: Iterable[str]) -> Path:
    """
    Write a manifest with one id per line, and return its path.
    """
    path = folder / "manifest.txt"
    path.write_text("".join(f"{task_id}\n" for task_id in task_ids))
    return path


def read_report(path: Path) -> list[dict[str, Any]]:
    """
    Return the report's lines, each of which must be complete.
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
    Return the bytes of every `.png` file below *output*, by its path without the suffix.
    """
    found = output.rglob("*.png")
    return {str(p.relative_to(output)).removesuffix(".png"): p.read_bytes() for p in found}


def parts_in(output: Path) -> list[Path]:
    """
    Return the part files below *output*, which are images not complete yet.
    """
    return [path for path in output.rglob(".*") if path.name.endswith(".part")]


def expected_images(task_ids: Iterable[str], padding: int = 0) -> dict[str, bytes]:
    """
    Return the result of `images_in` after all of these were fetched from the origin.
    """
    return {task_id: png_of(task_id, padding) for task_id in task_ids}


HEARD = "a second signal stops at once"
"""What the command says when it has heard the first signal."""


def wait_until(
    happened: Callable[[], object], process: subprocess.Popen[str] | None = None
) -> None:
    """
    Wait until *happened* returns true; *process* must not end before.
    """
    deadline = time.monotonic() + LIMIT
    while not happened():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)
