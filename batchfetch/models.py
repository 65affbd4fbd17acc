"""
Data types of the pipeline: jobs, answers of the service, and outcomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

STORED_FOR = 24 * 3600.0
"""Seconds that the service keeps a result, counted from the task's submission."""

UNKNOWN_FOR = 120.0
"""Seconds from a task's submission in which the service may answer NotExist all the same."""


class TaskStatus(StrEnum):
    """
    Status of a task, in the service's terms.
    """

    PENDING = "Pending"
    PROCESSING = "Processing"
    COMPLETED = "Completed"
    ERROR = "Error"
    NOT_EXIST = "NotExist"

    @property
    def is_terminal(self) -> bool:
        """
        Whether the status is final.
        """
        return self not in {TaskStatus.PENDING, TaskStatus.PROCESSING}


class OutcomeStatus(StrEnum):
    """
    Final status of a job.  The first three are statuses of the service.
    """

    COMPLETED = "Completed"
    ERROR = "Error"
    NOT_EXIST = "NotExist"
    TIMED_OUT = "TimedOut"
    FAILED = "Failed"
    INVALID = "Invalid"


RESUBMITS = "resubmits"
"""The extra column with the id of the task in whose place a task was submitted."""

NO_EXTRA: Mapping[str, JsonValue] = {}
"""The extra columns of a row that has none; shared, because most rows have none."""


class Job(NamedTuple):
    """
    One usable row of a manifest: a task, and the file for its image.

    A named tuple, because one is created four times as fast as a frozen dataclass.
    """

    task_id: str

    filename: str = ""
    """The image's path relative to the output, with `/` between folders, ending in `.png`; made
    from *name* or *task_id*."""

    name: str | None = None
    """The image's name by the rules of a manifest; None to use the task id."""

    submitted_at: datetime | None = None
    """When the task was submitted to the service; timezone-aware."""

    endpoint: str | None = None
    """Endpoint of this task, a short name or a path; None to use that of the settings."""

    manifest: str | None = None
    line: int | None = None

    extra: Mapping[str, JsonValue] = NO_EXTRA
    """The manifest's other columns, copied to the report."""

    def is_expired(self, now: datetime) -> bool:
        """
        Whether the result has been deleted by *now*; False if the submission time is not known.
        """
        if self.submitted_at is None:
            return False
        return (now - self.submitted_at).total_seconds() >= STORED_FOR


@dataclass(frozen=True, slots=True)
class BadRow:
    """
    One row of a manifest that cannot be used, and the reason.
    """

    reason: str
    """`bad_row` or `bad_name`."""

    detail: str
    task_id: str | None = None
    manifest: str | None = None
    line: int | None = None
    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    name: str | None = None
    """The name as the manifest has it; with the next two it makes a mended report a manifest."""

    submitted_at: datetime | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The service's answer about a task, without the image.
    """

    status: TaskStatus
    response_status_code: str | None = None
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """
    A validated image.
    """

    size: int
    """Bytes."""

    sha256: str | None
    """Hexadecimal; None if the settings request no checksum."""


@dataclass(slots=True)
class JobState:
    """
    Mutable state of a job until it is settled: its requests so far and the last answer.

    Only its own methods write its fields.  Times are seconds on the run's monotonic clock.
    """

    job: Job

    ordinal: int = 0
    """The job's position in the manifest, from 0."""

    calls: int = 0
    """API calls made so far in this run."""

    failed_earlier: bool = False
    """Whether the job is Failed by its last line in the report of earlier runs."""

    faults: int = 0
    """Consecutive requests without a usable answer."""

    failed_at: float | None = None
    """When the first request that failed was asked, of those since the last usable answer."""

    refusals: int = 0
    """Consecutive requests whose token was refused."""

    wrong_answers: int = 0
    """Answers that were for another task."""

    first_asked: float | None = None
    """When patience with the job began, less the time for which the run was held since."""

    held: float = 0.0
    """Seconds for which the run was held that are taken into account in that."""

    unfinished_at: float | None = None
    """When the service last answered that the task is not ready, less that time, too."""

    first_call_at: datetime | None = None

    answer: Answer | None = None
    """The last usable answer."""

    def ask(self, now: float) -> None:
        """
        Record that a request begins at *now*.  The first that is sent counts.
        """
        if not self.calls:
            self.first_asked, self.first_call_at = now, datetime.now(UTC)

    def count_call(self) -> None:
        """
        Count a request that was sent.
        """
        self.calls += 1

    def take_answer(self, answer: Answer) -> None:
        """
        Record a usable *answer* and reset the consecutive failures.
        """
        self.faults = self.refusals = 0
        self.failed_at = None
        self.answer = answer

    def count_fault(self) -> int:
        """
        Count a request without a usable answer; return how many there were in a row.
        """
        self.faults += 1
        return self.faults

    def note_failed(self, asked_at: float) -> None:
        """
        Record that a request that began at *asked_at* was sent and failed.
        """
        if self.failed_at is None:
            self.failed_at = asked_at

    def forgive(self) -> None:
        """
        Take back a request without a usable answer: it was not the task's fault.
        """
        self.faults = max(0, self.faults - 1)

    def begin_patience(self, held: float) -> None:
        """
        Record that the run was held for *held* seconds before the first request.
        """
        self.held = held

    def excuse(self, held: float) -> None:
        """
        Take what the run was held, *held* seconds by now, out of the job's patience and age.
        """
        since, self.held = held - self.held, held
        if self.first_asked is not None:
            self.first_asked += since
        if self.unfinished_at is not None:
            self.unfinished_at += since

    def count_refusal(self) -> None:
        """
        Count a request whose token was refused.
        """
        self.refusals += 1

    def count_wrong_answer(self) -> int:
        """
        Count an answer for another task; return how many there were.
        """
        self.wrong_answers += 1
        return self.wrong_answers

    def note_unfinished(self, now: float | None) -> None:
        """
        Record that the service answered at *now* that the task is not ready; None clears the time.
        """
        self.unfinished_at = now


class Outcome(BaseModel):
    """
    Final result of one job: a line of the report.

    The manual's page on the report documents the fields; `status` has the key `outcome` there.
    """

    # The validator is built on first use, because `--help` imports this module and needs none.
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

    @property
    def is_adopted(self) -> bool:
        """
        Whether the image was in its place already: Completed without a call.
        """
        return self.status is OutcomeStatus.COMPLETED and self.calls == 0

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
        Return the outcome of *state* with *status*, from its job and its last answer.
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
            name=row.name,
            submitted_at=row.submitted_at,
            endpoint=row.endpoint,
            extra=row.extra,
        )


REPORT_COLUMNS = tuple(
    field.alias or name for name, field in Outcome.model_fields.items() if name != "extra"
)
"""The keys of the report's lines that are columns of a table made of it, in their order."""
