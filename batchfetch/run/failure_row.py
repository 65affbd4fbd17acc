"""
The jobs that failed since the last usable answer, until it is known whose fault that is.
"""

from batchfetch.models import JobState
from batchfetch.run.rulings import AGAIN, Ruled


class FailureRow:
    """
    Jobs whose requests failed one after another, and what becomes of them when the row ends.
    """

    def __init__(self) -> None:
        self._failed: list[JobState] = []
        self.given_up: list[Ruled] = []
        """The outcomes of the jobs that have had all their attempts."""

    def add(self, state: JobState) -> None:
        """
        Add a failed request about *state*.
        """
        self._failed.append(state)

    def give_up(self) -> list[Ruled]:
        """
        Return the outcomes of the jobs that have had all their attempts.
        """
        given_up, self.given_up = self.given_up, []
        return given_up

    def end(self) -> list[Ruled]:
        """
        End the row with an answer: the failures were the jobs' own.
        """
        self._failed.clear()
        return self.give_up()

    def forgive(self) -> list[Ruled]:
        """
        End the row with a hold: each failure in it is taken back, and no job is given up.
        """
        for state in self._failed:
            state.forgive()
        self._failed.clear()
        return [(state, AGAIN) for state, _ in self.give_up()]
