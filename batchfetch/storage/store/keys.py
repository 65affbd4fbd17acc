"""
Keys of a store: which names can be one, and what is written beside an object.
"""

import mimetypes
import re
from collections.abc import Mapping
from urllib.parse import quote

from batchfetch.errors import UnsafeNameError
from batchfetch.storage.claims import digest

OWN = ".batchfetch"
"""The folder below each prefix that is not for images."""

_OWNER = "taskid"  # No dash and no underscore: Azure refuses the one, some proxies drop the other.
_SHA256 = "sha256"

# Control characters, and halves of pairs, which have no UTF-8.
_IMPOSSIBLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

# Bytes of a key that stores allow, prefix included, and of a label that is surely allowed.
_MAX_KEY = 1024
_MAX_LABEL = 1000


def labels_of(name: str, owner: str | None, sha256: str | None = None) -> dict[str, str]:
    """
    Return what to note with the object *name*: its type, whose it is, and its digest.
    """
    kind, _ = mimetypes.guess_type(name)
    labels = {"Content-Type": kind or "application/octet-stream"}
    if owner is not None:
        labels[_OWNER] = _owner_label(owner)
    if sha256 is not None:
        labels[_SHA256] = sha256
    return labels


def is_label_of(labels: Mapping[str, str], owner: str) -> bool | None:
    """
    Whether *labels* say that an object is *owner*'s; None if they do not say whose it is.
    """
    label = labels.get(_OWNER)
    return None if label is None else label == _owner_label(owner)


def require_possible(name: str, prefix: str) -> None:
    """
    Raise `UnsafeNameError` if nothing can be put at *name* below *prefix*.
    """
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts) or _IMPOSSIBLE.search(name):
        raise UnsafeNameError(f"{name!a} cannot be a key of a store; use another name")
    # Also further below: there it is that of an output within this one.
    if any(part.lower() == OWN for part in parts):
        raise UnsafeNameError(f"{name} is below {OWN}, where runs keep their own; use another name")
    if len(prefix.encode()) + 1 + len(name.encode()) > _MAX_KEY:
        raise UnsafeNameError(f"{name} is longer than a key may be; use a shorter name")


def _owner_label(owner: str) -> str:
    # ASCII and no blanks at the ends, whatever an id is made of.
    label = quote(owner, safe="", errors="surrogatepass")
    return label if len(label) <= _MAX_LABEL else f"digest:{digest(owner)}"
