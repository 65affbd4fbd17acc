"""
Settings of `batchfetch submit`: what they mean, and what they are unless set.
"""

from enum import StrEnum
from os.path import realpath
from pathlib import Path
from typing import Annotated, Literal, Self, TypedDict, Unpack

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from batchfetch.setting_base import BaseSettings
from batchfetch.setting_errors import shown
from batchfetch.setting_values import BaseUrl, ChosenOutcomes, Duration, FilePath, Rate
from batchfetch.settings import Durability, Settings

STDOUT = Path("-")
"""The output that stands for standard output."""

_OTHER_FORMATS = frozenset({".csv", ".gz", ".json", ".parquet", ".tsv", ".txt"})
"""Suffixes by which `fetch` would read the manifest as something else, or refuse it."""


class SubmitEndpoint(StrEnum):
    """
    What is done to the images: the service's endpoints that take any.
    """

    DESKEW = "deskew"
    DEWARP = "dewarp"
    UPSCALE = "upscale"
    BINARIZE = "binarize"


class SubmitStatus(StrEnum):
    """
    What became of an image that was to be submitted.
    """

    SUBMITTED = "Submitted"
    INVALID = "Invalid"
    FAILED = "Failed"
    UNCERTAIN = "Uncertain"


def _parse_retry(text: object) -> object:
    if not isinstance(text, str):
        return text
    known = {status.lower(): status for status in SubmitStatus}
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word.lower() not in known:
            raise ValueError(f"{shown(word)} is not a valid outcome; use Uncertain")
    return frozenset(known[word.lower()] for word in words)


class SubmitOptions(TypedDict, total=False):
    """
    What `SubmitSettings` accepts for each of its fields: values, or the command line's text.
    """

    output: str | Path
    report: str | Path | None
    base_url: str
    ca_file: str | Path | None
    endpoint: SubmitEndpoint | Literal["deskew", "dewarp", "upscale", "binarize"]
    only: str | None
    again: bool
    retry: str | frozenset[SubmitStatus]
    concurrency: int
    rate: float | str | None
    attempts: int
    price_per_call: float | None
    connect_timeout: float | str
    read_timeout: float | str
    durability: Durability | Literal["none", "file", "full"]
    max_calls: int | None
    max_runtime: float | str | None
    outage: float | str


class SubmitSettings(BaseSettings):
    """
    How images are submitted.  Frozen; a misspelt name is an error.

    Durations are seconds, a rate is requests per second; each also takes the command line's text
    (`"15m"`, `"600/m"`).  Raises `SettingsError`.
    """

    def __init__(self, **values: Unpack[SubmitOptions]) -> None:
        super().__init__(**values)

    output: Annotated[FilePath, Field(json_schema_extra={"metavar": "FILE"})] = Path(
        "manifest.jsonl"
    )
    """The manifest: a line for each accepted image, at once; - is standard output."""

    report: FilePath | None = None
    """The report and ledger [default: beside the manifest, .report.jsonl]."""

    base_url: BaseUrl = "https://api.aspose.cloud"
    """The service's root; plain http only for loopback addresses."""

    ca_file: FilePath | None = None
    """Root certificates to trust instead of the system's."""

    endpoint: SubmitEndpoint = SubmitEndpoint.DESKEW
    """What is done to the images, where their table does not say."""

    only: ChosenOutcomes | None = None
    """Of a report: the rows whose last outcome is one of these [default: all]."""

    again: bool = False
    """Submit also what the report says was accepted."""

    retry: Annotated[
        frozenset[SubmitStatus],
        BeforeValidator(_parse_retry),
        Field(json_schema_extra={"metavar": "Uncertain[,…]"}),
    ] = frozenset()
    """Submit also what may have been accepted; what is Failed or Invalid always is."""

    concurrency: Annotated[PositiveInt, Field(le=1_000)] = 8
    """Images on their way at once."""

    rate: Rate | None = None
    """Requests per second over the whole run: 20, 20/s, 600/m."""

    attempts: PositiveInt = 5
    """Tries of one image before a passing fault becomes Failed."""

    price_per_call: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Adds money to --dry-run and the summary."""

    connect_timeout: Duration = 10
    """The longest wait for a connection."""

    read_timeout: Duration = 60
    """The longest wait for more of an image to be taken, and for the answer."""

    durability: Durability = Durability.FILE
    """fsync nothing; the report, before an image is sent; manifest and folder too."""

    max_calls: Annotated[int, Field(ge=0)] | None = None
    """Stop cleanly before one API call more than this."""

    max_runtime: Duration | None = None
    """Stop cleanly when it has passed."""

    outage: Duration = 15 * 60
    """How long to hold the run, trying one image now and then, while the service cannot be
    reached."""

    @property
    def is_to_stdout(self) -> bool:
        """
        Whether the manifest goes to standard output.
        """
        return self.output == STDOUT

    @property
    def report_path(self) -> Path:
        """
        Where the report is, given or not.
        """
        if self.report is not None:
            return self.report
        manifest = Path("manifest.jsonl") if self.is_to_stdout else self.output
        name = manifest.name.removesuffix(".jsonl").removesuffix(".ndjson")
        return manifest.with_name(f"{name}.report.jsonl")

    @property
    def client(self) -> Settings:
        """
        The settings of the client that they come to.
        """
        return Settings(
            base_url=self.base_url,
            ca_file=self.ca_file,
            concurrency=self.concurrency,
            rate=self.rate,
            attempts=self.attempts,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            max_calls=self.max_calls,
        )

    @field_validator("output")
    @classmethod
    def _is_json_lines(cls, output: Path) -> Path:
        if (suffix := output.suffix.lower()) in _OTHER_FORMATS:
            raise ValueError(f"the manifest is JSON Lines; give a name in .jsonl, not in {suffix}")
        return output

    @field_validator("retry")
    @classmethod
    def _submitted_is_done(cls, retry: frozenset[SubmitStatus]) -> frozenset[SubmitStatus]:
        if SubmitStatus.SUBMITTED in retry:
            raise ValueError("Submitted is not retried; use --again")
        return retry

    @model_validator(mode="after")
    def _report_is_not_the_manifest(self) -> Self:
        if self.report is not None and realpath(self.report) == realpath(self.output):
            raise ValueError(
                "report and output are the same file; give the report a name of its own, or leave"
                " it out"
            )
        return self
