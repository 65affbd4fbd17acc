"""
Images that are to be sent, in the order in which they came, and those to be tried again.
"""

from collections import deque
from heapq import heappop, heappush

from batchfetch.models import JobState
from batchfetch.submission.image import Sending


class SubmitAgenda:
    """
    An `Agenda` for the run's workers; no more than *lookahead* images wait in it for their turn.
    """

    def __init__(self, lookahead: int) -> None:
        self._lookahead = lookahead
        self._new: deque[Sending] = deque()
        self._faulted: list[tuple[float, int, Sending]] = []
        self._unsettled = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """
        Images that were not sent yet.
        """
        return len(self._new)

    @property
    def known_unfinished(self) -> int:
        """
        Images that are sent again at a time of their own.
        """
        return len(self._faulted)

    @property
    def unsettled(self) -> int:
        """
        Images that were offered and are not decided.
        """
        return self._unsettled

    @property
    def wants_more(self) -> bool:
        """
        Whether more images should be added.
        """
        return not self._closed and len(self._new) < self._lookahead

    @property
    def is_idle(self) -> bool:
        """
        Whether no image is left to be sent, now or later, unless some are added.
        """
        return not self._new and not self._faulted

    @property
    def are_others_left(self) -> bool:
        """
        Whether an image waits that was not sent yet, or may still be added.
        """
        return bool(self._new) or not self._closed

    @property
    def failing(self) -> list[JobState]:
        """
        The images that wait because their last request failed.
        """
        return [state for _, _, state in self._faulted]

    @property
    def is_closed(self) -> bool:
        """
        Whether no more images will be added.
        """
        return self._closed

    @property
    def finished(self) -> bool:
        """
        Whether every image is decided and none will be added.
        """
        return self._closed and not self._unsettled

    def offer(self, state: Sending) -> None:
        """
        Add an image.
        """
        self._unsettled += 1
        self._new.append(state)

    def close(self) -> None:
        """
        Declare that no more images will be added.
        """
        self._closed = True

    def next(self, now: float, budget_left: int | None = None) -> JobState | float | None:  # noqa: ARG002 - of the interface
        """
        Return the image to send now, or the time at which one is due, or None.
        """
        if self._faulted and self._faulted[0][0] <= now:
            return heappop(self._faulted)[2]
        if self._new:
            return self._new.popleft()
        return self._faulted[0][0] if self._faulted else None

    def last(self, *, but_of: str | None) -> JobState | None:
        """
        Return an image from further on, for another endpoint than *but_of* if there is one; None
        if there is none.
        """
        for place in range(len(self._new) - 1, -1, -1):
            if self._new[place].job.endpoint != but_of:
                state = self._new[place]
                del self._new[place]
                return state
        if self._new:
            return self._new.pop()
        return self._faulted.pop()[2] if self._faulted else None

    def again(self, state: JobState, due: float) -> None:
        """
        Send the image of *state* again at *due*, unless it is decided.
        """
        assert isinstance(state, Sending)  # noqa: S101 - nothing else is offered
        if state.is_decided:
            self.settled(state, due)
        else:
            heappush(self._faulted, (due, state.ordinal, state))

    def set_aside(self, state: JobState, now: float) -> None:
        """
        Record that the last request decided nothing; `again` or `settled` follows, unless the
        image is decided.
        """
        assert isinstance(state, Sending)  # noqa: S101 - nothing else is offered
        if state.is_decided:
            self.settled(state, now)

    def unfinished(self, state: JobState, now: float) -> None:
        """
        Never called: an image that was accepted is done with.
        """

    def settled(self, state: JobState, now: float) -> None:  # noqa: ARG002 - of the interface
        """
        Record that the image of *state* is decided; only the first time counts.
        """
        assert isinstance(state, Sending)  # noqa: S101 - nothing else is offered
        self._unsettled -= state.leave()
