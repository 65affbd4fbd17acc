"""
What running a command costs.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launcher.py")
_LAST_WORDS = 400


@dataclass(frozen=True, slots=True)
class Usage:
    """
    One run of one command.
    """

    wall: float
    """Seconds from start to end, start-up included."""

    cpu: float
    """Seconds, user and system together."""

    peak_rss: int
    """Bytes; of the largest process."""


class RunError(Exception):
    """
    A command did not end well, or did not do what was asked; the message has its last words.
    """


def measure(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    limit: float,
    allowed: frozenset[int] = frozenset({0}),
) -> Usage:
    """
    Run *command* and return what it cost; everything it prints goes to *log*.

    Raises `RunError` if its exit code is not *allowed*, or if *limit* seconds were not enough:
    then it and its children are killed.
    """
    launcher = (sys.executable, "-I", "-S", str(_LAUNCHER), *command)
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            line, _ = process.communicate(timeout=limit)
        except BaseException as exc:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(exc, subprocess.TimeoutExpired):
                raise RunError(f"not done after {limit:.0f} s") from None
            raise
    fields = line.split()
    if len(fields) != 4 or int(fields[3]) not in allowed:
        raise RunError(f"exit code {fields[-1] if fields else 'unknown'}: {_last_words(log)}")
    return Usage(wall=float(fields[0]), cpu=float(fields[1]), peak_rss=int(fields[2]))


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][-_LAST_WORDS:] if lines else "it said nothing"
