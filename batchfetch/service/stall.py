"""
Give up answers that are not worth waiting for: silent, or next to silent, for too long.
"""

import asyncio
from typing import Protocol

# Bytes a second below which an answer is given up.  The slowest modem was faster; a server that
# only keeps the connection alive is not.
_SLOWEST = 256

# How often all that wait are checked: so many times in the silence tolerated, and at least so often
# (seconds).
_CHECKS = 8
_LONGEST_INTERVAL = 1.0


class StallDetector:
    """
    Judges how one answer arrives.  Pure: every method is told the time, in seconds.

    Only time spent waiting counts: a slow disk of ours is not the service's fault.
    """

    __slots__ = ("_asked_at", "_began_at", "_heard_at", "_is_begun", "_received", "_waited")

    def __init__(self, now: float) -> None:
        self._asked_at = self._heard_at = now
        self._began_at: float | None = None
        # Since it was last found to be fast enough.
        self._waited = 0.0
        self._received = 0
        self._is_begun = False

    def begin(self, now: float) -> None:
        """
        Note that the answer, or more of it, is waited for.
        """
        self._began_at = now

    def end(self, now: float) -> None:
        """
        Note that it is waited for no longer.
        """
        if self._began_at is not None:
            self._waited += now - self._began_at
            self._began_at = None

    def progress(self, now: float) -> None:
        """
        Note that more of the request was sent: the wait for its answer begins anew.
        """
        self._asked_at = now

    def begin_body(self, now: float) -> None:
        """
        Note that the head of the answer has arrived: from here on its bytes are counted.
        """
        self._is_begun = True
        self._heard_at = now
        self._waited = 0.0
        if self._began_at is not None:
            self._began_at = now

    def received(self, now: float, nbytes: int) -> None:
        """
        Note that *nbytes* bytes of the body have arrived.
        """
        self._heard_at = now
        self._received += nbytes

    def check(self, now: float, *, silence: float, deadline: float) -> str | None:
        """
        Return why to give the answer up; None if it is worth waiting for.

        It is given up if its head has not arrived *deadline* seconds after the question, or if
        nothing, or fewer than 256 bytes a second, came of its body in *silence* seconds of waiting.
        """
        if self._began_at is None:
            return None
        if not self._is_begun:
            late = now - self._asked_at > deadline
            return "no answer arrived in time" if late else None
        if now - max(self._heard_at, self._began_at) > silence:
            return f"nothing arrived for a time of {silence:g} s"
        waited = self._waited + now - self._began_at
        if waited > silence:
            if self._received < _SLOWEST * waited:
                return f"the answer dripped: {self._received} bytes in {waited:.0f} s"
            self._waited -= waited
            self._received = 0
        return None


class Waiting(Protocol):
    """
    Something that waits for an answer and can be told to wait no longer.
    """

    detector: StallDetector

    def give_up(self, words: str) -> None: ...


class StallWatch:
    """
    Checks all that wait, a few times in the span of a silence that is tolerated.

    One timer serves all.  *now* is a clock that moves with it, and by no more than two of its
    intervals at a time: while the whole process was stopped, or its machine slept, no answer was
    late.
    """

    def __init__(self, *, silence: float, deadline: float) -> None:
        self._silence = silence
        self._deadline = deadline
        self._interval = min(silence / _CHECKS, _LONGEST_INTERVAL)
        self._loop = asyncio.get_running_loop()
        self._seen_at = self._loop.time()
        self._timer = self._loop.call_later(self._interval, self._tick)
        self.now = 0.0
        """Seconds."""

        self.waiting: set[Waiting] = set()

    def close(self) -> None:
        """
        Check no longer.
        """
        self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self.now += min(now - self._seen_at, 2 * self._interval)
        self._seen_at = now
        for waiting in [*self.waiting]:
            words = waiting.detector.check(self.now, silence=self._silence, deadline=self._deadline)
            if words is not None:
                waiting.give_up(words)
        self._timer = self._loop.call_later(self._interval, self._tick)
