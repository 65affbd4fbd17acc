"""
batchfetch: many task ids in, checked images and a report out.

What is listed in `__all__` is public; everything else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchfetch.errors import (
        BatchFetchError,
        CredentialsError,
        ManifestError,
        OutputLockedError,
        ReportError,
        SettingsError,
        StorageError,
    )
    from batchfetch.manifest import Manifest, ManifestFormat
    from batchfetch.models import BadRow, Job, Outcome, OutcomeStatus
    from batchfetch.run.api import fetch, open_batch
    from batchfetch.run.batch import Batch
    from batchfetch.run.plan import Plan, plan
    from batchfetch.run.summary import Progress, Summary
    from batchfetch.service import Credentials
    from batchfetch.settings import Checksum, Durability, Polling, Settings
    from batchfetch.version import __version__

# Imported when first used: `batchfetch --help` needs none of it, and aiohttp alone takes longer to
# import than the help takes to be printed.
_HOMES = {
    "BadRow": "models",
    "Batch": "run.batch",
    "BatchFetchError": "errors",
    "Checksum": "settings",
    "Credentials": "service",
    "CredentialsError": "errors",
    "Durability": "settings",
    "Job": "models",
    "Manifest": "manifest",
    "ManifestError": "errors",
    "ManifestFormat": "manifest",
    "Outcome": "models",
    "OutcomeStatus": "models",
    "OutputLockedError": "errors",
    "Plan": "run.plan",
    "Polling": "settings",
    "Progress": "run.summary",
    "ReportError": "errors",
    "Settings": "settings",
    "SettingsError": "errors",
    "StorageError": "errors",
    "Summary": "run.summary",
    "__version__": "version",
    "fetch": "run.api",
    "open_batch": "run.api",
    "plan": "run.plan",
}

__all__ = [
    "BadRow",
    "Batch",
    "BatchFetchError",
    "Checksum",
    "Credentials",
    "CredentialsError",
    "Durability",
    "Job",
    "Manifest",
    "ManifestError",
    "ManifestFormat",
    "Outcome",
    "OutcomeStatus",
    "OutputLockedError",
    "Plan",
    "Polling",
    "Progress",
    "ReportError",
    "Settings",
    "SettingsError",
    "StorageError",
    "Summary",
    "__version__",
    "fetch",
    "open_batch",
    "plan",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
