"""
One image, one POST, one verdict, and a line in the report before it and after it.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio
from anyio import CancelScope, get_cancelled_exc_class

from batchfetch.endpoints import endpoint_path
from batchfetch.errors import JobError, RedirectedError, StatusError
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.run.poller import Verdict
from batchfetch.run.setbacks import Setbacks
from batchfetch.scheduling import Pace
from batchfetch.service import Submitter
from batchfetch.submission.answer import task_id_in
from batchfetch.submission.image import ImageBody, Sending
from batchfetch.submission.journal import Journal, new_intent
from batchfetch.submission.lines import Ending, SubmitResult
from batchfetch.submit_settings import SubmitStatus
from batchfetch.text import sanitize

log = logging.getLogger(__name__)

LOST = "answer_lost"
"""Reason of what may have been accepted and whose answer is not known."""

# Statuses of the server errors after which an image was not accepted, by the service's own word.
# The others are said by what stands before the service, which may have got the image.
_NOT_ACCEPTED = frozenset({500, 501, 503})


class Sender:
    """
    Sends one image at a time; an `Asker` for the run's workers.

    To them an image is a job: accepted it is Completed, else Failed.  *decided* takes the result,
    which is in the report by then.  *redact* removes secrets.
    """

    def __init__(
        self,
        submitter: Submitter,
        journal: Journal,
        setbacks: Setbacks,
        pace: Pace,
        decided: Callable[[SubmitResult, Sending], Awaitable[None]],
        *,
        redact: Callable[[str], str],
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._submitter = submitter
        self._journal = journal
        self._setbacks = setbacks
        self._pace = pace
        self._decided = decided
        self._redact = redact
        self._clock = clock
        self._undecided: dict[str, Sending] = {}

    async def ask(self, state: JobState, token: str) -> Verdict:
        """
        Submit the image of *state*.  A POST that fails is a verdict, not an exception.

        Raises `StorageError` if the report or the manifest cannot be written.
        """
        assert isinstance(state, Sending)  # noqa: S101 - nothing else is on the agenda
        self._undecided[state.job.task_id] = state
        asked_at, calls = self._clock(), state.calls
        state.ask(asked_at)
        intent = new_intent()
        await self._journal.intend(state.image.intent(intent, datetime.now(UTC)))
        body = ImageBody(state.image)
        try:
            answer = await self._submitter.submit(
                endpoint_path(state.image.endpoint),
                *(token, body),
                on_sent=state.count_call,
                on_body_sent=body.hand_over,
            )
            task_id = task_id_in(answer)
        except JobError as exc:
            error = body.error or exc
        except get_cancelled_exc_class():
            with CancelScope(shield=True):
                await self._cut_off(state, intent, body)
            raise
        else:
            return await self._accepted(state, intent, task_id)
        finally:
            body.close()
        detail = sanitize(self._redact(str(error)))
        log.debug("%s: %s", state.image.source.path, detail)
        self._setbacks.slow_down(error, asked_at, detail)
        if body.is_handed_over and is_lost(error):
            await self._lost(state, intent, f"it may have been accepted: {detail}")
            return _failed(state, error.reason, detail)
        await self._journal.write(Ending(intent=intent, ended=error.reason))
        retry = self._setbacks.retry(state, error, was_sent=state.calls > calls)
        return retry or _failed(state, error.reason, detail)

    async def record(self, outcome: Outcome) -> None:
        """
        Write the result of an image that was not accepted, as *outcome* has it, unless it is known.
        """
        state = self._undecided.pop(outcome.task_id or "", None)
        if state is None or state.is_decided:
            return
        await self._decide(
            state, self._result(state, SubmitStatus.FAILED, outcome.reason, outcome.detail)
        )

    async def _accepted(self, state: Sending, intent: str, task_id: str) -> Verdict:
        self._pace.answered()
        now = datetime.now(UTC)
        result = state.image.result(
            SubmitStatus.SUBMITTED,
            task_id=task_id,
            intent=intent,
            calls=state.calls,
            started_at=state.first_call_at,
            finished_at=now,
        )
        await self._decide(state, result)
        return Outcome.of(state, OutcomeStatus.COMPLETED)

    async def _lost(self, state: Sending, intent: str, detail: str) -> None:
        await self._decide(
            state, self._result(state, SubmitStatus.UNCERTAIN, LOST, detail, intent=intent)
        )

    async def _cut_off(self, state: Sending, intent: str, body: ImageBody) -> None:
        """
        Record what is known of a POST that the end of the run cuts off.
        """
        if body.is_handed_over:
            words = "it may have been accepted: the run was stopped before its answer came"
            await self._lost(state, intent, words)
        else:
            await self._journal.write(Ending(intent=intent, ended="stopped"))

    async def _decide(self, state: Sending, result: SubmitResult) -> None:
        state.decide()
        self._undecided.pop(state.job.task_id, None)
        await self._journal.write(result)
        await self._decided(result, state)

    def _result(
        self,
        state: Sending,
        status: SubmitStatus,
        reason: str | None,
        detail: str | None,
        *,
        intent: str | None = None,
    ) -> SubmitResult:
        return state.image.result(
            status,
            intent=intent,
            reason=reason,
            detail=detail,
            calls=state.calls,
            started_at=state.first_call_at,
            finished_at=datetime.now(UTC),
        )


def is_lost(error: JobError) -> bool:
    """
    Whether *error*, of a request whose body was sent, leaves open if the image was accepted.

    Any complete answer is one, but for those of a gateway that had none itself.
    """
    match error:
        case StatusError(status=status):
            return status == 204 or (status >= 500 and status not in _NOT_ACCEPTED)
        case RedirectedError():
            return False
        case _:
            return True


def _failed(state: Sending, reason: str, detail: str) -> Outcome:
    return Outcome.of(state, OutcomeStatus.FAILED, reason=reason, detail=detail)
