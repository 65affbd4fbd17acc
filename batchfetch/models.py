"""
The values that travel through the pipeline: jobs in, answers between, outcomes out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

STORED_FOR = 24 * 3600.0
"""Seconds the service keeps a result, counted from its submission."""


class TaskStatus(StrEnum):
    """
    Where the service says a task stands.
    """

    PENDING = "Pending"
    PROCESSING = "Processing"
    COMPLETED = "Completed"
    ERROR = "Error"
    NOT_EXIST = "NotExist"

    @property
    def is_terminal(self) -> bool:
        """
        Whether the service will say the same for ever.
        """
        return self not in {TaskStatus.PENDING, TaskStatus.PROCESSING}


class OutcomeStatus(StrEnum):
    """
    What became of a job.  The first three are the service's words.
    """

    COMPLETED = "Completed"
    ERROR = "Error"
    NOT_EXIST = "NotExist"
    TIMED_OUT = "TimedOut"
    FAILED = "Failed"
    INVALID = "Invalid"


NO_EXTRA: Mapping[str, JsonValue] = {}
"""What most rows have besides; one for all of them."""


class Job(NamedTuple):
    """
    One usable row of a manifest: a task to ask for and where its image goes.

    A tuple, as that is made four times as fast as a frozen dataclass: every row passes here.
    """

    task_id: str

    filename: str = ""
    """The image's place below the output, `/` between folders, ending in `.png`; made from *name*
    or *task_id*."""

    name: str | None = None
    """What the image is to be called, by the rules of a manifest; the id if None."""

    submitted_at: datetime | None = None
    """When the image was handed to the service (aware)."""

    endpoint: str | None = None
    """Overrides the setting for this task."""

    manifest: str | None = None
    line: int | None = None

    extra: Mapping[str, JsonValue] = NO_EXTRA
    """The manifest's other columns."""

    def is_expired(self, now: datetime) -> bool:
        """
        Whether the service must have deleted the result by *now*, as far as the manifest tells.
        """
        if self.submitted_at is None:
            return False
        return (now - self.submitted_at).total_seconds() >= STORED_FOR


@dataclass(frozen=True, slots=True)
class BadRow:
    """
    One row of a manifest that cannot be used, and why.
    """

    reason: str
    """`bad_row` or `bad_name`."""

    detail: str
    task_id: str | None = None
    manifest: str | None = None
    line: int | None = None
    extra: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the service said of a task, around the image.
    """

    status: TaskStatus
    response_status_code: str | None = None
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """
    An image that was checked and is in its place.
    """

    size: int
    """Bytes."""

    sha256: str | None
    """Hexadecimal; None if no checksum was asked for."""


@dataclass(slots=True)
class JobState:
    """
    A job and what has been asked about it so far: the one mutable record while it is unsettled.

    Its fields are written by its own methods only.  Times are seconds on the run's monotonic clock.
    """

    job: Job

    ordinal: int = 0
    """The job's place in the manifest, from 0."""

    calls: int = 0
    """API calls so far, in this run."""

    faults: int = 0
    """Questions in a row that got no usable answer."""

    refusals: int = 0
    """Tokens in a row that the service did not take."""

    wrong_answers: int = 0
    """Answers that were about another task."""

    first_asked: float | None = None

    unfinished_at: float | None = None
    """When the service last said that it is not ready."""

    first_call_at: datetime | None = None

    answer: Answer | None = None
    """The last usable one."""

    def ask(self, now: float) -> None:
        """
        Note that a question about the job begins.
        """
        if self.first_asked is None:
            self.first_asked, self.first_call_at = now, datetime.now(UTC)

    def count_call(self) -> None:
        """
        Note that a request was sent.
        """
        self.calls += 1

    def take_answer(self, answer: Answer) -> None:
        """
        Note a usable *answer*.
        """
        self.faults = self.refusals = 0
        self.answer = answer

    def count_fault(self) -> int:
        """
        Note that a question got no usable answer; return how many in a row.
        """
        self.faults += 1
        return self.faults

    def count_refusal(self) -> int:
        """
        Note that the token was refused; return how many in a row.
        """
        self.refusals += 1
        return self.refusals

    def count_wrong_answer(self) -> int:
        """
        Note an answer about another task; return how many there were.
        """
        self.wrong_answers += 1
        return self.wrong_answers

    def note_unfinished(self, now: float | None) -> None:
        """
        Note when the service said that the task is not ready; None forgets it.
        """
        self.unfinished_at = now


class Outcome(BaseModel):
    """
    What became of one job: a line of the report.

    The report's documentation is the documentation of these fields; `status` is its key `outcome`.
    """

    # Built on first use: `--help`, which imports this, should not pay for it.
    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore", defer_build=True)

    task_id: str | None
    status: OutcomeStatus = Field(alias="outcome")
    reason: str | None = None
    detail: str | None = None
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    calls: int = 0
    task_status: str | None = None
    response_status_code: str | None = None
    first_call_at: AwareDatetime | None = None
    finished_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    manifest: str | None = None
    line: int | None = None
    name: str | None = None
    submitted_at: AwareDatetime | None = None
    endpoint: str | None = None
    extra: Mapping[str, JsonValue] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        state: JobState,
        status: OutcomeStatus,
        *,
        reason: str | None = None,
        detail: str | None = None,
        image: Image | None = None,
    ) -> Self:
        """
        Return the outcome of *state*, as things stand.
        """
        job, answer = state.job, state.answer
        return cls(
            task_id=job.task_id,
            status=status,
            reason=reason,
            detail=detail,
            messages=answer.messages if answer else (),
            warnings=answer.warnings if answer else (),
            path=job.filename if image else None,
            bytes=image.size if image else None,
            sha256=image.sha256 if image else None,
            calls=state.calls,
            task_status=answer.status if answer else None,
            response_status_code=answer.response_status_code if answer else None,
            first_call_at=state.first_call_at,
            manifest=job.manifest,
            line=job.line,
            name=job.name,
            submitted_at=job.submitted_at,
            endpoint=job.endpoint,
            extra=job.extra,
        )

    @classmethod
    def invalid(cls, row: BadRow) -> Self:
        """
        Return the outcome of a row that cannot be used.
        """
        return cls(
            task_id=row.task_id,
            status=OutcomeStatus.INVALID,
            reason=row.reason,
            detail=row.detail,
            manifest=row.manifest,
            line=row.line,
            extra=row.extra,
        )
