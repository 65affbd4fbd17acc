"""
Live display at the bottom of a terminal, below the log lines.
"""

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from batchfetch.cli.format import tally, traffic
from batchfetch.run.summary import Progress


class LiveDisplay:
    """
    Three lines on stderr: a progress bar, outcomes, activity.  `close` removes them.
    """

    def __init__(self) -> None:
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,  # `show` refreshes it, so rich needs no thread.
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def show(self, progress: Progress) -> None:
        """
        Draw *progress*.
        """
        total = progress.tasks if progress.all_read else None
        lines = (
            ProgressBar(total=total, completed=progress.decided, pulse=total is None),
            Text(tally(progress), no_wrap=True, overflow="ellipsis"),
            Text(traffic(progress), no_wrap=True, overflow="ellipsis", style="dim"),
        )
        self._live.update(Group(*lines), refresh=True)

    def close(self) -> None:
        """
        Remove the display and restore the terminal.
        """
        self._live.stop()
