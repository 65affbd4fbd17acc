"""
Counters of the requests that the stand-in received.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from batchfetch.sandbox.settings import InjectedFault


@dataclass(slots=True)
class Tally:
    """
    Numbers of requests received, including failed ones.
    """

    calls: int = 0
    """API calls; token requests are not among them."""

    token_requests: int = 0

    calls_by_task: Counter[str] = field(default_factory=Counter)
    """API calls that named a task, by its id in lower case."""

    submissions: int = 0
    """Images accepted; the answer may have been lost on its way."""

    images: set[bytes] = field(default_factory=set)
    """The digest of each that was accepted, and of the filter it was for."""

    faults: Counter[InjectedFault] = field(default_factory=Counter)
    """Injected faults by kind."""

    def count_submission(self, digest: bytes) -> None:
        """
        Count an accepted image by its *digest*.
        """
        self.submissions += 1
        self.images.add(digest)

    def as_json(self) -> Mapping[str, object]:
        """
        Return what is answered to those who ask for it.
        """
        return {
            "calls": self.calls,
            "token_requests": self.token_requests,
            "submissions": self.submissions,
            "images": len(self.images),
            "faults": self.faults,
        }

    def count_call(self, task_id: str) -> int:
        """
        Count one API call and return the number of calls for *task_id*, including this one.

        If the id is empty, return the number of all calls.
        """
        self.calls += 1
        if not task_id:
            return self.calls
        self.calls_by_task[task_id] += 1
        return self.calls_by_task[task_id]
