"""
The log of runs beside the report: a line when a run begins and one when it ends.
"""

import json
import logging
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, ValidationError

from batchfetch.errors import ReportError
from batchfetch.report.advice import log_error
from batchfetch.report.interruptions import Interruption
from batchfetch.report.lines import AROUND
from batchfetch.report.reader import raw_lines
from batchfetch.settings import Settings
from batchfetch.submit_settings import SubmitSettings
from batchfetch.version import __version__

log = logging.getLogger("batchfetch.report")


class Run(BaseModel):
    """
    One run, as its last line in the log has it.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    """Tells the runs of one log apart."""

    began_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    """None while the run goes on, and for one that was killed."""

    version: str = ""
    process: int | None = None
    host: str | None = None
    """Where the process is, or was."""

    manifests: tuple[str, ...] = ()
    settings: Mapping[str, JsonValue] = {}
    """Those that are not defaults."""

    summary: Mapping[str, JsonValue] | None = None
    interruptions: tuple[Interruption, ...] = ()
    """Its outages and pauses, in the order of time."""

    @property
    def seconds(self) -> float | None:
        """
        From beginning to end; None if it has not ended.
        """
        if self.ended_at is None:
            return None
        return round((self.ended_at - self.began_at).total_seconds(), 3)


def runs_path(report: Path) -> Path:
    """
    Return where the runs of *report* are logged.
    """
    return report.with_name(f"{report.name.removesuffix('.jsonl')}.runs.jsonl")


class RunLog:
    """
    Appends one run to the log beside the report of *settings*; *manifests* are its sources.

    The report must be locked.  What cannot be written is warned of: a run goes on without its log.
    """

    def __init__(self, settings: Settings | SubmitSettings, manifests: Sequence[str]) -> None:
        report = settings.report_path
        # A report that is no plain file, such as a pipe, has nothing beside it.
        self._path = runs_path(report) if report.is_file() else None
        self._follow_link = settings.report is not None  # Then it is the user's own.
        self._run = {
            "run": secrets.token_hex(6),
            "began_at": _now(),
            "ended_at": None,
            "version": __version__,
            "process": os.getpid(),
            "host": os.uname().nodename,
            "manifests": list(manifests),
            "settings": _given(settings),
            "summary": None,
            "interruptions": [],
        }

    def begin(self) -> None:
        """
        Write the run's first line.
        """
        self._append(self._run)

    def end(self, summary: Mapping[str, object], interruptions: Sequence[object] = ()) -> None:
        """
        Write the run's last line.
        """
        last = {"ended_at": _now(), "summary": summary, "interruptions": interruptions}
        self._append({**self._run, **last})

    def _append(self, run: Mapping[str, object]) -> None:
        if self._path is None:
            return
        text = json.dumps(run, ensure_ascii=False, separators=(",", ":"))
        try:
            _append_line(self._path, text.encode(errors="replace"), follow_link=self._follow_link)
        except OSError as exc:
            log.warning(
                "the log of runs %s cannot be written: %s; the run goes on without it",
                *(self._path, exc.strerror or exc),
            )


def read_runs(report: Path) -> list[Run]:
    """
    Return the runs logged beside *report*, in the order in which they began.

    Lines that are no run, such as one that was torn, are skipped with a warning.
    """
    found: dict[str, Run] = {}
    for run in _runs(runs_path(report)):
        found[run.run] = run
    return sorted(found.values(), key=lambda run: run.began_at)


def holder_of(report: Path) -> str:
    """
    Return the run that goes on with *report*, in words: ` (process …)`; nothing if none is known.

    It is the last one that has begun, unless that has ended.
    """
    try:
        runs = read_runs(report)
    except ReportError:
        return ""
    if not runs or runs[-1].ended_at is not None or runs[-1].process is None:
        return ""
    last = runs[-1]
    return f" (process {last.process} on {last.host}, since {last.began_at:%Y-%m-%dT%H:%M:%SZ})"


def _runs(path: Path) -> Iterator[Run]:
    for number, _, line in raw_lines(path, log_error):
        text = line.strip(AROUND)
        if not text:
            continue
        try:
            yield Run.model_validate_json(text)
        except ValidationError:
            log.warning(
                "%s, line %d is no run and was skipped: it was torn or changed; remove it",
                *(path, number),
            )


def _given(settings: Settings | SubmitSettings) -> dict[str, JsonValue]:
    # Credentials are no settings, and an address that holds some is refused.
    values: dict[str, JsonValue] = settings.model_dump(mode="json", exclude_defaults=True)
    return values


def _append_line(path: Path, line: bytes, *, follow_link: bool) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(path, flags | (0 if follow_link else os.O_NOFOLLOW), 0o666)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        is_torn = status.st_size and os.pread(file, 1, status.st_size - 1) != b"\n"
        data = (b"\n" if is_torn else b"") + line + b"\n"
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
