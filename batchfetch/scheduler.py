"""
Who is asked next, and when: jobs wait here, holding neither a slot nor a coroutine.
"""

from heapq import heappop, heappush

from batchfetch.models import Inquiry
from batchfetch.polling import PollingPolicy


class Scheduler:
    """
    Hand out inquiries as they fall due.  Pure: every method is told what time it is.

    Times are seconds on a monotonic clock, which showed 0 at Unix time *epoch*.  *lookahead* bounds
    how many jobs wait unasked.
    """

    def __init__(
        self, policy: PollingPolicy, *, lookahead: int = 65_536, epoch: float = 0.0
    ) -> None:
        self._policy = policy
        self._epoch = epoch
        self._lookahead = lookahead
        self._closed = False
        self._fresh: list[tuple[float, int, Inquiry]] = []
        self._due: list[tuple[float, int, Inquiry]] = []
        self._in_flight = 0

    @property
    def waiting(self) -> int:
        """
        Jobs not asked about yet.
        """
        return len(self._fresh)

    @property
    def known_unfinished(self) -> int:
        """
        Jobs to be asked about again.
        """
        return len(self._due)

    @property
    def in_flight(self) -> int:
        """
        Questions without an answer yet.
        """
        return self._in_flight

    @property
    def wants_more(self) -> bool:
        """
        Whether there is room to read ahead.
        """
        return not self._closed and len(self._fresh) < self._lookahead

    @property
    def finished(self) -> bool:
        """
        Whether every job has an outcome and none will be added.
        """
        return self._closed and not (self._fresh or self._due or self._in_flight)

    def offer(self, inquiry: Inquiry) -> None:
        """
        Add a job from the manifest.
        """
        submitted = inquiry.job.submitted_at
        order = float("inf") if submitted is None else submitted.timestamp()
        heappush(self._fresh, (order, inquiry.ordinal, inquiry))

    def close(self) -> None:
        """
        Declare the end of the manifest.
        """
        self._closed = True

    def next(self, now: float, budget_left: int | None = None) -> Inquiry | float | None:
        """
        Return what to ask about now, or when to come back, or None.

        An inquiry is in flight until `settled`, `unfinished` or `again` is called with it.  A float
        is when the next question falls due; None means that nothing is to be asked before an answer
        comes or a job is offered.  *budget_left* is how many calls may still be made, if that is
        limited.
        """
        if self._due and self._due[0][0] <= now:
            inquiry = heappop(self._due)[2]
        elif self._fresh:
            inquiry = heappop(self._fresh)[2]
        else:
            return self._due[0][0] if self._due else None
        self._in_flight += 1
        return inquiry

    def settled(self, inquiry: Inquiry, now: float) -> None:
        """
        Record that *inquiry* has an outcome.
        """
        self._in_flight -= 1

    def unfinished(self, inquiry: Inquiry, now: float) -> None:
        """
        Record that the task is Pending or Processing; the policy says when it is asked again.
        """
        self.again(inquiry, self._policy.again(inquiry, now))

    def again(self, inquiry: Inquiry, due: float) -> None:
        """
        Ask about *inquiry* again at *due*, without consulting the policy: a passing fault.
        """
        self._in_flight -= 1
        heappush(self._due, (due, inquiry.ordinal, inquiry))
