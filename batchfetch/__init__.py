"""
batchfetch: many task ids in, checked images and a report out.

What is listed in `__all__` is public; everything else may change.
"""

from importlib import import_module

# What type checkers take for true.  Importing it from `typing` takes as long as all that comes
# before the command can be quiet about an interrupt.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from batchfetch.cluster import on_cluster
    from batchfetch.errors import (
        BatchFetchError,
        CredentialsError,
        JobError,
        ManifestError,
        OutOfDescriptorsError,
        OutputLockedError,
        ReportError,
        SettingsError,
        StaleConnectionError,
        StatusError,
        StorageError,
        TransportError,
        UnavailableError,
        UnsafeNameError,
    )
    from batchfetch.exit_codes import ExitCode
    from batchfetch.hooks import (
        Answered,
        Asked,
        Event,
        Held,
        Hook,
        Paused,
        ProgressHook,
        Resumed,
        Settled,
        Tally,
    )
    from batchfetch.manifest import Manifest, ManifestFormat
    from batchfetch.models import BadRow, Job, Outcome, OutcomeStatus
    from batchfetch.report import read_report
    from batchfetch.run.api import fetch, open_batch
    from batchfetch.run.batch import Batch
    from batchfetch.run.client import Client, open_client
    from batchfetch.run.intake import Row
    from batchfetch.run.plan import Plan, plan
    from batchfetch.run.summary import Progress, Summary
    from batchfetch.sandbox import InjectedFault, Sandbox, SandboxSettings, open_sandbox
    from batchfetch.scheduling import Pace, RetryPolicy
    from batchfetch.service import (
        Body,
        Credentials,
        RequestBody,
        Submitter,
        TokenSource,
        Transport,
        find_credentials,
    )
    from batchfetch.settings import Checksum, Durability, Polling, Settings, SettingsOptions
    from batchfetch.sharding import Shard
    from batchfetch.statuses import StatusMeaning
    from batchfetch.storage import Found, Storage, Target
    from batchfetch.submission.api import open_submission, submit
    from batchfetch.submission.lines import SubmitResult
    from batchfetch.submission.plan import SubmitPlan, plan_submission
    from batchfetch.submission.submission import Submission
    from batchfetch.submission.summary import SubmitProgress, SubmitSummary
    from batchfetch.submit_settings import (
        SubmitEndpoint,
        SubmitOptions,
        SubmitSettings,
        SubmitStatus,
    )
    from batchfetch.version import __version__

# Imported when first used: `batchfetch --help` needs none of it, and aiohttp alone takes longer to
# import than the help takes to be printed.
_HOMES = {
    "Answered": "hooks",
    "Asked": "hooks",
    "BadRow": "models",
    "Batch": "run.batch",
    "BatchFetchError": "errors",
    "Body": "service",
    "Checksum": "settings",
    "Client": "run.client",
    "Credentials": "service",
    "CredentialsError": "errors",
    "Durability": "settings",
    "Event": "hooks",
    "ExitCode": "exit_codes",
    "Found": "storage",
    "Held": "hooks",
    "Hook": "hooks",
    "InjectedFault": "sandbox",
    "Job": "models",
    "JobError": "errors",
    "Manifest": "manifest",
    "ManifestError": "errors",
    "ManifestFormat": "manifest",
    "OutOfDescriptorsError": "errors",
    "Outcome": "models",
    "OutcomeStatus": "models",
    "OutputLockedError": "errors",
    "Pace": "scheduling",
    "Paused": "hooks",
    "Plan": "run.plan",
    "Polling": "settings",
    "Progress": "run.summary",
    "ProgressHook": "hooks",
    "ReportError": "errors",
    "RequestBody": "service",
    "Resumed": "hooks",
    "RetryPolicy": "scheduling",
    "Row": "run.intake",
    "Sandbox": "sandbox",
    "SandboxSettings": "sandbox",
    "Settings": "settings",
    "SettingsError": "errors",
    "SettingsOptions": "settings",
    "Settled": "hooks",
    "Shard": "sharding",
    "StaleConnectionError": "errors",
    "StatusError": "errors",
    "StatusMeaning": "statuses",
    "Storage": "storage",
    "StorageError": "errors",
    "Submission": "submission.submission",
    "SubmitEndpoint": "submit_settings",
    "SubmitOptions": "submit_settings",
    "SubmitPlan": "submission.plan",
    "SubmitProgress": "submission.summary",
    "SubmitResult": "submission.lines",
    "SubmitSettings": "submit_settings",
    "SubmitStatus": "submit_settings",
    "SubmitSummary": "submission.summary",
    "Submitter": "service",
    "Summary": "run.summary",
    "Tally": "hooks",
    "Target": "storage",
    "TokenSource": "service",
    "Transport": "service",
    "TransportError": "errors",
    "UnavailableError": "errors",
    "UnsafeNameError": "errors",
    "__version__": "version",
    "fetch": "run.api",
    "find_credentials": "service",
    "open_batch": "run.api",
    "on_cluster": "cluster",
    "open_client": "run.client",
    "open_sandbox": "sandbox",
    "open_submission": "submission.api",
    "plan": "run.plan",
    "plan_submission": "submission.plan",
    "read_report": "report",
    "submit": "submission.api",
}

__all__ = [
    "Answered",
    "Asked",
    "BadRow",
    "Batch",
    "BatchFetchError",
    "Body",
    "Checksum",
    "Client",
    "Credentials",
    "CredentialsError",
    "Durability",
    "Event",
    "ExitCode",
    "Found",
    "Held",
    "Hook",
    "InjectedFault",
    "Job",
    "JobError",
    "Manifest",
    "ManifestError",
    "ManifestFormat",
    "OutOfDescriptorsError",
    "Outcome",
    "OutcomeStatus",
    "OutputLockedError",
    "Pace",
    "Paused",
    "Plan",
    "Polling",
    "Progress",
    "ProgressHook",
    "ReportError",
    "RequestBody",
    "Resumed",
    "RetryPolicy",
    "Row",
    "Sandbox",
    "SandboxSettings",
    "Settings",
    "SettingsError",
    "SettingsOptions",
    "Settled",
    "Shard",
    "StaleConnectionError",
    "StatusError",
    "StatusMeaning",
    "Storage",
    "StorageError",
    "Submission",
    "SubmitEndpoint",
    "SubmitOptions",
    "SubmitPlan",
    "SubmitProgress",
    "SubmitResult",
    "SubmitSettings",
    "SubmitStatus",
    "SubmitSummary",
    "Submitter",
    "Summary",
    "Tally",
    "Target",
    "TokenSource",
    "Transport",
    "TransportError",
    "UnavailableError",
    "UnsafeNameError",
    "__version__",
    "fetch",
    "find_credentials",
    "on_cluster",
    "open_batch",
    "open_client",
    "open_sandbox",
    "open_submission",
    "plan",
    "plan_submission",
    "read_report",
    "submit",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
