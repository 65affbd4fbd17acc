"""
Tell refused tokens from refused tasks, and drop the tokens that are dead.
"""

from batchfetch.errors import CredentialsError
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.run.rulings import AGAIN, ASIDE, Ruled
from batchfetch.scheduling import Suspicion, TokenTrial
from batchfetch.service import Tokens


class TokenWatch:
    """
    Rules on jobs whose token was refused, by the rules of `TokenTrial`.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._trial: TokenTrial[JobState] = TokenTrial()
        self._words = ""
        self.error: CredentialsError | None = None
        """Why the run ends; None if it does not."""

    @property
    def has_suspect(self) -> bool:
        """
        Whether a job is kept undecided.
        """
        return self._trial.suspect is not None

    def begin(self, token: str) -> JobState | None:
        """
        Note that *token* is used from now on; return a job to be asked about again with it.
        """
        return self._trial.begin(token) if token != self._trial.token else None

    def answered(self, token: str, asked_at: float, now: float) -> list[Ruled]:
        """
        Note that a request with *token*, begun at *asked_at*, was answered.
        """
        if token != self._trial.token:
            return []
        suspect = self._trial.answered(asked_at, now)
        return [] if suspect is None else [(suspect, self._refused(suspect))]

    def refused(
        self, state: JobState, token: str, asked_at: float, now: float, words: str
    ) -> list[Ruled]:
        """
        Return what becomes of *state*, whose request with *token* was answered with 401.
        """
        self._words = words
        match self._trial.refused(token, state, asked_at, now):
            case Suspicion.TASK:
                return [(state, self._refused(state))]
            case Suspicion.OPEN:
                return [(state, ASIDE)]
            case Suspicion.RENEWED:
                return [(state, AGAIN)]
            case Suspicion.TOKEN:
                suspect = self._trial.release()
                self._drop(token)
                others = [] if suspect is None else [suspect]
                return [(each, AGAIN) for each in (state, *others)]

    def conclude(self) -> list[Ruled]:
        """
        Return what becomes of the job kept undecided, as no other is left to be asked about.
        """
        token, suspect = self._trial.token, self._trial.suspect
        if suspect is None or token is None:
            return []
        suspicion = self._trial.conclude(
            renewable=self._tokens.is_renewable, tokens_refused=suspect.refusals
        )
        self._trial.release()
        if suspicion is Suspicion.TASK:
            return [(suspect, self._refused(suspect))]
        self._drop(token)
        return [(suspect, AGAIN)]

    def _drop(self, token: str) -> None:
        self._tokens.refuse(token)
        if self._trial.is_refused_again:
            self.error = CredentialsError(
                f"the service refuses a token it has just given: {self._words}"
            )

    def _refused(self, state: JobState) -> Outcome:
        return Outcome.of(
            state,
            OutcomeStatus.FAILED,
            reason="http_401",
            detail=f"{self._words}; the same token is good for other tasks",
        )
