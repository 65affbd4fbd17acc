"""
Read values of settings as people write them: durations, sizes, rates, outcomes and paths.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from batchfetch.models import OutcomeStatus
from batchfetch.paths import expand_home, is_store
from batchfetch.setting_errors import shown
from batchfetch.sharding import Shard

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|m|h))?", re.IGNORECASE)
_SHARD = re.compile(r"(\d{1,5})\s*/\s*(\d{1,5})", re.ASCII)

STORES = frozenset({"s3", "az", "gs"})
"""Schemes of the URLs that an output may have."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# What `Path` makes of a URL.
_URL_AS_PATH = re.compile(rf"(?:{'|'.join(sorted(STORES))}):/")


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


def parse_shard(shard: object) -> Shard:
    """
    Return the part that a text like `3/8` names; leave alone what is a `Shard`.
    """
    if isinstance(shard, Shard):
        index, count = shard.index, shard.count
    elif isinstance(shard, str) and (match := _SHARD.fullmatch(shard.strip())):
        index, count = int(match[1]), int(match[2])
    else:
        raise ValueError(f"{shown(shard)} is not a valid shard; use I/N, such as 1/8")
    if not 1 <= index <= count:
        raise ValueError(
            f"'{index}/{count}' is not a valid shard; parts are counted from 1 to N: 1/8 to 8/8"
        )
    return Shard(index, count)


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
    if is_store(path):
        raise ValueError("is the URL of a store; give a file of this machine")
    return expand_home(path) if isinstance(path, str | Path) else path


def parse_output(output: object) -> object:
    """
    Return *output* with its `~` expanded, or the URL of a store without slashes at its end; leave
    alone what is neither.
    """
    if isinstance(output, Path) and (found := _URL_AS_PATH.match(str(output))):
        raise ValueError(f"{found[0]}/… was given as a path; give a URL as text")
    if not isinstance(output, str) or not (found := _URL.match(output)):
        folder = parse_path(output)
        return Path(folder) if isinstance(folder, str) else folder
    if found[1].lower() not in STORES:
        raise ValueError(
            f"{shown(found[0])} is not the beginning of a store's URL; use s3://, az:// or gs://,"
            " or ./ before a folder of that name"
        )
    bucket, slash, prefix = output[found.end() :].rstrip("/").partition("/")
    if "@" in bucket:
        raise ValueError("holds credentials; give them in the store's own variables instead")
    if not bucket:
        raise ValueError("names no bucket; use s3://BUCKET/PREFIX")
    if slash and any(part in {"", ".", ".."} for part in prefix.split("/")):
        raise ValueError("has an empty, a . or a .. part, which a key of a store cannot have")
    return f"{found[0].lower()}{bucket}{slash}{prefix}"


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


def checked_base_url(url: str) -> str:
    """
    Return *url*, a service's root, without a slash at its end.

    Raises `ValueError` with a few words if it is none that a token could be sent to.
    """
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
        raise ValueError("has a query or a fragment; leave out all from the ? or # on")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            "is plain http, which would show the token to the network; use https://, or a"
            " loopback address"
        )
    return url.rstrip("/")


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


# `allow_inf_nan` is off because "never" is written by leaving the option out.
BaseUrl = Annotated[str, AfterValidator(checked_base_url)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Rate = Annotated[float, BeforeValidator(parse_rate), Field(gt=0, allow_inf_nan=False)]
Outcomes = Annotated[frozenset[OutcomeStatus], BeforeValidator(_split_outcomes)]
ChosenOutcomes = Annotated[frozenset[OutcomeStatus], BeforeValidator(parse_chosen)]
ShardOf = Annotated[Shard, BeforeValidator(parse_shard), PlainSerializer(str)]
FilePath = Annotated[Path, BeforeValidator(parse_path)]
Output = Annotated[Path | str, BeforeValidator(parse_output)]
Failures = Annotated[frozenset[OutcomeStatus], BeforeValidator(parse_failures)]
