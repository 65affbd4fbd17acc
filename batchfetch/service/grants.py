"""
Parser of the token endpoint's answer: a token and its life, or the words of a refusal.

Source: RFC 6749, sections 5.1 and 5.2.  The service may be less strict than that.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from batchfetch.errors import CredentialsError, MalformedBodyError
from batchfetch.service.credentials import fits_a_header
from batchfetch.service.faults import words_in
from batchfetch.text import sanitize

DEFAULT_LIFE = 3600.0
"""Seconds that a token lives if its answer does not say: the documented hour."""

LONGEST_LIFE = 24 * 3600.0
"""The most seconds a token is used.  A longer life is more likely a mistake than a promise."""

_MAX_WORDS = 200

# Error codes of RFC 6749, section 4.1.2.1, and of RFC 8628, that do not refuse the credentials.
_PASSING = frozenset({"server_error", "temporarily_unavailable", "slow_down"})


class Grant(NamedTuple):
    """
    A token, ready to be sent.
    """

    token: str

    life: float
    """Seconds from the request on."""

    odd_type: str | None
    """The token's type, as it came, if it is another than `Bearer`, which is documented."""


def parse_grant(body: bytes, redact: Callable[[str], str]) -> Grant:
    """
    Return what *body*, an answer of a status that promises a result, grants.

    The words of an error are the answer's, without what *redact* removes.

    Raises `MalformedBodyError` if asking again may help: it is not a JSON object, or names a
    passing trouble.  Raises `CredentialsError` if it refuses the credentials, or is an object
    without a usable token: it would be the same again, and refusals are counted.
    """
    answer = _object(body)
    if answer is None:
        raise MalformedBodyError("the answer holds no token")
    token = answer.get("access_token")
    if isinstance(token, str) and token.strip():
        return _grant(token.strip(), answer)
    words = sanitize(redact(words_in(answer)), _MAX_WORDS)
    code = answer.get("error")
    if isinstance(code, str) and code in _PASSING:
        raise MalformedBodyError(f"the answer holds no token: {words}")
    if isinstance(code, str) and code:
        raise CredentialsError(refused(words))
    said = f": {words}" if words else ""
    raise CredentialsError(
        f"the service answered the request for a token without a token{said}; check --base-url,"
        " and the client id and secret"
    )


def refuses(body: bytes) -> bool:
    """
    Whether *body* is an error of RFC 6749 that will be the same for these credentials again.
    """
    error = (_object(body) or {}).get("error")
    return isinstance(error, str) and bool(error) and error not in _PASSING


def refused(words: str) -> str:
    """
    Return the sentence that says that the credentials are refused; *words* are the service's.
    """
    return (
        f"the service refuses the credentials ({words}); check the client id and secret before the"
        " next run, as refusals are counted"
    )


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        answer = from_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _grant(token: str, answer: Mapping[str, Any]) -> Grant:
    if not fits_a_header(token):
        raise CredentialsError(
            "the service gave a token that cannot be sent back; check that --base-url is right"
        )
    kind = answer.get("token_type")
    is_odd = isinstance(kind, str) and kind.strip().lower() not in {"", "bearer"}
    return Grant(token, _life(answer.get("expires_in")), str(kind) if is_odd else None)


def _life(value: object) -> float:
    """
    Return the seconds that `expires_in` means.
    """
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return DEFAULT_LIFE
    try:
        life = float(value)
    except ValueError:
        return DEFAULT_LIFE
    except OverflowError:  # An integer of hundreds of digits.
        return DEFAULT_LIFE if str(value).startswith("-") else LONGEST_LIFE
    return min(life, LONGEST_LIFE) if life > 0 else DEFAULT_LIFE
