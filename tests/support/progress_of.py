"""
A run's progress, as displays are shown it.
"""

from typing import Any

from batchfetch.models import OutcomeStatus
from batchfetch.run.summary import Progress


def progress(**changes: Any) -> Progress:
    """
    A run that has seen some of everything.
    """
    usual: dict[str, Any] = {
        "tasks": 2000,
        "all_read": True,
        "outcomes": {OutcomeStatus.COMPLETED: 900, OutcomeStatus.ERROR: 3},
        "already": 97,
        "waiting": 950,
        "unfinished": 18,
        "in_flight": 32,
        "calls": 1000,
        "bytes": 5 * 2**20,
        "seconds": 30.1,
    }
    return Progress(**(usual | changes))
