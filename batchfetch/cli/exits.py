"""
Exit codes of errors.  Those of finished and stopped runs come from the library's summary.
"""

from batchfetch.errors import (
    BatchFetchError,
    CredentialsError,
    ManifestError,
    OutputLockedError,
    SettingsError,
    StorageError,
)

UNUSABLE = 2
SOME_NOT_COMPLETED = 3
INTERRUPTED = 130

_CODES: dict[type[BatchFetchError], int] = {
    SettingsError: UNUSABLE,
    ManifestError: UNUSABLE,
    CredentialsError: 5,
    StorageError: 6,
    OutputLockedError: 7,
}


def exit_code(error: BatchFetchError) -> int:
    """
    Return what a job is told of *error*; raise it again if no caller should ever have seen it.
    """
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    raise error
