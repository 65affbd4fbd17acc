"""
Exit codes of the command, and the rules that choose one for a run.
"""

from enum import IntEnum

from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    OutputLockedError,
    SettingsError,
    StorageError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """
    An exit code of the command; the manual's page on exit codes documents each.
    """

    COMPLETED = 0
    DEFECT = 1
    UNUSABLE = 2
    INCOMPLETE = 3
    LIMIT = 4
    CREDENTIALS = 5
    STORAGE = 6
    LOCKED = 7
    UNAVAILABLE = 8
    SIGINT = 130
    SIGTERM = 143


# If there are several failures, the first class in this order decides.
_FAILURES: dict[type[BatchFetchError], ExitCode] = {
    CredentialsError: ExitCode.CREDENTIALS,
    StorageError: ExitCode.STORAGE,
    UnavailableError: ExitCode.UNAVAILABLE,
    ManifestError: ExitCode.UNUSABLE,
    SettingsError: ExitCode.UNUSABLE,
    OutputLockedError: ExitCode.LOCKED,
}
_SIGNALS = {"SIGINT": ExitCode.SIGINT, "SIGTERM": ExitCode.SIGTERM}


def gravity(failure: BatchFetchError) -> int:
    """
    Return the rank of *failure* among the errors that end a run; 0 is the gravest.
    """
    for rank, kind in enumerate(_FAILURES):
        if isinstance(failure, kind):
            return rank
    return len(_FAILURES)


def code_of_failure(failure: BatchFetchError) -> ExitCode:
    """
    Return the code of *failure*.

    Raises *failure* itself if it is not an error that ends a run: that is a defect.
    """
    for kind, code in _FAILURES.items():
        if isinstance(failure, kind):
            return code
    raise failure


def code_of_run(failure: BatchFetchError | None, stopped_by: str | None, *, done: bool) -> ExitCode:
    """
    Return the code of a run; if several apply, the gravest.

    *stopped_by* is a signal's name, or the limit that ended the run, or None.  *done* says whether
    every task of the manifest is decided, and none ended in an outcome that counts as a failure.
    """
    if isinstance(failure, CredentialsError | StorageError | UnavailableError):
        return code_of_failure(failure)
    if stopped_by in _SIGNALS:
        return _SIGNALS[stopped_by]
    if failure is not None:
        return code_of_failure(failure)
    if stopped_by is not None:
        return ExitCode.LIMIT
    return ExitCode.COMPLETED if done else ExitCode.INCOMPLETE
