"""
What a process is to exit with, in one place: the command's contract with its scripts.
"""

from enum import IntEnum

from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    OutputLockedError,
    SettingsError,
    StorageError,
)


class ExitCode(IntEnum):
    """
    How a run of the command ended.
    """

    COMPLETED = 0
    DEFECT = 1
    UNUSABLE = 2
    INCOMPLETE = 3
    LIMIT = 4
    CREDENTIALS = 5
    STORAGE = 6
    LOCKED = 7
    SIGINT = 130
    SIGTERM = 143


# Of several failures the first of these counts.
_FAILURES: dict[type[BatchFetchError], ExitCode] = {
    CredentialsError: ExitCode.CREDENTIALS,
    StorageError: ExitCode.STORAGE,
    ManifestError: ExitCode.UNUSABLE,
    SettingsError: ExitCode.UNUSABLE,
    OutputLockedError: ExitCode.LOCKED,
}
_SIGNALS = {"SIGINT": ExitCode.SIGINT, "SIGTERM": ExitCode.SIGTERM}


def gravity(failure: BatchFetchError) -> int:
    """
    Return the place of *failure* among those that end a run, the gravest first.
    """
    for place, kind in enumerate(_FAILURES):
        if isinstance(failure, kind):
            return place
    return len(_FAILURES)


def code_of_failure(failure: BatchFetchError) -> ExitCode:
    """
    Return the code of *failure*; raise it again if no caller should ever have seen it.
    """
    for kind, code in _FAILURES.items():
        if isinstance(failure, kind):
            return code
    raise failure


def code_of_run(failure: BatchFetchError | None, stopped_by: str | None, *, done: bool) -> ExitCode:
    """
    Return the code of a run; when several hold, the gravest.

    *done* says whether every task of the manifest is Completed.
    """
    if isinstance(failure, CredentialsError | StorageError):
        return code_of_failure(failure)
    if stopped_by in _SIGNALS:
        return _SIGNALS[stopped_by]
    if failure is not None:
        return code_of_failure(failure)
    if stopped_by is not None:
        return ExitCode.LIMIT
    return ExitCode.COMPLETED if done else ExitCode.INCOMPLETE
