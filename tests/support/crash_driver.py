"""
Runs the command again and again in forks of one warm process, each killed where it is told.

One order a line on standard input, one wait status a line on standard output.  An order is a JSON
object: `argv`, and one of

* `seconds`: killed from outside after so long;
* `before_line`: killed when it is about to run so manieth line of the modules that write;
* `after` and `passage`: killed right after a line of theirs that holds this text was run, when
  that happens for the so manieth time;

or none of them, and it runs to its end.  Nothing is patched: the interpreter's own tracing tells
which line is next.
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
import batchfetch.service.session
from batchfetch.cli.main import main

PACKAGE = Path(batchfetch.__file__).parent
WRITERS = {str(path) for room in ("storage", "report") for path in (PACKAGE / room).glob("*.py")}


def die() -> None:
    """
    End as on a power cut, as far as this process goes.
    """
    os.kill(os.getpid(), signal.SIGKILL)


class Trap:
    """
    A trace function that kills its process at one place.
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
    Be the command; never returns.
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
    Run the command as ordered and return its wait status: an exit code, or minus a signal.
    """
    trap = None
    if "before_line" in order or "after" in order:
        trap = Trap(order.get("before_line"), order.get("after"), order.get("passage", 1))
    child = os.fork()
    if child == 0:
        try:
            run(order["argv"], trap)
        finally:
            os._exit(1)
    if "seconds" in order:
        time.sleep(order["seconds"])
        os.kill(child, signal.SIGKILL)  # Not waited for yet, so the number is still its own.
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(obey(json.loads(line)), flush=True)  # noqa: T201 - that is what it is for
