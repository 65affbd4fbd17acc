"""
A real Dask scheduler and real workers on loopback, each a process that can be killed.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from command import environment, wait_until

SUPPORT = Path(__file__).parent


class DaskCluster:
    """
    A scheduler and the workers started for it; a context manager.  Logs are files in *folder*.

    The scheduler listens on *host*; *env* are additional variables for it and all workers.
    """

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", env: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.env = env or {}
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", host, "--port", "0")
        wait_until(self.file.exists, self.scheduler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    @property
    def address(self) -> str:
        """
        Of the scheduler.
        """
        return json.loads(self.file.read_text())["address"]

    @property
    def logs(self) -> str:
        """
        All that scheduler and workers have written.
        """
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def add_worker(self, *options: str, wait: bool = True, **more) -> subprocess.Popen[bytes]:
        """
        Start a worker; *more* is for the process: `env` are additional variables, `prefix` is a
        command that runs it.
        """
        worker = self._start("worker", "--nthreads", "1", "--no-nanny", *options, **more)
        self.workers.append(worker)
        log = self._log(len(self.workers))
        if wait:
            wait_until(lambda: "Registered to" in log.read_text(), worker)
        return worker

    def add_doomed_worker(
        self, after: str, passage: int = 1, *, env=None, **more
    ) -> subprocess.Popen[bytes]:
        """
        Start a worker that dies after a line with the text *after* was run for so many times.
        """
        trap = json.dumps({"after": after, "passage": passage})
        env = {
            **(env or {}),
            "BATCHFETCH_TEST_TRAP": trap,
            "PYTHONPATH": f"{SUPPORT.parent.parent}:{SUPPORT}",
        }
        return self.add_worker("--preload", str(SUPPORT / "dask_trap.py"), env=env, **more)

    def remove_workers(self) -> None:
        """
        End all workers.
        """
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def _log(self, number: int) -> Path:
        return self.folder / f"{number}.log"

    def _start(self, kind: str, *options: str, env=None, prefix=()) -> subprocess.Popen[bytes]:
        with self._log(len(self.workers) + (kind == "worker")).open("wb") as log:
            return subprocess.Popen(
                [
                    *prefix,
                    *(sys.executable, "-m", f"distributed.cli.dask_{kind}"),
                    *("--scheduler-file", str(self.file), "--no-dashboard", *options),
                ],
                env=environment(**{**self.env, **(env or {})}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
