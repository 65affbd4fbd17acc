"""
Options made from the fields of a model: names, defaults and help cannot say anything else.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin

import click
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from batchfetch.settings import parse_duration, parse_rate, parse_size

_SHORT = {"output": "-o", "report": "-r"}

# By the parser of its words, else by name, else by type.
_PARSED: Mapping[object, str] = {
    parse_duration: "DURATION",
    parse_size: "SIZE",
    parse_rate: "RATE",
}
_NAMED = {
    "output": "DIR",
    "report": "FILE",
    "ca_file": "FILE",
    "base_url": "URL",
    "endpoint": "NAME",
    "retry": "OUTCOME[,…]",
    "faults": "KIND=SHARE[,…]",
}
_TYPED: Mapping[object, str] = {int: "N", float: "X"}

_DURATIONS = {"h": 3600, "m": 60, "s": 1}
_SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "": 1}


class ProgressMode(StrEnum):
    """
    When a run shows how far it is.
    """

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class LogFormat(StrEnum):
    """
    How a log line is written.
    """

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """
    What is worth a log line.
    """

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class RunOptions(BaseModel):
    """
    What the command line adds to the library's settings.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )

    # ManifestFormat, whose module takes longer to import than --help has.
    manifest_format: Literal["txt", "csv", "tsv", "jsonl"] | None = None
    """How manifests are written [default: by suffix; txt for standard input]."""

    sandbox: bool = False
    """Run against the built-in stand-in, started for this run: no network, no credentials."""

    dry_run: bool = False
    """Say what would be fetched and what it takes; touch nothing, ask nothing."""

    # The name is the user's word; a model has a method of that name.
    as_json: bool = Field(default=False, alias="json")
    """Print the run's summary, or the plan, on stdout as one JSON object."""

    progress: ProgressMode = ProgressMode.AUTO
    """A live display on a terminal's stderr, periodic plain lines otherwise."""

    log_format: LogFormat = LogFormat.TEXT
    """How log lines on stderr are written."""

    log_level: LogLevel = LogLevel.INFO
    """What is worth a log line."""


def names_of(model: type[BaseModel]) -> list[str]:
    """
    Return the names of the options of *model*, with underscores.
    """
    return [field.alias or name for name, field in model.model_fields.items()]


def options_of(model: type[BaseModel]) -> list[click.Parameter]:
    """
    Return one option for each field of *model*.

    Their values are the words typed, and None for what was not typed: `resolve` makes sense of
    them.
    """
    return [_option(field.alias or name, field) for name, field in model.model_fields.items()]


def _option(name: str, field: FieldInfo) -> click.Option:
    switch = name.replace("_", "-")
    text = (field.description or "").removesuffix(".")
    if field.annotation is bool:
        # What a file or the environment switches on, the command line must be able to undo.
        return click.Option([name, f"--{switch}/--no-{switch}"], default=None, help=text)
    kind, parser = _kind_and_parser(field)
    metavar = _PARSED.get(parser) or _NAMED.get(name) or _TYPED.get(kind, "TEXT")
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        metavar = "|".join(kind)
    elif get_origin(kind) is Literal:
        metavar = "|".join(get_args(kind))
    default = _default_words(field.default, metavar)
    return click.Option(
        [name, *filter(None, [_SHORT.get(name)]), f"--{switch}"],
        metavar=metavar,
        help=f"{text} [default: {default}]" if default else text,
    )


def _kind_and_parser(field: FieldInfo) -> tuple[object, object]:
    """
    Return what *field* is, None aside, and what turns words into it.
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
    Return *value* as it would be typed, and nothing for what is unset or empty.
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
