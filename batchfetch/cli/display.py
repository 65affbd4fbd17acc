"""
Output on stderr during a run: progress, and the tasks that did not complete.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
from pydantic_core import to_jsonable_python

from batchfetch.cli.format import outcome_line, progress_line
from batchfetch.cli.options import LogFormat, ProgressMode
from batchfetch.cli.panel import panel
from batchfetch.cli.streams import is_terminal
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.run.summary import Progress
from batchfetch.submission.summary import SubmitProgress

P = TypeVar("P", Progress, SubmitProgress)

log = logging.getLogger(__name__)

_SHOWN = 20


class OutcomeLog:
    """
    Log a warning for each of the first *shown* outcomes that are not Completed.

    The report lists all of them.
    """

    def __init__(self, shown: int = _SHOWN) -> None:
        self._left = shown

    def add(self, outcome: Outcome) -> None:
        if outcome.status is OutcomeStatus.COMPLETED:
            log.debug("%s: Completed", outcome.task_id)
            return
        if self._left > 0:
            log.warning(
                "%s",
                outcome_line(outcome),
                extra={"fields": {"outcome": outcome.model_dump(mode="json", by_alias=True)}},
            )
        elif self._left == 0:
            log.warning("more tasks did not end Completed; the report has them all")
        self._left -= 1


def log_progress(progress: Progress) -> None:
    """
    Log the progress of a run on one line.
    """
    fields = {"progress": to_jsonable_python(progress)}
    log.info("%s", progress_line(progress), extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class Words(Generic[P]):
    """
    How a kind of run puts its progress into words.
    """

    log: Callable[[P], None]
    """Logs one line."""

    panel: Callable[[P, int, bool], list[str]]
    """Returns lines for a terminal with so many columns, and Unicode or not."""


FETCH_WORDS: Words[Progress] = Words(
    log_progress, lambda progress, columns, unicode: panel(progress, columns, unicode=unicode)
)


@dataclass(frozen=True, slots=True)
class Display(Generic[P]):
    """
    A function that shows the progress, called periodically.

    *first* is the delay before the first call and *every* the interval after that, in seconds.
    """

    show: Callable[[P], None]
    first: float
    every: float
    close: Callable[[], None] = lambda: None

    async def follow(self, read: Callable[[], P]) -> None:
        """
        Show what *read* returns until cancelled.

        A timer costs the same at any speed, unlike a call for each outcome.
        """
        await anyio.sleep(self.first)
        while True:
            self.show(read())
            await anyio.sleep(self.every)


@contextmanager
def open_display(
    mode: ProgressMode, log_format: LogFormat, words: Words[P]
) -> Iterator[Display[P]]:
    """
    Open the display for *mode* and the kind of stderr, and restore the terminal afterwards.
    """
    display = _choose(mode, log_format, words)
    try:
        yield display
    finally:
        display.close()


def _choose(mode: ProgressMode, log_format: LogFormat, words: Words[P]) -> Display[P]:
    if mode is ProgressMode.NEVER:
        return Display(lambda _: None, first=3600, every=3600)
    if log_format is LogFormat.TEXT and is_terminal(sys.stderr):
        # This import takes half as long as all other imports of a run.
        from batchfetch.cli.live import LiveDisplay  # noqa: PLC0415

        live: LiveDisplay[P] = LiveDisplay(words.panel)
        return Display(live.show, first=0, every=0.2, close=live.close)
    if mode is ProgressMode.ALWAYS:
        return Display(words.log, first=5, every=5)
    # A short run logs only its summary, and a long one stays readable in a mail from cron.
    return Display(words.log, first=10, every=60)
