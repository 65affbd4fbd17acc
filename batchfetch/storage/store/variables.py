"""
The variables by which a store is found: what is wrong with them is told before anything is asked.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from batchfetch.errors import SettingsError
from batchfetch.storage.store.errors import CREDENTIALS
from batchfetch.text import sanitize

if TYPE_CHECKING:
    from obstore.store import ClientConfig

# Where the names of each store's variables begin.
_PREFIXES = {"s3": "AWS_", "az": "AZURE_", "gs": "GOOGLE_"}

# Those about the client: obstore reads them from the environment only if no options are given.
_TEXT_OPTIONS = "timeout", "connect_timeout", "proxy_url", "proxy_excludes", "user_agent"
_SWITCHES = "allow_http", "allow_invalid_certificates"
_TRUE = {"1", "true", "yes", "on"}

# Of one request, its body included; a part or an image has 8 MiB at most.
_TIMEOUT = "60s"
_CONNECT_TIMEOUT = "5s"

# Those that hold the store's address.
_ADDRESS = re.compile(r"(AWS|AZURE_STORAGE|AZURE|GOOGLE)_(ENDPOINT(_URL)?(_S3)?|BASE_URL)")

# Any of these gives credentials for S3; a profile gives none that are read.
_S3_CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)

_MAX_SHOWN = 80


def require_settings(url: str, environment: Mapping[str, str]) -> None:
    """
    Refuse variables with which the store of *url* cannot be asked.  Raises `SettingsError`.
    """
    scheme = url.partition("://")[0]
    for name, address in environment.items():
        if name.startswith(_PREFIXES[scheme]) and _ADDRESS.fullmatch(name):
            _require_address(name, address, client_options(scheme, environment))
    if scheme == "s3" and not any(environment.get(name) for name in _S3_CREDENTIALS):
        _require_no_profile(environment)


def client_options(scheme: str, environment: Mapping[str, str]) -> "ClientConfig":
    """
    Return what *environment* says about connections to a store of *scheme*.
    """
    prefix = _PREFIXES[scheme]
    given = {
        name.removeprefix(prefix).lower(): text
        for name, text in environment.items()
        if name.startswith(prefix) and text
    }
    options: dict[str, object] = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT}
    options.update({name: given[name] for name in _TEXT_OPTIONS if name in given})
    options.update({name: given[name].lower() in _TRUE for name in _SWITCHES if name in given})
    return cast("ClientConfig", options)


def refused_settings(url: str, detail: str) -> SettingsError:
    """
    Return what it means that obstore refuses the settings of *url* with *detail*.
    """
    scheme = url.partition("://")[0]
    detail = sanitize(detail.split("\n", 1)[0], 4 * _MAX_SHOWN)
    if "parse" in detail or "client" in detail:
        return SettingsError(
            f"{url} cannot be used: {detail}; correct the variable of {_PREFIXES[scheme]}… that"
            " it is about, or unset it"
        )
    return SettingsError(
        f"{url} cannot be used: {detail}; {CREDENTIALS[scheme]}, or correct --output"
    )


def _require_address(name: str, address: str, options: "ClientConfig") -> None:
    if "@" in address:
        raise SettingsError(f"{name} holds credentials; give them in variables of their own")
    scheme = _scheme_of(address)
    if scheme is None:
        shown = repr(sanitize(address, _MAX_SHOWN))
        raise SettingsError(f"{name}={shown} is not a valid URL; use https://HOST[:PORT]")
    if scheme == "http" and not options.get("allow_http"):
        switch = f"{name.split('_', 1)[0]}_ALLOW_HTTP"
        raise SettingsError(
            f"{name} is plain http, which anyone on the way can read; use https, or set"
            f" {switch}=true"
        )


def _scheme_of(address: str) -> str | None:
    """
    Return the scheme of *address*; None if that is no URL that could be asked.
    """
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts.scheme if is_whole and parts.scheme in {"http", "https"} else None


def _require_no_profile(environment: Mapping[str, str]) -> None:
    """
    Refuse a profile that would be passed over in silence.
    """
    if environment.get("AWS_PROFILE"):
        raise SettingsError(
            "AWS_PROFILE is set, and profiles and SSO are not read for s3:// outputs; run"
            ' eval "$(aws configure export-credentials --format env)" first'
        )
