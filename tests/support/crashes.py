"""
Run the command in forks of a process that kills them, as `crash_driver` says.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from command import LIMIT, environment, wait_until
from origin import Origin
from receiver import Receiver


class CrashDriver:
    """
    The process whose forks are killed; a context manager.  One that hangs is replaced.
    """

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.stdin.close()

    def run(self, argv: Sequence[str], **order: object) -> int:
        """
        Run the command, killed as *order* says; return its exit code, or the negative number of its
        signal.
        """
        try:
            self._process.stdin.write(f"{json.dumps({'argv': argv, **order})}\n")
            self._process.stdin.flush()
            answered, _, _ = select.select([self._process.stdout], [], [], LIMIT)
            assert answered, "the command hangs"
            return int(self._process.stdout.readline())
        except BaseException:  # Its answer, if it comes, would be taken for that of the next order.
            with self._process:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._start()
            raise

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("crash_driver.py")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def wait_for_stragglers(server: Origin | Receiver) -> None:
    """
    Have *server* read all that a dead run had sent: it accepts in order, so all before this.
    """
    last = HTTPConnection(urlsplit(server.base_url).netloc)
    if isinstance(server, Origin):
        last.request("GET", "/?id=straggler")
    else:
        last.request("POST", "/connect/token")
    last.getresponse().read()
    last.close()
    wait_until(lambda: server.connections == 0)
