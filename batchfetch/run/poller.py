"""
One job, one question, one verdict: an outcome, not finished yet, or when to try again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import anyio

from batchfetch.decoding import RESPONSE_STATUS_CODES, RESULT_DATA_LOST, endpoint_of
from batchfetch.errors import (
    JobError,
    UnsafeNameError,
    WrongTaskError,
)
from batchfetch.hooks import Answered, Asked, Hook
from batchfetch.models import (
    UNKNOWN_FOR,
    Answer,
    Image,
    JobState,
    Outcome,
    OutcomeStatus,
    TaskStatus,
)
from batchfetch.report import Interruptions
from batchfetch.run.download import Downloader
from batchfetch.run.setbacks import Retry, Setbacks
from batchfetch.scheduling import Pace, RetryPolicy
from batchfetch.text import sanitize

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """
    The service has not finished the task yet, or has not met it yet.
    """


Verdict = Outcome | Unfinished | Retry


class Poller:
    """
    Puts one question about one job and says what came of it.

    Jobs that name no endpoint are asked about at *endpoint*.  *found* is told of a job whose image
    begins to arrive, *tell* of questions, answers and pauses; *interruptions* record the pauses.
    *clock* showed 0 at Unix time *epoch*.  *redact* removes secrets, which a careless service may
    repeat.
    """

    def __init__(  # noqa: PLR0913 - what one question has to do with
        self,
        downloader: Downloader,
        pace: Pace,
        retries: RetryPolicy,
        *,
        endpoint: str,
        epoch: float,
        redact: Callable[[str], str],
        found: Callable[[JobState], None] = lambda _: None,
        tell: Hook | None = None,
        interruptions: Interruptions | None = None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._downloader = downloader
        self._pace = pace
        self._setbacks = Setbacks(
            pace,
            retries,
            tell=tell,
            interruptions=interruptions or Interruptions(epoch=epoch),
            clock=clock,
        )
        self._endpoint = endpoint
        self._epoch = epoch
        self._redact = redact
        self._found = found
        self._tell = tell
        self._clock = clock

    async def ask(self, state: JobState, token: str) -> Verdict:
        """
        Ask about the job of *state*.  A question that fails is a verdict, not an exception.

        Raises `StorageError` if the disk fails.
        """
        job = state.job
        calls = state.calls
        asked_at = self._clock()
        state.ask(asked_at)
        if self._tell is not None:
            self._tell(Asked(job))
        try:
            answer, image = await self._downloader.get(
                endpoint_of(job.endpoint or self._endpoint),
                *(job.task_id, token, job.filename),
                on_sent=state.count_call,
                on_image=partial(self._found, state),
            )
        except JobError as exc:
            error = exc
        else:
            return self._answered(state, answer, image, asked_at)
        # Outside of the block: what fails from here on shows no context that is not redacted.
        detail = sanitize(self._redact(str(error)))
        log.debug("task %s: %s", job.task_id, detail)
        if self._tell is not None:
            self._tell(Answered(job, error.reason, self._clock() - asked_at))
        self._setbacks.slow_down(error, asked_at, detail)
        return self._after_error(state, error, detail, was_sent=state.calls > calls)

    def _answered(
        self, state: JobState, answer: Answer, image: Image | None, asked_at: float
    ) -> Outcome | Unfinished:
        job = state.job
        answer = self._redacted(answer)
        log.debug("task %s: %s", job.task_id, answer.status)
        if self._tell is not None:
            self._tell(Answered(job, answer.status, self._clock() - asked_at))
        self._pace.answered()
        state.take_answer(answer)
        if answer.status is TaskStatus.NOT_EXIST and self._is_new(state, asked_at):
            return Unfinished()
        return _after_answer(state, answer, image)

    def _redacted(self, answer: Answer) -> Answer:
        """
        Return *answer* with its texts as they may be shown: without secrets, then cut.
        """
        code = answer.response_status_code
        if not (answer.messages or answer.warnings) and code in RESPONSE_STATUS_CODES:
            return answer
        return replace(
            answer,
            response_status_code=code and sanitize(self._redact(code)),
            messages=tuple(sanitize(self._redact(text)) for text in answer.messages),
            warnings=tuple(sanitize(self._redact(text)) for text in answer.warnings),
        )

    def _is_new(self, state: JobState, asked_at: float) -> bool:
        """
        Whether the job's task may have been too new, at *asked_at*, for the service to know it.
        """
        submitted_at, first_asked = state.job.submitted_at, state.first_asked
        if submitted_at is None or first_asked is None:
            return False
        return asked_at < min(submitted_at.timestamp() - self._epoch, first_asked) + UNKNOWN_FOR

    def _after_error(
        self, state: JobState, error: JobError, detail: str, *, was_sent: bool
    ) -> Verdict:
        if isinstance(error, WrongTaskError) and state.count_wrong_answer() == 1:
            return Retry(error, 0.0)
        retry = self._setbacks.retry(state, error, was_sent=was_sent)
        if retry is not None:
            return retry
        unusable = isinstance(error, UnsafeNameError)  # The row's fault, known too late.
        status = OutcomeStatus.INVALID if unusable else OutcomeStatus.FAILED
        return Outcome.of(state, status, reason=error.reason, detail=detail)


def _after_answer(state: JobState, answer: Answer, image: Image | None) -> Outcome | Unfinished:
    """
    Return what a usable *answer* makes of the job.
    """
    lost = answer.response_status_code == RESULT_DATA_LOST
    match answer.status:
        case TaskStatus.PENDING | TaskStatus.PROCESSING:
            return Unfinished()
        case TaskStatus.COMPLETED if image is not None:
            return Outcome.of(state, OutcomeStatus.COMPLETED, image=image)
        case TaskStatus.COMPLETED:
            return Outcome.of(
                state,
                OutcomeStatus.FAILED,
                reason="result_lost" if lost else "no_data",
                detail="the task is completed and the service has no image for it",
            )
        case TaskStatus.ERROR:
            return Outcome.of(
                state,
                OutcomeStatus.ERROR,
                reason="result_lost" if lost else "service_error",
                detail=next(iter(answer.messages), "the service gave no reason"),
            )
        case TaskStatus.NOT_EXIST:
            return _not_exist(state, lost=lost)


def _not_exist(state: JobState, *, lost: bool) -> Outcome:
    if state.job.is_expired(datetime.now(UTC)):
        reason, detail = "expired", "the result was deleted 24 hours after its submission"
    else:
        reason = "result_lost" if lost else "not_found"
        detail = "the service does not know this task"
    return Outcome.of(state, OutcomeStatus.NOT_EXIST, reason=reason, detail=detail)


def timed_out(state: JobState, patience: float) -> Outcome:
    """
    Return the outcome of a job that is unfinished after *patience* seconds, or still not known.
    """
    status = state.answer.status if state.answer else "unfinished"
    if state.answer is not None and status is TaskStatus.NOT_EXIST:
        return _not_exist(state, lost=state.answer.response_status_code == RESULT_DATA_LOST)
    return Outcome.of(
        state,
        OutcomeStatus.TIMED_OUT,
        reason="still_pending",
        detail=f"still {status} {patience:.0f} s after the first question",
    )
