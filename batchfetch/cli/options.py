"""
Click options generated from the fields of a settings model.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt
from pydantic.fields import FieldInfo

from batchfetch.setting_values import parse_duration, parse_rate, parse_shard, parse_size

# The environment variables of `fetch`, `sandbox`, `report` and `submit` begin with these.
PREFIX = "BATCHFETCH_"
SANDBOX_PREFIX = f"{PREFIX}SANDBOX_"
REPORT_PREFIX = f"{PREFIX}REPORT_"
SUBMIT_PREFIX = f"{PREFIX}SUBMIT_"

SHARED = ("base_url", "ca_file")
"""Settings that `fetch` and `submit` have in common: one variable, one key of the settings file."""

_SHORT = {"output": "-o", "report": "-r"}

# The metavar is the field's own, or follows from its parser, from its name, or from its type.
_PARSED: Mapping[object, str] = {
    parse_duration: "DURATION",
    parse_size: "SIZE",
    parse_rate: "RATE",
    parse_shard: "I/N",
}
_NAMED = {
    "output": "DIR|URL",
    "report": "FILE",
    "ca_file": "FILE",
    "cluster": "ADDRESS",
    "metrics_file": "FILE",
    "base_url": "URL",
    "endpoint": "NAME",
    "id_column": "NAME",
    "name_column": "NAME",
    "retry": "OUTCOME[,…]",
    "fail_on": "OUTCOME[,…]",
    "only": "OUTCOME[,…]",
    "group_by": "COLUMN",
    "faults": "KIND=SHARE[,…]",
}
_TYPED: Mapping[object, str] = {int: "N", float: "X"}

_DURATIONS = {"h": 3600, "m": 60, "s": 1}
_SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "": 1}


class ProgressMode(StrEnum):
    """
    When a run shows its progress.
    """

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class LogFormat(StrEnum):
    """
    The format of log lines.
    """

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """
    The lowest severity that is logged.
    """

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


OPTIONS_CONFIG = ConfigDict(
    frozen=True,
    extra="forbid",
    hide_input_in_errors=True,
    use_attribute_docstrings=True,
    defer_build=True,
)
"""How options that are no settings of the library are validated."""


class OutputOptions(BaseModel):
    """
    Options about what a run tells, and against which service it is.
    """

    model_config = OPTIONS_CONFIG

    sandbox: bool = False
    """Run against the built-in stand-in, started for this run: no network, no credentials."""

    cluster: str | None = None
    """Spread the run over a Dask cluster: tcp://, tls://, a scheduler file, local:N."""

    chunk: PositiveInt = 1000
    """Tasks handed to a worker of a cluster at a time."""

    insecure_cluster: bool = False
    """Allow tcp:// beyond this machine, which shows the token to the network."""

    dry_run: bool = False
    """Say what would be fetched and what it takes; touch nothing, ask nothing."""

    # Users call it `json`, which is also the name of a method of the model.
    as_json: bool = Field(default=False, alias="json")
    """Print the run's summary, or the plan, on stdout as one JSON object."""

    progress: ProgressMode = ProgressMode.AUTO
    """A live display on a terminal's stderr, periodic plain lines otherwise."""

    log_format: LogFormat = LogFormat.TEXT
    """How log lines on stderr are written."""

    log_level: LogLevel = LogLevel.INFO
    """What is worth a log line."""


class RunOptions(OutputOptions):
    """
    Options of `fetch` that are not settings of the library.
    """

    # The values of ManifestFormat, whose module takes too long to import for --help.
    manifest_format: Literal["txt", "csv", "tsv", "jsonl", "parquet"] | None = None
    """How manifests are written [default: by suffix; txt for standard input]."""

    metrics_file: Path | None = None
    """Prometheus text, replaced every 15 s and at the end."""


def names_of(model: type[BaseModel]) -> list[str]:
    """
    Return the names of the options of *model*, with underscores.
    """
    return [field.alias or name for name, field in model.model_fields.items()]


class ModelOption(click.Option):
    """
    An option whose value is parsed by a model: `resolve`.
    """

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:  # noqa: ARG002
        """
        Return *value* as it was given: text, True or False for a switch, or a type of TOML.
        """
        return value


def options_of(model: type[BaseModel], prefix: str) -> list[click.Parameter]:
    """
    Return one option for each field of *model*, with a variable that begins with *prefix*, or only
    with `PREFIX` if commands share it.
    """
    return [
        _option(field.alias or name, field, PREFIX if name in SHARED else prefix)
        for name, field in model.model_fields.items()
    ]


def _option(name: str, field: FieldInfo, prefix: str) -> ModelOption:
    variable = prefix + name.upper()
    switch = name.replace("_", "-")
    text = (field.description or "").removesuffix(".")
    if field.annotation is bool:
        # The negative form overrides a variable or a file that turns the switch on.
        return ModelOption(
            [name, f"--{switch}/--no-{switch}"], default=None, envvar=variable, help=text
        )
    kind, parser = _kind_and_parser(field)
    own = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    metavar = str(
        own.get("metavar") or _PARSED.get(parser) or _NAMED.get(name) or _TYPED.get(kind, "TEXT")
    )
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        metavar = "|".join(kind)
    elif get_origin(kind) is Literal:
        metavar = "|".join(get_args(kind))
    default = _default_words(field.default, metavar)
    return ModelOption(
        [name, *filter(None, [_SHORT.get(name)]), f"--{switch}"],
        metavar=metavar,
        envvar=variable,
        help=f"{text} [default: {default}]" if default else text,
    )


def _kind_and_parser(field: FieldInfo) -> tuple[object, object]:
    """
    Return the type of *field* without None, and the function that parses its text, if any.
    """
    kind: object = field.annotation
    metadata = list(field.metadata)
    if NoneType in get_args(kind):
        kind = next(arg for arg in get_args(kind) if arg is not NoneType)
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        metadata += inner
    parsers = [mark.func for mark in metadata if isinstance(mark, BeforeValidator)]
    return kind, parsers[0] if parsers else None


def _default_words(value: object, metavar: str) -> str:
    """
    Return *value* as it would be typed, or an empty text if it is unset or empty.
    """
    match value:
        case None:
            return ""
        case frozenset() | Mapping():
            return ",".join(sorted(map(str, value)))
        case int() | float() if metavar in {"DURATION", "SIZE"}:
            units = _DURATIONS if metavar == "DURATION" else _SIZES
            return next(
                (f"{value // n}{u}" for u, n in units.items() if value % n == 0), f"{value}s"
            )
        case _:
            return str(value)


def config_option(
    load: Callable[[click.Context, click.Parameter, str | None], str | None], words: str
) -> click.Option:
    """
    Return the option `--config`, whose file *load* reads; *words* are its help.
    """
    return click.Option(
        ["config", "--config"],
        metavar="FILE",
        envvar=f"{PREFIX}CONFIG",
        is_eager=True,  # Before the other options look up their defaults.
        callback=load,
        help=words,
    )
