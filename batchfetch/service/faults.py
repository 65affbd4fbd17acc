"""
Translate aiohttp's exceptions, and answers without a result, into errors of ours.
"""

import errno
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from pydantic_core import from_json

from batchfetch.errors import (
    BlockedError,
    ConnectionLostError,
    JobError,
    OutOfDescriptorsError,
    PlainServerError,
    ProxyRefusedError,
    RedirectedError,
    StalledError,
    StatusError,
    UntrustedServerError,
)
from batchfetch.statuses import StatusMeaning, meaning_of
from batchfetch.text import sanitize

FOREIGN = (aiohttp.ClientError, TimeoutError, OSError)


class DroppedError(aiohttp.ClientConnectionError):
    """
    The connection was closed before any answer came.
    """


def translated(
    exc: aiohttp.ClientError | TimeoutError | OSError, redact: Callable[[str], str]
) -> JobError:
    """
    Return *exc* as an error of ours.  aiohttp's words, which may quote what came in, are kept
    without what *redact* removes; its `repr` is not: it shows the token.
    """
    if (blocked := _blocked(exc, redact)) is not None:
        return blocked
    words = sanitize(redact(_words_of(exc)))
    match exc:
        case aiohttp.ConnectionTimeoutError():
            return StalledError("no connection was made in time")
        case aiohttp.ServerTimeoutError():
            return StalledError(words or "nothing arrived for too long")
        case TimeoutError():
            return StalledError("no answer arrived in time")
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return OutOfDescriptorsError("no file descriptor is left for a connection")
        case _:
            return ConnectionLostError(_lost(exc, words, redact))


_PROXY_REFUSED = (
    "the proxy refused: 407, it asks for a user and a password; give them as"
    " HTTPS_PROXY=http://user:password@host:port"
)


def _words_of(exc: Exception) -> str:
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {exc.host} cannot be resolved"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy {exc.host}:{exc.port} cannot be reached: {_reason(exc.os_error)}"
        case aiohttp.ClientConnectorError():
            return f"{exc.host}:{exc.port} cannot be reached: {_reason(exc.os_error)}"
        case _:
            return str(exc)


def _reason(error: OSError) -> str:
    """
    Return the system's words for *error*; asyncio's repeat the address.
    """
    known = error.errno in errno.errorcode and not isinstance(error, ssl.SSLError)
    return os.strerror(error.errno or 0) if known else str(error)


# What OpenSSL calls bytes that are not TLS, by its version and by what they are.
_PLAIN = frozenset(
    {
        "HTTP_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)


def _blocked(exc: Exception, redact: Callable[[str], str]) -> BlockedError | None:
    """
    Return the error that *exc* is if no request can get through until a setting is changed.
    """
    match exc:
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            words = getattr(cause, "verify_message", None) or str(cause)
            words = sanitize(redact(words), 200)
            return UntrustedServerError(
                f"the certificate of {exc.host}:{exc.port} is not trusted ({words}); if a private"
                " authority has issued it, --ca-file names the file with that one's root"
            )
        case aiohttp.ClientConnectorSSLError(os_error=ssl.SSLError(reason=reason)) if (
            reason in _PLAIN
        ):
            return PlainServerError(
                f"{exc.host}:{exc.port} speaks no TLS on this port; correct the host and port of"
                " --base-url (http is for loopback addresses only)"
            )
        case aiohttp.ClientHttpProxyError(status=407):
            return ProxyRefusedError(_PROXY_REFUSED)
        case _:
            return None


def _lost(exc: Exception, words: str, redact: Callable[[str], str]) -> str:
    match exc:
        case aiohttp.ClientHttpProxyError():
            message = sanitize(redact(exc.message))
            return f"the proxy refused: {exc.status} {message}".rstrip()
        case aiohttp.ClientResponseError():
            # aiohttp shows its verdict on what came in as a status of 400; the service sent none.
            return f"the answer is not valid HTTP: {sanitize(redact(exc.message))}"
        case _:
            return words or "the service closed the connection"


def refusal(
    status: int,
    reason: str | None,
    headers: Mapping[str, str],
    page: bytes,
    redact: Callable[[str], str],
) -> JobError:
    """
    Return the error that an answer without a result is, without what *redact* removes.

    *page* is the beginning of its body.
    """
    meaning = meaning_of(status)
    if meaning is StatusMeaning.REDIRECT:
        # Its query may repeat ours, or worse.
        target = headers.get("Location", "nowhere").partition("?")[0]
        target = sanitize(redact(target), 200)
        return RedirectedError(
            f"the service redirects to {target}; redirects are not followed: if that is where it"
            " is, give it as --base-url"
        )
    words = sanitize(redact(words_of(page)), 200)
    phrase = sanitize(redact(reason or ""), 100)
    detail = f"the service answered {status} {phrase}".rstrip()
    if words:
        detail += f": {words}"
    if (hint := _HINTS.get(status)) is not None:
        detail += f"; {hint}"
    return StatusError(status, detail, seconds_to_wait(headers.get("Retry-After")))


_HINTS = {
    402: "the calls that the plan includes may be used up: see the account at the service",
    403: "the account may not include this endpoint, or no more calls: see it at the service",
    404: (
        "the endpoint may have been retired: its replacement is --endpoint deskew, dewarp, upscale"
        " or binarize; or --base-url ends with a part of the endpoint's path: leave out /v5.0/ocr"
    ),
    501: "the server at --base-url does not offer this endpoint",
}


def words_of(page: bytes) -> str:
    """
    Return what an error page says in a sentence: see `words_in`, or a line of text.
    """
    try:
        problem = from_json(page)
    except ValueError:  # Also for what nests too deep.
        text = page.decode("utf-8", "replace").strip()
        return "" if text.startswith("<") else text
    return words_in(problem) if isinstance(problem, dict) else ""


def words_in(problem: Mapping[str, object]) -> str:
    """
    Return the sentence in a JSON object about an error: error code and description, or a title.

    Source: RFC 6749, section 5.2 (`error`, `error_description`), and RFC 7807 (problem details).
    """
    code, description = problem.get("error"), problem.get("error_description")
    if isinstance(code, str):
        return ": ".join(word for word in (code, description) if word and isinstance(word, str))
    return str(problem.get("detail") or problem.get("title") or "")


def seconds_to_wait(value: str | None) -> float | None:
    """
    Return the seconds that a `Retry-After` asks for, at least one; None if it names no wait.

    It is in seconds or a date; one that is neither, zero or past counts as not given.
    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        seconds = float(value)
    else:
        try:
            date = parsedate_to_datetime(value)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):  # TypeError: a date without its zone.
            return None
    return max(seconds, 1.0) if seconds > 0 else None
