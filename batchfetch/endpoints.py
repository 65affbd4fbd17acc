"""
URL paths of the service's endpoints, and their short names.

Source: the service's API reference, and its release notes 23.5.0, which deprecate `task` and `file`
and name their replacements.
"""

from collections.abc import Mapping
from types import MappingProxyType

TOKEN_PATH = "/connect/token"  # noqa: S105 - an address, not a secret

ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "task": "/v5.0/ocr/ImageProcessing/GetResultTask",
        "file": "/v5.0/ocr/ImageProcessing/GetResultFile",
        "deskew": "/v5.0/ocr/DeskewImage",
        "dewarp": "/v5.0/ocr/DewarpImage",
        "upscale": "/v5.0/ocr/UpscaleImage",
        "binarize": "/v5.0/ocr/BinarizeImage",
    }
)

_MAX_PATH = 1000
_MAX_SHOWN = 80


def endpoint_path(endpoint: str) -> str:
    """
    Return the URL path below the service's root for *endpoint*, a short name or a path.

    Raises `ValueError` with a message for the user if it is neither.
    """
    if endpoint in ENDPOINTS:
        return ENDPOINTS[endpoint]
    if not endpoint.startswith("/"):
        names = ", ".join(ENDPOINTS)
        raise ValueError(
            f"{_shown(endpoint)} is not a valid endpoint; use {names} or a path beginning with /"
        )
    plain = endpoint.isascii() and endpoint.isprintable() and len(endpoint) <= _MAX_PATH
    if not plain or any(character in endpoint for character in " ?#\\"):
        raise ValueError(
            f"{_shown(endpoint)} is not a valid path; use at most {_MAX_PATH} printable ASCII "
            "characters without blanks, ?, # and backslashes"
        )
    return endpoint


def _shown(endpoint: str) -> str:
    return repr(endpoint if len(endpoint) <= _MAX_SHOWN else f"{endpoint[:_MAX_SHOWN]}…")
