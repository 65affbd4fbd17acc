"""
What can be set, what it means, and what it is unless set.

Every field is an option of `batchfetch fetch`; the command line takes names, defaults and words
from here.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from batchfetch.endpoints import endpoint_path
from batchfetch.errors import SettingsError
from batchfetch.models import OutcomeStatus
from batchfetch.paths import expand_home

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|m|h))?", re.IGNORECASE)

# Ends of pydantic's sentences that are about Python and tell a user nothing.
_INTERNAL = re.compile(r"(, unable to .*| for <class .*)$")

_MAX_SHOWN = 20
_MAX_DEPTH = 200

UNSHOWN = frozenset({"base_url", "ca_file", "output", "report"})
"""Settings whose value no error shows: a URL may contain a password, and a path is private."""


def shown(value: object) -> str:
    """
    Return *value* as an error may show it, or `the value` if it may be a credential.

    Text of more than 20 characters is not shown: no duration, size, rate, number or name of a
    choice is that long, and a token or a secret usually is.
    """
    if isinstance(value, str | int | float) and len(str(value)) <= _MAX_SHOWN:
        return repr(value)
    return "the value"


def problems_of(error: ValidationError, values: Mapping[str, object]) -> list[tuple[str, str]]:
    """
    Return what is wrong with *values*, by name: a few words each, the value itself among them where
    it cannot be a credential.  Without a name, two values exclude each other.
    """
    problems = error.errors(include_url=False, include_context=False)
    return [_problem(problem, values) for problem in problems]


def _problem(problem: ErrorDetails, values: Mapping[str, object]) -> tuple[str, str]:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    words = problem["msg"].removeprefix("Value error, ")
    if problem["type"] != "value_error":
        # The value as it was given, unless only an element of it is wrong.
        given = values.get(name) if len(problem["loc"]) == 1 else problem["input"]
        value = "the value" if name in UNSHOWN else shown(given)
        subject = f"{value} is not valid; it" if words.startswith("Input should") else value
        words = _INTERNAL.sub("", words).replace("a valid boolean", "true or false")
        words = words.replace("Input", subject, 1)
    return name, words


def invalid_values(error: ValidationError, values: Mapping[str, object]) -> SettingsError:
    """
    Return the error that says what is wrong with *values*, one sentence for each.
    """
    problems = problems_of(error, values)
    sentences = dict.fromkeys(f"{name}: {words}" if name else words for name, words in problems)
    return SettingsError("; ".join(sentences), problems)


def parse_duration(text: object) -> object:
    """
    Return seconds for `90`, `90s`, `15m`, `2h`; leave alone what is not text.
    """
    if not isinstance(text, str):
        return text
    if (match := _DURATION.fullmatch(text.strip())) is None:
        raise ValueError(f"{shown(text)} is not a valid duration; use 90, 90s, 15m or 2h")
    return float(match[1]) * _SECONDS[(match[2] or "s").lower()]


def parse_size(text: object) -> object:
    """
    Return bytes for `1000`, `64KiB`, `1GiB`, `5MB`; leave alone what is not text.
    """
    if not isinstance(text, str):
        return text
    if (match := _SIZE.fullmatch(text.strip())) is None:
        raise ValueError(f"{shown(text)} is not a valid size; use 1000, 64KiB or 1GiB")
    step = 1024 if match[3] else 1000
    power = "kmgt".index(match[2].lower()) + 1 if match[2] else 0
    return int(float(match[1]) * step**power)


def parse_rate(text: object) -> object:
    """
    Return requests per second for `20`, `20/s`, `600/m`; leave alone what is not text.
    """
    if not isinstance(text, str):
        return text
    if (match := _RATE.fullmatch(text.strip())) is None:
        raise ValueError(f"{shown(text)} is not a valid rate; use 20, 20/s or 600/m")
    return float(match[1]) / _SECONDS[(match[2] or "s").lower()]


def _split_outcomes(text: object) -> object:
    # Completed is known, and then refused by the setting with a reason.
    suggested = [status for status in OutcomeStatus if status is not OutcomeStatus.COMPLETED]
    return _outcomes_in(text, suggested) if isinstance(text, str) else text


def _outcomes_in(text: str, suggested: Iterable[OutcomeStatus]) -> frozenset[OutcomeStatus]:
    known = {status.value.lower(): status for status in OutcomeStatus}
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word.lower() not in known:
            names = ", ".join(suggested)
            raise ValueError(f"{shown(word)} is not a valid outcome; use {names}")
    return frozenset(known[word.lower()] for word in words)


def parse_chosen(text: object) -> object:
    """
    Return the outcomes in a text like `Completed,Error`, one at least; leave alone what is not
    text.
    """
    if not isinstance(text, str):
        return text
    outcomes = _outcomes_in(text, OutcomeStatus)
    if not outcomes:
        raise ValueError("names no outcome; use some, with commas between them")
    return outcomes


def parse_path(path: object) -> object:
    """
    Return *path* with its `~` expanded; leave alone what is no path.
    """
    return expand_home(path) if isinstance(path, str | Path) else path


def parse_failures(text: object) -> object:
    """
    Return the outcomes in a text like `Failed,TimedOut`, or nothing for `none`; leave alone what is
    not text.
    """
    if not isinstance(text, str):
        return text
    if text.strip().lower() == "none":
        return frozenset()
    outcomes = _split_outcomes(text)
    if not outcomes:
        raise ValueError("names no outcome; use some, with commas between them, or none")
    return outcomes


# `allow_inf_nan` is off because "never" is written by leaving the option out.
Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Rate = Annotated[float, BeforeValidator(parse_rate), Field(gt=0, allow_inf_nan=False)]
Outcomes = Annotated[frozenset[OutcomeStatus], BeforeValidator(_split_outcomes)]
ChosenOutcomes = Annotated[frozenset[OutcomeStatus], BeforeValidator(parse_chosen)]
FilePath = Annotated[Path, BeforeValidator(parse_path)]
Failures = Annotated[frozenset[OutcomeStatus], BeforeValidator(parse_failures)]


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
    retry: Iterable[OutcomeStatus] | str
    fail_on: Iterable[OutcomeStatus] | str


class Settings(BaseModel):
    """
    How a batch is run.  Frozen; a misspelt name is an error.

    Durations are seconds, sizes are bytes, a rate is requests per second; each also takes the
    command line's text (`"15m"`, `"64KiB"`, `"600/m"`).  Raises `SettingsError`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # The input may be a credential in the wrong place; a parser shows it where that is safe.
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        # Defaults are checked too: a wrong one is our defect, not the first user's.
        validate_default=True,
        # Built on first use: `--help` reads the fields and validates nothing.
        defer_build=True,
    )

    def __init__(self, **values: Unpack[SettingsOptions]) -> None:
        try:
            super().__init__(**values)
        except ValidationError as exc:
            raise invalid_values(exc, values) from None

    output: FilePath = Path("images")
    """Where images go; made if missing."""

    report: FilePath | None = None
    """The report and ledger [default: OUTPUT/report.jsonl]."""

    base_url: str = "https://api.aspose.cloud"
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
        Where the report is, given or not.
        """
        return self.report or self.output / "report.jsonl"

    @field_validator("base_url")
    @classmethod
    def _safe_root(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise ValueError("is not a valid URL; use https://host[:port]") from None
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("is not a valid URL; use https://host[:port]")
        if parts.username is not None or parts.password is not None:
            raise ValueError("holds credentials; give them in the environment instead")
        if parts.query or parts.fragment:
            raise ValueError("must not have a query or a fragment")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https: plain http would show the token to the network")
        return url.rstrip("/")

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
    def _not_too_deep(cls, path: Path | None) -> Path | None:
        # Folders are made one within the other by calls that are nested as deeply.
        if path is not None and len(path.parts) > _MAX_DEPTH:
            raise ValueError(
                f"has more than {_MAX_DEPTH} folders in each other; use a shorter path"
            )
        return path

    @model_validator(mode="after")
    def _report_is_not_the_output(self) -> Self:
        if self.report is not None and self.report == self.output:
            raise ValueError("report and output are the same path")
        return self


def is_loopback(host: str) -> bool:
    """
    Whether *host*, as written in a URL, can only mean this machine.
    """
    import ipaddress  # noqa: PLC0415 - 5 ms that --help need not pay

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
