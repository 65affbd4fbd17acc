"""
What clients spent: the stand-in's own count of what was asked of it.
"""

from collections import Counter
from dataclasses import dataclass, field

from batchfetch.sandbox.settings import InjectedFault


@dataclass(slots=True)
class Tally:
    """
    Requests that arrived, however they were answered.
    """

    calls: int = 0
    """API calls; token requests are not among them."""

    token_requests: int = 0

    calls_by_task: Counter[str] = field(default_factory=Counter)
    """API calls that named a task, by its id in lower case."""

    faults: Counter[InjectedFault] = field(default_factory=Counter)
    """Answers that went wrong on purpose."""

    def count_call(self, task_id: str) -> int:
        """
        Count one API call and return how many there were for *task_id*, this one included.

        Without a task to name (the id is empty) it is how many there were of all calls.
        """
        self.calls += 1
        if not task_id:
            return self.calls
        self.calls_by_task[task_id] += 1
        return self.calls_by_task[task_id]
