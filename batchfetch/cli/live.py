"""
Live display at the bottom of a terminal, below the log lines.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

P = TypeVar("P")

_BARS = "━─"
_INTERRUPTED = r"^(held|paused|no answer|the service cannot be reached)\b.*"
_STYLES = {
    r"[━#]{3,}": "green",
    r"[─-]{3,}": "dim",
    r"^[1-9]\d* failed": "red",
    _INTERRUPTED: "yellow",
}


class LiveDisplay(Generic[P]):
    """
    Lines on stderr: how far the run is, what came of it, what goes on, and what it waits for if it
    is interrupted.  *panel* makes them for a width, `close` removes them.
    """

    def __init__(self, panel: Callable[[P, int, bool], list[str]]) -> None:
        self._panel = panel
        # Log lines are wrapped by the terminal, which keeps a path in one piece for copying.
        self._console = Console(stderr=True, soft_wrap=True)
        self._unicode = _has(self._console.encoding, _BARS)
        self._live = Live(
            console=self._console,
            auto_refresh=False,  # `show` refreshes it, so rich needs no thread.
            transient=True,
            redirect_stdout=False,
        )
        with suppress(OSError):
            self._live.start()

    def show(self, progress: P) -> None:
        """
        Draw *progress*.  A terminal that is gone does not stop the run.
        """
        text = Text("\n".join(self._panel(progress, self._console.width, self._unicode)))
        for pattern, style in _STYLES.items():
            text.highlight_regex(f"(?m){pattern}", style)
        with suppress(OSError):
            self._live.update(text, refresh=True)

    def close(self) -> None:
        """
        Remove the display and restore the terminal.
        """
        with suppress(OSError):
            self._live.stop()


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
