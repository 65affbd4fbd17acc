"""
What a run shows on stderr while it goes on: how far it is, and what did not end well.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import anyio

from batchfetch.cli.format import outcome_line, progress_line
from batchfetch.cli.options import LogFormat, ProgressMode
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.run.summary import Progress

log = logging.getLogger(__name__)

_SHOWN = 20


class OutcomeLog:
    """
    A warning for each outcome that is not Completed: the first *shown* of them, then silence.

    A hundred thousand lines help nobody; the report has them all.
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


@dataclass(frozen=True, slots=True)
class Display:
    """
    Something that is shown the progress from time to time.

    *first* and *every* are seconds: until it is shown for the first time, and between times.
    """

    show: Callable[[Progress], None]
    first: float
    every: float
    close: Callable[[], None] = lambda: None

    async def follow(self, read: Callable[[], Progress]) -> None:
        """
        Show what *read* returns until cancelled.

        A ticker, and not a call for each outcome: it costs the same whatever the speed.
        """
        await anyio.sleep(self.first)
        while True:
            self.show(read())
            await anyio.sleep(self.every)


@contextmanager
def open_display(mode: ProgressMode, log_format: LogFormat) -> Iterator[Display]:
    """
    Choose what suits *mode* and where stderr goes, and put the terminal back afterwards.
    """
    display = _choose(mode, log_format)
    try:
        yield display
    finally:
        display.close()


def _choose(mode: ProgressMode, log_format: LogFormat) -> Display:
    if mode is ProgressMode.NEVER:
        return Display(lambda _: None, first=3600, every=3600)
    if log_format is LogFormat.TEXT and _is_terminal():
        # Half as long to import as the rest of a run's needs together, and only useful here.
        from batchfetch.cli.live import LiveDisplay  # noqa: PLC0415

        live = LiveDisplay()
        return Display(live.show, first=0, every=0.2, close=live.close)
    if mode is ProgressMode.ALWAYS:
        return Display(log_progress, first=5, every=5)
    # A short run says nothing but its summary, a long one does not fill a mail.
    return Display(log_progress, first=10, every=60)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def log_progress(progress: Progress) -> None:
    """
    Log how far a run is, on one line.
    """
    log.info("%s", progress_line(progress), extra={"fields": {"progress": asdict(progress)}})
