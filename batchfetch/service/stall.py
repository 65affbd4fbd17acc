"""
How long an answer has been waited for, and when that is long enough.
"""

# Bytes a second below which an answer is a drip that nobody should wait for.  The slowest modem was
# faster; a server that only keeps the connection alive is not.
_SLOWEST = 256


class StallDetector:
    """
    With one answer.  Pure: every method is told what time it is, in seconds.

    Only time spent waiting counts: a slow disk of ours is not the service's fault.
    """

    __slots__ = ("_asked_at", "_began_at", "_heard_at", "_received", "_waited")

    def __init__(self, now: float) -> None:
        self._asked_at = self._heard_at = now
        self._began_at: float | None = None
        # Since it was last found to be fast enough.
        self._waited = 0.0
        self._received = 0

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

    def received(self, now: float, nbytes: int) -> None:
        """
        Note that *nbytes* bytes of it have arrived.
        """
        self._heard_at = now
        self._received += nbytes

    def check(self, now: float, *, silence: float, deadline: float, is_begun: bool) -> str | None:
        """
        Say why the answer is not worth waiting for; None if it is.

        Because nothing, or next to nothing, came of it in *silence* seconds of waiting, or because
        it has not begun *deadline* seconds after the question.
        """
        if self._began_at is None:
            return None
        if not is_begun and now - self._asked_at > deadline:
            return "no answer arrived in time"
        if now - max(self._heard_at, self._began_at) > silence:
            return f"nothing arrived for a time of {silence:g} s"
        waited = self._waited + now - self._began_at
        if waited > silence:
            if self._received < _SLOWEST * waited:
                return f"the answer dripped: {self._received} bytes in {waited:.0f} s"
            self._waited -= waited
            self._received = 0
        return None
