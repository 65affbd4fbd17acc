"""
The file of `--metrics-file`: what a run does, for Prometheus's textfile collector.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
from anyio import to_thread

from batchfetch.exit_codes import ExitCode
from batchfetch.hooks.metrics import Metric, MetricsHook, counter, exposition, gauge
from batchfetch.run.summary import Progress, Summary
from batchfetch.sharding import Shard

log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds between two writes."""

_CODE, _SUCCESS = "last_run_exit_code", "last_success_timestamp_seconds"
_KEPT = re.compile(rf"^batchfetch_({_CODE}|{_SUCCESS}){{.*}} ([\d.e+]+)$", re.MULTILINE)


class MetricsFile:
    """
    Writes what a run does to *path* until `close`.

    *output* and *shard* tell the values of several jobs on one machine apart; a shard writes a file
    of its own.  How the last runs ended is
    taken over from the file of the run before.  A write that fails costs a warning, the first time,
    and nothing else.
    """

    def __init__(
        self,
        path: Path,
        output: str | Path,
        shard: Shard | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(os.path.expanduser(path))  # noqa: PTH111 - leaves what it cannot replace
        where = str(output)
        self._labels = {"output": where if "://" in where else str(Path(where).absolute())}
        if shard is not None:
            self._path = shard.path_of(self._path)
            self._labels["shard"] = str(shard)
        self._now = now
        self._started = now()
        self._has_failed = False
        self._code: float | None = None
        self._success: float | None = None
        self._take_over()
        self.hook = MetricsHook(now=now)

    async def follow(self, read: Callable[[], tuple[Progress, Summary]]) -> None:
        """
        Write what *read* returns now and then until cancelled.
        """
        while True:
            text = self._text(*read(), running=True)
            await to_thread.run_sync(self._write, text)
            await anyio.sleep(EVERY)

    def close(self, progress: Progress, summary: Summary) -> None:
        """
        Write how the run ended.
        """
        self._ended(summary.exit_code)
        self._write(self._text(progress, summary, running=False))

    def fail(self, code: ExitCode) -> None:
        """
        Write that the run ended with *code* before it asked anything.
        """
        self._ended(code)
        self._write(exposition([*self._run(running=False), *self.hook.metrics()], self._labels))

    def _ended(self, code: ExitCode) -> None:
        self._code = code
        if code == ExitCode.COMPLETED:
            self._success = self._now()

    def _text(self, progress: Progress, summary: Summary, *, running: bool) -> str:
        metrics = (*self._run(running=running), *_figures(progress, summary), *self.hook.metrics())
        return exposition(metrics, self._labels)

    def _run(self, *, running: bool) -> Iterator[Metric]:
        yield gauge("running", "1 while a run is on.", running)
        yield gauge("run_start_timestamp_seconds", "When the run began.", self._started)
        if self._code is not None:
            yield gauge(_CODE, "Exit code of the last run that has ended.", self._code)
        if self._success is not None:
            yield gauge(_SUCCESS, "When a run last ended with exit code 0.", self._success)

    def _take_over(self) -> None:
        with suppress(OSError, ValueError):
            for name, value in _KEPT.findall(self._path.read_text(encoding="utf-8")):
                if name == _CODE:
                    self._code = float(value)
                else:
                    self._success = float(value)

    def _write(self, text: str) -> None:
        """
        Put *text* in the place of the file, whole: the collector may read at any time.
        """
        try:
            # The collector reads `*.prom`, so not this one.
            part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
            try:
                part.write_text(text, encoding="utf-8")
                part.replace(self._path)
            finally:
                part.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            if not self._has_failed:
                self._has_failed = True
                log.warning(
                    "--metrics-file: %s cannot be written: %s; the run goes on without it",
                    *(self._path, getattr(error, "strerror", None) or error),
                )


def _figures(progress: Progress, summary: Summary) -> Iterator[Metric]:
    yield counter("calls_total", "API calls of this run.", summary.calls)
    yield counter(
        "asked_too_early_total", "Calls that found a task unfinished.", summary.asked_too_early
    )
    yield counter("token_requests_total", "Requests for a token.", summary.token_requests)
    yield gauge("tasks", "Rows of the manifest read so far.", progress.tasks)
    yield gauge("tasks_settled_earlier", "Tasks that earlier runs settled.", progress.already)
    yield gauge("tasks_waiting", "Tasks never asked about in this run.", progress.waiting)
    yield gauge("tasks_unfinished", "Tasks to be asked about again.", progress.unfinished)
    yield gauge("requests_in_flight", "Requests being answered.", progress.in_flight)
