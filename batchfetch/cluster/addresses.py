"""
Addresses of clusters: which there are, and which are safe.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from batchfetch.errors import SettingsError
from batchfetch.setting_values import is_loopback
from batchfetch.text import needs_extra

_FORMS = "local:N, tcp://HOST:PORT, tls://HOST:PORT, or the path of a scheduler file"

_LOCAL = re.compile(r"local:([1-9]\d{0,3})")


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where a cluster is.
    """

    processes: int | None
    """How many to start on this machine, if it is not running yet."""

    url: str | None = None
    """Of the scheduler of one that is."""

    insecure: bool = False
    """Whether tokens may pass a network without encryption."""


def require_address(text: str, *, insecure: bool) -> Address:
    """
    Return the address that *text* is: `local:N`, a URL, or the path of a scheduler file.

    One that would show tokens to a network is refused unless *insecure*.  Raises `SettingsError`.
    """
    if not _is_installed("distributed"):
        raise SettingsError(needs_extra(f"--cluster {text}", "dask"))
    if found := _LOCAL.fullmatch(text):
        return Address(int(found[1]))
    if text.startswith("local:"):
        raise SettingsError(
            f"--cluster {text} has no number of processes from 1 to 9999 behind local:; give"
            f" {_FORMS}"
        )
    url = text if "://" in text else _scheduler_in(text)
    _require_safe(text, url, insecure=insecure)
    return Address(None, url, insecure)


def is_safe(url: str) -> bool:
    """
    Whether what is sent to *url* is encrypted or stays on this machine.
    """
    return url.startswith("tls://") or is_loopback(urlsplit(url).hostname or "")


def unsafe_worker(url: str) -> str:
    """
    Return what to say of a worker at *url*, which is not safe.
    """
    return (
        f"the worker at {url} would be sent the token without encryption; start scheduler and"
        " workers with certificates (tls://), or add --insecure-cluster if that network is yours"
        " alone"
    )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # It was kept from being imported.
        return False


def _scheduler_in(path: str) -> str:
    try:
        url = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))["address"]
    except OSError as exc:
        raise SettingsError(f"--cluster {path}: {exc.strerror or exc}; give {_FORMS}") from None
    except (ValueError, KeyError, TypeError):
        raise SettingsError(
            f"--cluster {path} is no scheduler file; make one with"
            " dask scheduler --scheduler-file FILE"
        ) from None
    return str(url)


def _require_safe(text: str, url: str, *, insecure: bool) -> None:
    scheme, host, port = url.partition("://")[0], None, None
    with suppress(ValueError):
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    if scheme not in {"tcp", "tls"} or not host or not port:
        raise SettingsError(f"--cluster {text} is not the address of a scheduler; give {_FORMS}")
    if not (insecure or is_safe(url)):
        raise SettingsError(
            f"--cluster {text} would show the token to the network, and let anybody there run code"
            f" in your name; use tls://{host}:{port}, or add --insecure-cluster if that network is"
            " yours alone"
        )
