"""
Options made from the fields of a model, and the model made from what was given for them.

Names, defaults and help come from the model, so the command line cannot say anything else.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import NoneType
from typing import Any, TypeVar, get_args

import click
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from batchfetch.errors import SettingsError
from batchfetch.manifest import ManifestFormat
from batchfetch.settings import parse_duration, parse_rate, parse_size

M = TypeVar("M", bound=BaseModel)

# The fields of `Credentials`, which takes the whole client to import.
SECRETS = ("client_id", "client_secret", "access_token")

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

    manifest_format: ManifestFormat | None = None
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


# What is offered


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
        metadata += getattr(kind, "__metadata__", ())
        kind = getattr(kind, "__origin__", kind)
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


# What was given


@dataclass(frozen=True, slots=True)
class Place:
    """
    A place where settings are given: the command line, the environment, a file.
    """

    values: Mapping[str, object]
    """By the option's name, with underscores."""

    label: Callable[[str], str]
    """What a user of this place calls the option of that name."""


def typed_options(values: Mapping[str, Any]) -> Place:
    """
    Return what was typed on the command line; None is what was not.
    """
    return Place(
        {name: value for name, value in values.items() if value is not None},
        lambda name: "--" + name.replace("_", "-"),
    )


def variables(environment: Mapping[str, str], names: Sequence[str], prefix: str) -> Place:
    """
    Return what the variables of these *names* say; an empty one says nothing.
    """
    found = {name: environment.get(prefix + name.upper()) for name in names}
    return Place(
        {name: value for name, value in found.items() if value},
        lambda name: prefix + name.upper(),
    )


def unknown_variables(
    environment: Mapping[str, str], prefix: str, known: Sequence[str]
) -> Iterator[str]:
    """
    Yield a sentence about each variable that begins with *prefix* and is none of *known*.
    """
    for name in sorted(environment):
        if name.startswith(prefix) and name not in known:
            yield f"the variable {name} means nothing here{did_you_mean(name, known)}"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """
    Return `; did you mean …?` if *name* is nearly one of *known*, and nothing otherwise.
    """
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def resolve(model: type[M], places: Sequence[Place]) -> M:
    """
    Return *model* with each field from the first of *places* that has it.

    Raises `SettingsError` with a sentence that says where a wrong value came from, and not what it
    was: it may be a secret in the wrong place.
    """
    chosen: dict[str, Place] = {}
    for name in names_of(model):
        place = next((place for place in places if name in place.values), None)
        if place is not None:
            chosen[name] = place
    try:
        return model.model_validate({name: place.values[name] for name, place in chosen.items()})
    except ValidationError as error:
        raise SettingsError(_sentence(error, chosen)) from None


def _sentence(error: ValidationError, chosen: Mapping[str, Place]) -> str:
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        words = problem["msg"].removeprefix("Value error, ")
        words = words.replace("Input should", "should", 1)
        name = str(problem["loc"][0]) if problem["loc"] else ""
        parts.append(f"{chosen[name].label(name)}: {words}" if name in chosen else words)
    return "; ".join(dict.fromkeys(parts))
