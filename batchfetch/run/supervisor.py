"""
Hold or stop a run by what becomes of its requests, and tell faults of a task from those of all.
"""

from collections.abc import Callable, Sequence
from math import inf

from batchfetch.errors import (
    BatchFetchError,
    BlockedError,
    JobError,
    StatusError,
    TransportError,
    TurnedAwayError,
    UnreachableError,
)
from batchfetch.hooks import Hook
from batchfetch.models import JobState, Outcome
from batchfetch.report import Interruptions
from batchfetch.run.failure_row import FailureRow
from batchfetch.run.notices import HoldNotices, duration
from batchfetch.run.poller import Verdict
from batchfetch.run.rulings import AGAIN, ASIDE, REACHED, Ruled, Sign, sign_of, words_of
from batchfetch.run.token_watch import TokenWatch
from batchfetch.scheduling import Outage, Pace, Refusals
from batchfetch.service import Tokens
from batchfetch.text import sanitize


class Supervisor:
    """
    Says when a request may start, and what a request's verdict amounts to beside those of others.

    Its rules are those of `Outage`, `Refusals` and `TokenTrial`; *tell* is told of holds, and
    *interruptions* record them.
    """

    def __init__(
        self,
        pace: Pace,
        tokens: Tokens,
        outage: Outage,
        *,
        clock: Callable[[], float],
        interruptions: Interruptions,
        tell: Hook | None = None,
    ) -> None:
        self._pace = pace
        self._outage = outage
        self._clock = clock
        self._notices = HoldNotices(tell, interruptions)
        self._refusals = Refusals()
        self._token_watch = TokenWatch(tokens)
        self._redact = tokens.redactor
        self._error: BatchFetchError | None = None
        self._lacks_token = False
        # The jobs whose requests decide about a hold, and about a row of refusals.
        self._probe: JobState | None = None
        self._decider: JobState | None = None
        self._row = FailureRow()
        # The words of the last failure, and of the last refusal.
        self._failure = self._refusal = ""
        self.failing_endpoint: str | None = None
        """The endpoint of the job that was turned away or failed last, as its manifest has it."""

    @property
    def is_open(self) -> bool:
        """
        Whether requests may start as the pace allows.
        """
        return not (self._outage.is_held or self._refusals.is_confirming or self._error)

    @property
    def has_open_cases(self) -> bool:
        """
        Whether a job is kept undecided.
        """
        return bool(self._row.given_up) or self._token_watch.has_suspect

    @property
    def hint(self) -> str | None:
        """
        Why every request of the run was turned away; None if one was answered.
        """
        return self._refusal if self._refusals.are_all else None

    def held(self, now: float) -> float:
        """
        See `Outage.held`.
        """
        return self._outage.held(now)

    def held_until(self, now: float) -> float | None:
        """
        Return the time before which no request may start, or None if one may start *now*.

        Raises the error that ends the run, if there is one.
        """
        if self._error is not None:
            raise self._error
        by_pace = self._pace.held_until(now)
        outage = self._outage
        if not outage.is_held:
            return inf if self._refusals.is_probing else by_pace
        until = outage.held_until(now)
        if until is None and by_pace is None:
            return None
        if outage.is_over(now):
            if outage.is_left_alone:
                lasted = outage.held_for(now)
                outage.give_up(now)
                self._notices.give_up(self._failure, now, lasted)
                return by_pace
            raise UnreachableError(
                f"the service gave no usable answer for {duration(outage.held_for(now))}"
                f" ({self._failure}); run again later, or check the address and the way to it"
            )
        return until if until is not None else min(by_pace or now, outage.ends_at)

    def wants_another(self, *, are_left: bool) -> bool:
        """
        Whether the next request is to be about a job from further on.

        *are_left* says whether there may be jobs that have not failed: a probe is for them.
        """
        if self._outage.is_held:
            return are_left and self._outage.wants_another
        return self._refusals.is_confirming

    def leave_alone(self, failing: Sequence[JobState]) -> None:
        """
        Record during a hold that no job is left but the *failing* ones.
        """
        outage = self._outage
        if self._pace.in_flight or self._lacks_token or not outage.is_held:
            return
        outage.leave_alone(failed_earlier=all(each.failed_earlier for each in failing))
        if outage.is_left_alone:
            self._notices.shorten(outage.ends_at)

    def start(self, state: JobState, token: str, now: float) -> JobState | None:
        """
        Record that a request about *state* starts with *token*; return a job to be asked again.
        """
        if not state.calls:
            state.begin_patience(self._outage.held(now))
        if self._outage.is_held:
            self._probe = state
            self._outage.probe()
        elif self._refusals.is_confirming:
            self._decider = state
            self._refusals.probe()
        return self._token_watch.begin(token)

    def token_awaited(self) -> None:
        """
        Record that a token is asked for.
        """
        if self._outage.is_held:
            self._outage.probe()

    def token_came(self, asked_at: float) -> None:
        """
        Record that a token was given, asked for at *asked_at*.
        """
        now = self._clock()
        if self._lacks_token:
            self._answered(asked_at, now)
        self._lacks_token = False

    def token_failed(self, error: JobError) -> list[Ruled]:
        """
        Record that a request for a token brought no usable answer; return what follows for jobs.
        """
        now = self._clock()
        words = sanitize(self._redact(str(error)))
        self._failure = f"no token can be had: {words}"
        match error:
            case BlockedError():
                self._error = UnreachableError(words)
                return []
            case TransportError(transient=False):
                self._error = TurnedAwayError(f"{self._failure}; check --base-url")
                return []
            case StatusError(retry_after=float(seconds)):
                self._pace.cool_down(now, seconds)
            case _:
                pass
        if self._outage.blocked(now):
            self._lacks_token = True
            return self._hold(now)
        self._outage.probed(now)
        return []

    def judge(
        self, state: JobState, token: str, asked_at: float, verdict: Verdict, *, was_sent: bool
    ) -> list[Ruled]:
        """
        Return what becomes of *state*, and of others that its *verdict* decides about.

        *was_sent* says whether its request, begun at *asked_at*, was sent.
        """
        words = words_of(verdict, self._redact)
        rulings: list[Ruled] = [(state, verdict)]
        match sign := sign_of(verdict, was_sent=was_sent):
            case Sign.ANSWERED:
                rulings += self._after_answer(token, asked_at)
            case Sign.TURNED_AWAY:
                self._after_refusal(state, asked_at, words)
            case Sign.UNAUTHORIZED:
                rulings = self._token_watch.refused(state, token, asked_at, self._clock(), words)
                self._error = self._error or self._token_watch.error
            case Sign.FAILED | Sign.UNCONNECTED:
                self._failure = words
                rulings = self._after_failure(state, asked_at, verdict, was_sent=was_sent)
            case Sign.BLOCKED:
                self._error = UnreachableError(words)
                rulings = [(state, AGAIN)]
            case Sign.REACHED | Sign.NOTHING:
                pass
        if sign in REACHED:
            rulings += self._reached(asked_at)
        self._end_probes(state)
        return rulings

    def give_up(self) -> list[Ruled]:
        """
        Return the outcomes of the jobs that have had all their attempts: no more will be known.
        """
        return self._row.give_up()

    def conclude(self, *, are_others: bool) -> list[Ruled]:
        """
        Return what becomes of the jobs kept undecided, as no other can be asked about.

        *are_others* says whether there may be others later, which could clear a token.
        """
        rulings = self.give_up()
        if not are_others:
            rulings += self._token_watch.conclude()
        self._error = self._error or self._token_watch.error
        return rulings

    def _after_answer(self, token: str, asked_at: float) -> list[Ruled]:
        self._refusals.answered(asked_at)
        return self._token_watch.answered(token, asked_at, self._clock())

    def _after_refusal(self, state: JobState, asked_at: float, words: str) -> None:
        self.failing_endpoint = state.job.endpoint
        self._refusal = words
        decides = state is self._decider and self._refusals.is_probing
        if self._refusals.refused(asked_at, is_probe=decides):
            self._error = TurnedAwayError(
                f"every request is turned away, the last about a task from further on: {words}"
            )

    def _after_failure(
        self, state: JobState, asked_at: float, verdict: Verdict, *, was_sent: bool
    ) -> list[Ruled]:
        """
        A failure during a hold, or of a request from before its end, is no fault of the task.
        """
        now = self._clock()
        outage = self._outage
        before = state.failed_at
        self.failing_endpoint = state.job.endpoint
        if was_sent:
            state.note_failed(asked_at)
        if outage.is_held or asked_at < outage.answered_at:
            if was_sent:
                state.forgive()
            return [(state, AGAIN)]
        begins = outage.failed(
            *(state.job.task_id, asked_at, now), connected=was_sent, before=before
        )
        if was_sent:
            self._row.add(state)
        if begins:
            return [(state, AGAIN), *self._hold(now)]
        if isinstance(verdict, Outcome):
            self._row.given_up.append((state, verdict))
            return [(state, ASIDE)]
        return [(state, verdict)]

    def _end_probes(self, state: JobState) -> None:
        if state is self._decider:
            self._decider = None
            self._refusals.probed()
        if state is self._probe:
            self._probe = None
            if self._outage.is_held:
                self._outage.probed(self._clock())

    def _reached(self, asked_at: float) -> list[Ruled]:
        """
        Note that the service was reached; return the outcomes that were waiting for that.
        """
        self._answered(asked_at, self._clock())
        if self._outage.is_suspected:
            return []
        return self._row.end()

    def _answered(self, asked_at: float, now: float) -> None:
        lasted = self._outage.held_for(now)
        if self._outage.answered(asked_at, now):
            self._notices.end(now, lasted, self._outage.held(now))

    def _hold(self, now: float) -> list[Ruled]:
        """
        Begin a hold: what failed in the row that led to it gets its attempts back.
        """
        self._notices.begin(self._failure, now, self._outage.ends_at)
        return self._row.forgive()
