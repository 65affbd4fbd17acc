"""
A run's progress, as displays are shown it.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from batchfetch.models import OutcomeStatus
from batchfetch.report import Cause, Present
from batchfetch.run.summary import Progress

OUTAGE = Present(
    cause=Cause.OUTAGE,
    began_at=datetime(2026, 1, 31, 2, 14, 5, tzinfo=UTC),
    until=datetime(2026, 1, 31, 2, 29, 5, tzinfo=UTC),
    left=700.0,
    reason="127.0.0.1:9 cannot be reached: Connection refused",
)
PAUSE = replace(OUTAGE, cause=Cause.PAUSE, left=600.0, reason="HTTP 429 Too Many Requests, später")


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
