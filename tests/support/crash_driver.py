"""
Driver that runs the command repeatedly in forks of one process and kills each at a given point.

It reads one order per line from standard input and writes one wait status per line to standard
output.  An order is a JSON object with `argv` and one of

* `seconds`: kill the command from outside after this time;
* `before_line`: kill it before this line, counted over all executed lines of the writing modules;
* `after` and `passage`: kill it after a line of these modules that contains the text `after` was
  executed for the `passage`-th time;

or none of them, to run it to its end; and perhaps `environment`, more variables for the command.
Nothing is patched: `sys.settrace` reports the lines.
"""

import itertools
import json
import linecache
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import batchfetch
import batchfetch.cli.fetch
import batchfetch.cli.run
import batchfetch.cli.submitting
import batchfetch.service.session
from batchfetch.cli.main import main

PACKAGE = Path(batchfetch.__file__).parent
# The ledger is in memory alone; the twelve thousand lines that build its tables are left out.
WRITERS = {
    str(path)
    for folder in ("storage", "report", "submission")
    for path in (PACKAGE / folder).rglob("*.py")
    if path.name not in {"ledger.py", "hash_table.py"}
}


def die() -> None:
    """
    Kill this process without any cleanup.
    """
    os.kill(os.getpid(), signal.SIGKILL)


class Trap:
    """
    A trace function that kills its process at a given line.
    """

    def __init__(self, before_line: int | None, after: str | None, passage: int) -> None:
        self._before_line = before_line
        self._after = after
        self._passage = passage
        self._lines = itertools.count(1)
        self._passages = itertools.count(1)
        self._passed = threading.local()

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        """
        See `sys.settrace`.
        """
        path = frame.f_code.co_filename
        if path not in WRITERS:
            return None
        if getattr(self._passed, "here", None) and next(self._passages) == self._passage:
            die()
        self._passed.here = False
        if event == "line":
            if next(self._lines) == self._before_line:
                die()
            if self._after is None:
                return self
            text = linecache.getline(path, frame.f_lineno)
            self._passed.here = self._after in text
        return self


def run(argv: list[str], trap: Trap | None) -> None:
    """
    Run the command in this process and exit with its code.
    """
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    if trap is not None:
        threading.settrace(trap)
        sys.settrace(trap)
    code = main(argv)
    os._exit(code)


def obey(order: dict[str, Any]) -> int:
    """
    Run the command as ordered; return its exit code, or the negative number of its signal.
    """
    trap = None
    if "before_line" in order or "after" in order:
        trap = Trap(order.get("before_line"), order.get("after"), order.get("passage", 1))
    child = os.fork()
    if child == 0:
        os.environ.update(order.get("environment", {}))
        try:
            run(order["argv"], trap)
        finally:
            os._exit(1)
    if "seconds" in order:
        time.sleep(order["seconds"])
        os.kill(child, signal.SIGKILL)  # The child is not waited for yet, so its pid is not reused.
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(obey(json.loads(line)), flush=True)  # noqa: T201 - the driver's protocol
