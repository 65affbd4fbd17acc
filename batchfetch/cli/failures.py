"""
Errors that end the command before its run begins: one sentence, in the format of the log.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from batchfetch.cli.journal import is_journal, with_priority
from batchfetch.cli.streams import print_stderr
from batchfetch.errors import BatchFetchError, SettingsError
from batchfetch.text import sanitize

_OPTION = "--log-format"
_VARIABLE = "BATCHFETCH_LOG_FORMAT"
_CONFIG, _CONFIG_VARIABLE = "--config", "BATCHFETCH_CONFIG"


def with_hint(error: click.ClickException | BatchFetchError, command: str) -> str:
    """
    Return what *error* says; where the line is to blame, with the way to the help of *command*.
    """
    sentence = error.format_message() if isinstance(error, click.ClickException) else str(error)
    sentence = " ".join(line.strip() for line in sentence.splitlines())  # click lists choices so.
    by_value = isinstance(error, SettingsError) and error.problems
    if not by_value and not isinstance(error, click.UsageError):
        return sentence
    if sentence.endswith(("?", "?)")):
        return f"{sentence} Try {command} --help"
    return f"{sentence.removesuffix('.')}; try {command} --help"


def fail(sentence: str, code: int, argv: Sequence[str]) -> int:
    """
    Write *sentence* to stderr and return *code*.

    It is JSON where the command line *argv*, the environment or the settings file asks for that,
    even if they could not be understood as a whole.
    """
    if _log_format(argv, os.environ) == "json":
        # The classes of log records take 10 ms, and only this case needs them.
        from batchfetch.cli.logs import log_at_once  # noqa: PLC0415

        log_at_once(sentence)
    else:
        line = f"batchfetch: {sanitize(sentence)}"
        print_stderr(with_priority(line, "ERROR") if is_journal() else line)
    return code


def _log_format(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    chosen = _value_of(_OPTION, arguments) or environment.get(_VARIABLE)
    if chosen:
        return chosen
    config = _value_of(_CONFIG, arguments) or environment.get(_CONFIG_VARIABLE)
    return _log_format_in(config) if config else None


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """
    Return the last value of *option*, which is one argument or two.
    """
    found = None
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        if argument == option:
            found = following
        elif argument.startswith(f"{option}="):
            found = argument.removeprefix(f"{option}=")
    return found


def _log_format_in(path: str) -> str | None:
    import tomllib  # noqa: PLC0415 - only after an error, and only with a settings file

    try:
        values = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RuntimeError):
        return None  # It is what the error is about.
    return next((str(values[key]) for key in ("log-format", "log_format") if key in values), None)
