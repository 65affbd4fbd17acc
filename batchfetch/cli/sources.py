"""
Validation of option values, with errors that name the source of a wrong value.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from batchfetch.cli.options import names_of
from batchfetch.errors import SettingsError
from batchfetch.setting_errors import problems_of
from batchfetch.text import sanitize

M = TypeVar("M", bound=BaseModel)


def resolve(model: type[M], ctx: click.Context) -> M:
    """
    Return *model* with the values that *ctx* has for its fields.

    Raises `SettingsError` with a sentence that names the source of a wrong value.
    """
    sources = _sources_of(ctx)
    values = {name: ctx.params[name] for name in names_of(model) if name in sources}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems: Sequence[tuple[str, str]] = problems_of(error, values)
    except SettingsError as error:
        problems = error.problems
    sentences = (
        f"{sources[name]}: {words}" if name in sources else words for name, words in problems
    )
    raise SettingsError("; ".join(dict.fromkeys(sentences)), problems)


def _sources_of(ctx: click.Context) -> dict[str, str]:
    """
    Return where each value that was given comes from: an option, a variable, or a file and its key.
    """
    sources = {}
    for option in ctx.command.params:
        match ctx.get_parameter_source(option.name):
            case ParameterSource.COMMANDLINE:
                sources[option.name] = option.opts[-1]
            case ParameterSource.ENVIRONMENT:
                sources[option.name] = str(option.envvar)
            case ParameterSource.DEFAULT_MAP:
                sources[option.name] = f"{ctx.params['config']}: {option.name}"
    return sources


def unknown_variables(
    command: click.Command, environment: Mapping[str, str], prefix: str, also: Sequence[str] = ()
) -> Iterator[str]:
    """
    Yield a warning for each variable that begins with *prefix* and that no option of *command* has.

    The variables *also* are known, too.
    """
    known = [*(str(option.envvar) for option in command.params if option.envvar), *also]
    for name in sorted(environment):
        if name.startswith(prefix) and name not in known:
            # What all of them begin with says nothing of which one was meant.
            near = did_you_mean(name[len(prefix) :], [each[len(prefix) :] for each in known])
            hint = near.replace("mean ", f"mean {prefix}") or "; it has no effect, so unset it"
            yield f"unknown variable {sanitize(name, 80)}{hint}"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """
    Return `; did you mean …?` if *name* resembles one of *known*, otherwise an empty text.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only needed after a mistake

    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
