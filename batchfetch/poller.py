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
from batchfetch.models import Answer, Image, Inquiry, Outcome, OutcomeStatus, TaskStatus
from batchfetch.pacing import Pace, RetryPolicy
from batchfetch.service import Transport
from batchfetch.settings import Settings
from batchfetch.storage import LocalStorage
from batchfetch.text import without

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """
    The service has not finished the task yet.
    """


@dataclass(frozen=True, slots=True)
class Fault:
    """
    No usable answer came back, and asking again may help.
    """

    error: JobError

    delay: float
    """Seconds to wait before the next try."""


Reply = Outcome | Unfinished | Fault


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
        found: Callable[[Inquiry], None] = lambda _: None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._transport = transport
        self._storage = storage
        self._settings = settings
        self._pace = pace
        self._retries = retries
        self._found = found
        self._clock = clock

    async def ask(self, inquiry: Inquiry, token: str) -> Reply:
        """
        Ask about *inquiry*.  A question that fails is a reply, not an exception.

        Raises `CredentialsError` if the service refuses one token after another, `StorageError` if
        the disk fails.
        """
        asked_at = self._clock()
        inquiry.calls += 1
        if inquiry.first_asked is None:
            inquiry.first_asked, inquiry.first_call_at = asked_at, datetime.now(UTC)
        try:
            answer, image = await self._exchange(inquiry, token)
        except JobError as exc:
            words = without(str(exc), token)
            log.debug("task %s: %s", inquiry.job.task_id, words)
            self._slow_down(exc, asked_at)
            return self._after_error(inquiry, exc, words)
        answer = _without(token, answer)
        log.debug("task %s: %s", inquiry.job.task_id, answer.status)
        self._pace.answered()
        inquiry.faults = inquiry.refusals = 0
        inquiry.answer = answer
        return _after_answer(inquiry, answer, image)

    async def _exchange(self, inquiry: Inquiry, token: str) -> tuple[Answer, Image | None]:
        job = inquiry.job
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
                self._found(inquiry)
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
                self._pace.pause.refuse(now, error.retry_after)
                log.warning("the service asks for patience: %s", error)

    def _after_error(self, inquiry: Inquiry, error: JobError, words: str) -> Reply:
        if isinstance(error, StatusError) and error.status == 401:
            inquiry.refusals += 1
            if inquiry.refusals > 1:
                raise CredentialsError(f"the service refuses a token it has just given: {error}")
            return Fault(error, 0.0)
        if (
            isinstance(error, StatusError)
            and error.status == 204
            and answers_with_file(inquiry.job.endpoint or self._settings.endpoint)
        ):
            # Documented to mean "expired"; it may mean "not ready".
            return _not_exist(inquiry, "the service has no file for this task")
        if isinstance(error, OutOfDescriptorsError):
            return self._after_shortage(inquiry, error)
        inquiry.faults += 1
        if error.transient and not self._retries.gives_up(inquiry.faults):
            return Fault(error, self._retries.delay(inquiry.faults))
        return Outcome.of(inquiry, OutcomeStatus.FAILED, reason=error.reason, detail=words)

    def _after_shortage(self, inquiry: Inquiry, error: OutOfDescriptorsError) -> Fault:
        """
        Try again with fewer in flight: it is this machine's fault, and no task fails of it.
        """
        if not error.asked:
            inquiry.calls -= 1
            self._pace.budget.give_back()
        if self._pace.window.limit == 1:
            inquiry.faults += 1
        if self._retries.gives_up(inquiry.faults):
            raise StorageError(f"{error}; allow more open files (ulimit -n) and run again")
        return Fault(error, self._retries.delay(max(1, inquiry.faults)))


def _without(token: str, answer: Answer) -> Answer:
    """
    Return *answer* without the *token*, which a careless service may repeat.
    """
    code = answer.response_status_code
    if not any(token in text for text in (code or "", *answer.messages, *answer.warnings)):
        return answer
    return replace(
        answer,
        response_status_code=code and without(code, token),
        messages=tuple(without(text, token) for text in answer.messages),
        warnings=tuple(without(text, token) for text in answer.warnings),
    )


def _after_answer(inquiry: Inquiry, answer: Answer, image: Image | None) -> Reply:
    """
    Say what a usable *answer* makes of *inquiry*.
    """
    lost = answer.response_status_code == RESULT_DATA_LOST
    match answer.status:
        case TaskStatus.PENDING | TaskStatus.PROCESSING:
            return Unfinished()
        case TaskStatus.COMPLETED if image is not None:
            return Outcome.of(inquiry, OutcomeStatus.COMPLETED, image=image)
        case TaskStatus.COMPLETED:
            return Outcome.of(
                inquiry,
                OutcomeStatus.FAILED,
                reason="result_lost" if lost else "no_data",
                detail="the task is completed and the service has no image for it",
            )
        case TaskStatus.ERROR:
            words = next(iter(answer.messages), "the service gave no reason")
            return Outcome.of(
                inquiry,
                OutcomeStatus.ERROR,
                reason="result_lost" if lost else "service_error",
                detail=words,
            )
        case TaskStatus.NOT_EXIST:
            return _not_exist(inquiry, "the service does not know this task", lost=lost)


def _not_exist(inquiry: Inquiry, detail: str, *, lost: bool = False) -> Outcome:
    if inquiry.job.is_expired(datetime.now(UTC)):
        reason, detail = "expired", "the result was deleted 24 hours after its submission"
    else:
        reason = "result_lost" if lost else "not_found"
    return Outcome.of(inquiry, OutcomeStatus.NOT_EXIST, reason=reason, detail=detail)


def timed_out(inquiry: Inquiry, patience: float) -> Outcome:
    """
    Return the outcome of an *inquiry* whose task is unfinished after *patience* seconds.
    """
    status = inquiry.answer.status if inquiry.answer else "unfinished"
    return Outcome.of(
        inquiry,
        OutcomeStatus.TIMED_OUT,
        reason="still_pending",
        detail=f"still {status} {patience:.0f} s after the first question",
    )
