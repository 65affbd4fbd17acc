"""
Say what is wrong with settings, and show no credential that was given in the wrong place.
"""

import re
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchfetch.errors import SettingsError

# Ends of pydantic's sentences that are about Python and tell a user nothing.
_INTERNAL = re.compile(r"(, unable to .*| for <class .*)$")

_MAX_SHOWN = 20

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
