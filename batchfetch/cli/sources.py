"""
What was given for the options, in whatever place, made into a model.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from batchfetch.cli.options import names_of
from batchfetch.errors import SettingsError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """
    A place where settings are given: the command line, the environment, a file.
    """

    values: Mapping[str, object]
    """By the option's name, with underscores."""

    label: Callable[[str], str]
    """What a user of this place calls the option of that name."""


def typed_options(values: Mapping[str, Any]) -> SettingsSource:
    """
    Return what was typed on the command line; None is what was not.
    """
    return SettingsSource(
        {name: value for name, value in values.items() if value is not None},
        lambda name: "--" + name.replace("_", "-"),
    )


def variables(environment: Mapping[str, str], names: Sequence[str], prefix: str) -> SettingsSource:
    """
    Return what the variables of these *names* say; an empty one says nothing.
    """
    found = {name: environment.get(prefix + name.upper()) for name in names}
    return SettingsSource(
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
    from difflib import get_close_matches  # noqa: PLC0415 - most people make no mistake

    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def resolve(model: type[M], sources: Sequence[SettingsSource]) -> M:
    """
    Return *model* with each field from the first of *sources* that has it.

    Raises `SettingsError` with a sentence that says where a wrong value came from, and not what it
    was: it may be a secret in the wrong place.
    """
    chosen: dict[str, SettingsSource] = {}
    for name in names_of(model):
        place = next((place for place in sources if name in place.values), None)
        if place is not None:
            chosen[name] = place
    try:
        return model.model_validate({name: place.values[name] for name, place in chosen.items()})
    except ValidationError as error:
        raise SettingsError(_sentence(error, chosen)) from None


def _sentence(error: ValidationError, chosen: Mapping[str, SettingsSource]) -> str:
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        words = problem["msg"].removeprefix("Value error, ")
        words = words.replace("Input should", "should", 1)
        name = str(problem["loc"][0]) if problem["loc"] else ""
        parts.append(f"{chosen[name].label(name)}: {words}" if name in chosen else words)
    return "; ".join(dict.fromkeys(parts))
