"""
What can be set, what it means, and what it is unless set.

Every field is an option of `batchfetch fetch`; the command line takes names, defaults and words
from here.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self, TypedDict, Unpack

from pydantic import (
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from batchfetch.endpoints import endpoint_path
from batchfetch.models import OutcomeStatus
from batchfetch.paths import report_in
from batchfetch.setting_base import BaseSettings
from batchfetch.setting_values import (
    BaseUrl,
    Duration,
    Failures,
    FilePath,
    Outcomes,
    Output,
    Rate,
    ShardOf,
    Size,
)
from batchfetch.sharding import Shard

_MAX_DEPTH = 200


class Polling(StrEnum):
    """
    When unfinished tasks are asked again.
    """

    THRIFTY = "thrifty"
    PROMPT = "prompt"


class Checksum(StrEnum):
    """
    What the report records of an image besides its size.
    """

    SHA256 = "sha256"
    NONE = "none"


class Durability(StrEnum):
    """
    What survives a power cut: nothing promised, the images, or images, folders and report.
    """

    NONE = "none"
    FILE = "file"
    FULL = "full"


class SettingsOptions(TypedDict, total=False):
    """
    What `Settings` accepts for each of its fields: values, or the command line's text for them.
    """

    output: str | Path
    report: str | Path | None
    base_url: str
    endpoint: str
    concurrency: int
    rate: float | str | None
    attempts: int
    patience: float | str
    polling: Polling | Literal["thrifty", "prompt"]
    price_per_call: float | None
    connect_timeout: float | str
    read_timeout: float | str
    max_image_bytes: int | str
    checksum: Checksum | Literal["sha256", "none"]
    durability: Durability | Literal["none", "file", "full"]
    compressed: bool
    ca_file: str | Path | None
    max_calls: int | None
    max_runtime: float | str | None
    outage: float | str
    overwrite: bool
    replace: bool
    adopt: bool
    id_column: str | None
    name_column: str | None
    shard: Shard | str | None
    retry: Iterable[OutcomeStatus] | str
    fail_on: Iterable[OutcomeStatus] | str


class Settings(BaseSettings):
    """
    How a batch is run.  Frozen; a misspelt name is an error.

    Durations are seconds, sizes are bytes, a rate is requests per second; each also takes the
    command line's text (`"15m"`, `"64KiB"`, `"600/m"`).  Raises `SettingsError`.
    """

    def __init__(self, **values: Unpack[SettingsOptions]) -> None:
        super().__init__(**values)

    output: Output = Path("images")
    """Where images go: a folder, made if missing, or s3://, az:// or gs://BUCKET/PREFIX."""

    report: FilePath | None = None
    """The report and ledger; PREFIX.report.jsonl for a store [default: OUTPUT/report.jsonl]."""

    base_url: BaseUrl = "https://api.aspose.cloud"
    """The service's root; plain http only for loopback addresses."""

    endpoint: str = "task"
    """task, file, deskew, dewarp, upscale, binarize, or a path beginning with /."""

    concurrency: Annotated[PositiveInt, Field(le=10_000)] = 32
    """Requests in flight."""

    rate: Rate | None = None
    """Requests per second over the whole run: 20, 20/s, 600/m."""

    attempts: PositiveInt = 5
    """Tries of one request before a passing fault becomes Failed."""

    patience: Duration = 30 * 60
    """How long a task may stay unfinished, from its first poll."""

    polling: Polling = Polling.THRIFTY
    """When unfinished tasks are asked again: few calls, or little waiting."""

    price_per_call: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Adds money to --dry-run and the summary."""

    connect_timeout: Duration = 10
    """The longest wait for a connection."""

    read_timeout: Duration = 30
    """The longest silence on an open response."""

    max_image_bytes: Size = 2**30
    """Larger results are Failed, too_large."""

    checksum: Checksum = Checksum.SHA256
    """What the report records of an image besides its size."""

    durability: Durability = Durability.FILE
    """fsync nothing; each image before its report line; folder and report too."""

    compressed: bool = False
    """Accept gzip from the service: less on the wire, more CPU."""

    ca_file: FilePath | None = None
    """Root certificates to trust instead of the system's."""

    max_calls: Annotated[int, Field(ge=0)] | None = None
    """Stop cleanly before one API call more than this."""

    max_runtime: Duration | None = None
    """Stop cleanly when it has passed."""

    outage: Duration = 15 * 60
    """How long to hold the run, asking about one task now and then, while the service cannot be
    reached."""

    overwrite: bool = False
    """Fetch also what is already there; implies `replace`."""

    replace: bool = False
    """A task may take the place of another task's image."""

    adopt: bool = False
    """Count a sound image already at its place as this task's, unless the report gives it to
    another."""

    id_column: str | None = None
    """The manifest's column of task ids, instead of task_id or id."""

    name_column: str | None = None
    """The manifest's column of image names, instead of name."""

    shard: ShardOf | None = None
    """The I-th of N parts of the tasks, 1/N to N/N; each part is a process of its own."""

    retry: Outcomes = frozenset(
        {OutcomeStatus.TIMED_OUT, OutcomeStatus.FAILED, OutcomeStatus.INVALID}
    )
    """Which outcomes of earlier runs to try again; Error, NotExist may be added."""

    fail_on: Failures = frozenset(OutcomeStatus) - {OutcomeStatus.COMPLETED}
    """Which outcomes, of this run or left alone from earlier ones, make exit code 3; none for
    none."""

    @property
    def report_path(self) -> Path:
        """
        Where the report is, given or not; that of a shard carries its label.
        """
        whole = self.whole_report_path
        if self.shard is None or _is_special(whole):
            return whole
        return self.shard.path_of(whole)

    @property
    def whole_report_path(self) -> Path:
        """
        Where the report of a run without shards is.
        """
        if self.report is not None:
            return self.report
        return report_in(self.output)

    @property
    def rate_share(self) -> float | None:
        """
        Requests per second of this process; None for any number.
        """
        if self.rate is None or self.shard is None:
            return self.rate
        return self.rate / self.shard.count

    @property
    def max_calls_share(self) -> int | None:
        """
        The most API calls of this process; None for any number.
        """
        if self.max_calls is None or self.shard is None:
            return self.max_calls
        return self.shard.share_of(self.max_calls)

    @field_validator("endpoint")
    @classmethod
    def _known_endpoint(cls, endpoint: str) -> str:
        endpoint_path(endpoint)
        return endpoint

    @field_validator("retry")
    @classmethod
    def _completed_is_done(cls, retry: frozenset[OutcomeStatus]) -> frozenset[OutcomeStatus]:
        if OutcomeStatus.COMPLETED in retry:
            raise ValueError("Completed is not retried; use --overwrite")
        return retry

    @field_validator("fail_on")
    @classmethod
    def _completed_is_no_failure(
        cls, fail_on: frozenset[OutcomeStatus]
    ) -> frozenset[OutcomeStatus]:
        if OutcomeStatus.COMPLETED in fail_on:
            raise ValueError("Completed is no failure; name other outcomes, or none")
        return fail_on

    @model_validator(mode="after")
    def _adopts_or_overwrites(self) -> Self:
        if self.adopt and self.overwrite:
            raise ValueError("adopt keeps what overwrite fetches again; give one of them")
        return self

    @field_validator("id_column", "name_column")
    @classmethod
    def _column_name(cls, name: str | None) -> str | None:
        if name is not None and not (name := name.strip()):
            raise ValueError("must not be empty; give the name of a column")
        return name

    @field_validator("output", "report")
    @classmethod
    def _not_too_deep(cls, path: Path | str | None) -> Path | str | None:
        # Folders are made one within the other by calls that are nested as deeply.
        if isinstance(path, Path) and len(path.parts) > _MAX_DEPTH:
            raise ValueError(
                f"has more than {_MAX_DEPTH} folders in each other; use a shorter path"
            )
        return path

    @field_validator("report")
    @classmethod
    def _can_be_appended_to(cls, report: Path | None) -> Path | None:
        if report is not None and report.suffix.lower() == ".parquet":
            raise ValueError(
                "is Parquet, which can be neither appended to nor repaired; use a .jsonl, of which"
                f" batchfetch report -o {report.name} makes a table"
            )
        return report

    @model_validator(mode="after")
    def _stores_are_durable(self) -> Self:
        if isinstance(self.output, str) and self.durability is not Durability.FILE:
            raise ValueError(
                f"durability {self.durability} is for folders: what a store has accepted is"
                " durable; leave it out, or give a folder as output"
            )
        return self

    @model_validator(mode="after")
    def _report_is_not_the_output(self) -> Self:
        if self.report is not None and self.report == self.output:
            raise ValueError(
                "report and output are the same path, and output is a folder; give the report a"
                " name of its own, or leave it out"
            )
        return self


def _is_special(path: Path) -> bool:
    """
    Whether *path* is a pipe or a device: there is no other file beside it.
    """
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False
