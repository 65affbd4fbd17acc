"""
One job, one question: an outcome, or when to ask again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio

from batchfetch.decoding import RESULT_DATA_LOST, FileDecoder, ImageDecoder, ResultDecoder
from batchfetch.endpoints import answers_with_file, endpoint_path
from batchfetch.errors import (
    CredentialsError,
    JobError,
    OutOfDescriptorsError,
    StatusError,
    StorageError,
)
from batchfetch.models import Answer, Image, JobState, Outcome, OutcomeStatus, TaskStatus
from batchfetch.scheduling.pacing import Pace
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.service import Transport
from batchfetch.settings import Settings
from batchfetch.storage import LocalStorage
from batchfetch.text import redact

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """
    The service has not finished the task yet.
    """


@dataclass(frozen=True, slots=True)
class Retry:
    """
    No usable answer came back, and asking again may help.
    """

    error: JobError

    delay: float
    """Seconds to wait before the next try."""


Verdict = Outcome | Unfinished | Retry


class Poller:
    """
    Puts one question about one job and says what came of it.
    """

    def __init__(
        self,
        transport: Transport,
        storage: LocalStorage,
        settings: Settings,
        pace: Pace,
        retries: RetryPolicy,
        *,
        found: Callable[[JobState], None] = lambda _: None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._transport = transport
        self._storage = storage
        self._settings = settings
        self._pace = pace
        self._retries = retries
        self._found = found
        self._clock = clock

    async def ask(self, state: JobState, token: str) -> Verdict:
        """
        Ask about *state*.  A question that fails is a reply, not an exception.

        Raises `CredentialsError` if the service refuses one token after another, `StorageError` if
        the disk fails.
        """
        asked_at = self._clock()
        state.calls += 1
        if state.first_asked is None:
            state.first_asked, state.first_call_at = asked_at, datetime.now(UTC)
        try:
            answer, image = await self._exchange(state, token)
        except JobError as exc:
            words = redact(str(exc), token)
            log.debug("task %s: %s", state.job.task_id, words)
            self._slow_down(exc, asked_at)
            return self._after_error(state, exc, words)
        answer = _without(token, answer)
        log.debug("task %s: %s", state.job.task_id, answer.status)
        self._pace.answered()
        state.faults = state.refusals = 0
        state.answer = answer
        return _after_answer(state, answer, image)

    async def _exchange(self, state: JobState, token: str) -> tuple[Answer, Image | None]:
        job = state.job
        endpoint = job.endpoint or self._settings.endpoint
        body_decoder = (FileDecoder if answers_with_file(endpoint) else ResultDecoder)(job.task_id)
        image_decoder = ImageDecoder(
            encoded=body_decoder.encoded,
            checksum=self._settings.checksum,
            max_bytes=self._settings.max_image_bytes,
        )
        async with (
            self._transport.get_result(endpoint_path(endpoint), job.task_id, token) as body,
            self._storage.create(job.filename, image_decoder, announced=body.announced) as file,
        ):
            if body.is_long:  # Others should not wait for its end.
                self._found(state)
            pieces = body_decoder.feed(*await body.read())
            has_data = bool(pieces)
            while not body.at_end:
                await file.write(pieces)
                pieces = body_decoder.feed(*await body.read())
                has_data = has_data or bool(pieces)
            answer = body_decoder.close()
            if answer.status is not TaskStatus.COMPLETED or not has_data:
                return answer, None
            return answer, await file.commit(pieces)

    def _slow_down(self, error: JobError, asked_at: float) -> None:
        now = self._clock()
        if isinstance(error, OutOfDescriptorsError):
            self._pace.overloaded(asked_at, now)
        elif isinstance(error, StatusError) and error.status in {429, 503}:
            self._pace.overloaded(asked_at, now)
            # A 503 without a date is one server's trouble; a 429 is meant for all of us.
            if error.status == 429 or error.retry_after is not None:
                self._pace.cooldown.trip(now, error.retry_after)
                log.warning("the service asks for patience: %s", error)

    def _after_error(self, state: JobState, error: JobError, words: str) -> Verdict:
        if isinstance(error, StatusError) and error.status == 401:
            state.refusals += 1
            if state.refusals > 1:
                raise CredentialsError(f"the service refuses a token it has just given: {error}")
            return Retry(error, 0.0)
        if (
            isinstance(error, StatusError)
            and error.status == 204
            and answers_with_file(state.job.endpoint or self._settings.endpoint)
        ):
            # Documented to mean "expired"; it may mean "not ready".
            return _not_exist(state, "the service has no file for this task")
        if isinstance(error, OutOfDescriptorsError):
            return self._after_shortage(state, error)
        state.faults += 1
        if error.transient and not self._retries.gives_up(state.faults):
            return Retry(error, self._retries.delay(state.faults))
        return Outcome.of(state, OutcomeStatus.FAILED, reason=error.reason, detail=words)

    def _after_shortage(self, state: JobState, error: OutOfDescriptorsError) -> Retry:
        """
        Try again with fewer in flight: it is this machine's fault, and no task fails of it.
        """
        if not error.asked:
            state.calls -= 1
            self._pace.budget.give_back()
        if self._pace.concurrency.limit == 1:
            state.faults += 1
        if self._retries.gives_up(state.faults):
            raise StorageError(f"{error}; allow more open files (ulimit -n) and run again")
        return Retry(error, self._retries.delay(max(1, state.faults)))


def _without(token: str, answer: Answer) -> Answer:
    """
    Return *answer* without the *token*, which a careless service may repeat.
    """
    code = answer.response_status_code
    if not any(token in text for text in (code or "", *answer.messages, *answer.warnings)):
        return answer
    return replace(
        answer,
        response_status_code=code and redact(code, token),
        messages=tuple(redact(text, token) for text in answer.messages),
        warnings=tuple(redact(text, token) for text in answer.warnings),
    )


def _after_answer(state: JobState, answer: Answer, image: Image | None) -> Verdict:
    """
    Say what a usable *answer* makes of *state*.
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
            words = next(iter(answer.messages), "the service gave no reason")
            return Outcome.of(
                state,
                OutcomeStatus.ERROR,
                reason="result_lost" if lost else "service_error",
                detail=words,
            )
        case TaskStatus.NOT_EXIST:
            return _not_exist(state, "the service does not know this task", lost=lost)


def _not_exist(state: JobState, detail: str, *, lost: bool = False) -> Outcome:
    if state.job.is_expired(datetime.now(UTC)):
        reason, detail = "expired", "the result was deleted 24 hours after its submission"
    else:
        reason = "result_lost" if lost else "not_found"
    return Outcome.of(state, OutcomeStatus.NOT_EXIST, reason=reason, detail=detail)


def timed_out(state: JobState, patience: float) -> Outcome:
    """
    Return the outcome of an *state* whose task is unfinished after *patience* seconds.
    """
    status = state.answer.status if state.answer else "unfinished"
    return Outcome.of(
        state,
        OutcomeStatus.TIMED_OUT,
        reason="still_pending",
        detail=f"still {status} {patience:.0f} s after the first question",
    )
