"""
Hierarchy of the exceptions that batchfetch raises.

    BatchFetchError
    ├── SettingsError                  a setting, or a combination of two, is not valid
    ├── ManifestError                  the input cannot be read as a manifest
    ├── OutputLockedError              another run has locked the output or the report
    ├── CredentialsError               the credentials are refused, or there is no token
    ├── StorageError                   the storage failed: full, read-only or removed
    │   └── ReportError                the report cannot be read or written
    ├── UnavailableError               the service gives no answer that could be used
    │   ├── UnreachableError           it could not be reached, or only failed, for too long
    │   └── TurnedAwayError            it turns every request away
    └── JobError                       one request failed; the batch goes on
        ├── TransportError             no usable response was received
        │   ├── ConnectionLostError
        │   │   └── StaleConnectionError
        │   ├── StalledError
        │   ├── StatusError
        │   ├── RedirectedError
        │   └── BlockedError           nothing gets through until a setting is changed
        │       ├── UntrustedServerError
        │       ├── PlainServerError
        │       └── ProxyRefusedError
        ├── DecodeError                the body is not a valid response
        │   ├── TruncatedBodyError
        │   ├── MalformedBodyError
        │   ├── MalformedBase64Error
        │   ├── NotPngError
        │   ├── CorruptPngError
        │   ├── TooLargeError
        │   ├── WrongTaskError
        │   └── NoDataError
        ├── OutOfDescriptorsError      the process cannot open more files or connections
        └── UnsafeNameError            the image's path is not a regular file in the output

A `JobError` ends one request; every other error ends the batch.  The attribute `transient` of a
`JobError` tells whether repeating the request may succeed.
"""

from collections.abc import Sequence

from batchfetch.statuses import TRANSIENT, meaning_of


class BatchFetchError(Exception):
    """
    Base class of the exceptions that batchfetch raises.
    """


class SettingsError(BatchFetchError):
    """
    A setting, or a combination of two, is not valid.  No request was made.
    """

    def __init__(self, detail: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.problems = problems
        """For each problem the setting's name, empty for a combination, and a description."""


class ManifestError(BatchFetchError):
    """
    The input cannot be read as a manifest, or not to its end.
    """


class OutputLockedError(BatchFetchError):
    """
    Another run has locked the output or the report.
    """


class CredentialsError(BatchFetchError):
    """
    The service refuses the credentials, or no access token can be obtained.
    """


class StorageError(BatchFetchError):
    """
    The storage failed: it is full, read-only or no longer there.
    """


class ReportError(StorageError):
    """
    The report cannot be read or written; the batch stops so that no outcome goes unrecorded.
    """

    written: int = 0
    """Of the outcomes that a failed write was given, how many are in the report all the same."""


class UnavailableError(BatchFetchError):
    """
    The service gives no answer that could be used, for a reason that is neither the credentials nor
    the task.  The run ends, and tasks are left.
    """

    stopped_by: str = "unreachable"
    """What the summary says of a run that ended with this error."""


class UnreachableError(UnavailableError):
    """
    The service could not be reached, or answered nothing but failures, for too long.
    """


class TurnedAwayError(UnavailableError):
    """
    The service turns every request away for a reason that is not the task.
    """

    stopped_by = "refusals"


class JobError(BatchFetchError):
    """
    One request of one job failed.  The poller repeats the request or makes the error an outcome.
    """

    reason: str = "bad_response"
    """Stable code of the error in the report."""

    transient: bool = False
    """Whether repeating the request may succeed."""


class TransportError(JobError):
    """
    No usable response was received.
    """

    reason = "connection"
    transient = True


class ConnectionLostError(TransportError):
    """
    The connection was refused or reset, or ended in the middle of the response.
    """


class StaleConnectionError(ConnectionLostError):
    """
    A connection kept open from an earlier request was closed before the response to this one.
    """


class StalledError(TransportError):
    """
    No data, or almost none, was received for too long.
    """

    reason = "timeout"


class StatusError(TransportError):
    """
    The HTTP status of the response is not one that has a result.
    """

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.meaning = meaning_of(status)
        self.reason = f"http_{status}"
        self.transient = self.meaning in TRANSIENT
        # A wait of no time, or of less, is none: taken at its word it would be asked again at once.
        self.retry_after = retry_after if retry_after is not None and retry_after > 0 else None
        """Seconds of the response's Retry-After header, if it has one that is a wait."""


class RedirectedError(TransportError):
    """
    The response is a redirect; it is not followed, because that would disclose the token.
    """

    reason = "redirect"
    transient = False


class BlockedError(TransportError):
    """
    No request gets through to the service until a setting is changed, here or at the proxy.
    """

    transient = False


class UntrustedServerError(BlockedError):
    """
    The server's certificate is not trusted.
    """


class PlainServerError(BlockedError):
    """
    The server does not use TLS on this port.
    """


class ProxyRefusedError(BlockedError):
    """
    The proxy asks for credentials that it was not given, or refuses those that it was given.
    """


class DecodeError(JobError):
    """
    The body is not a valid response.
    """

    transient = True


class TruncatedBodyError(DecodeError):
    """
    The body is incomplete.
    """

    reason = "connection"


class MalformedBodyError(DecodeError):
    """
    The body is not the documented JSON.
    """

    reason = "bad_response"


class MalformedBase64Error(DecodeError):
    """
    The image data is not valid base64.
    """

    reason = "bad_base64"


class NotPngError(DecodeError):
    """
    The image does not begin with the PNG signature.
    """

    reason = "not_png"


class CorruptPngError(DecodeError):
    """
    The image begins with the PNG signature but is not a valid PNG.
    """

    reason = "corrupt_png"


class TooLargeError(DecodeError):
    """
    The response is larger than allowed; the rest of it was not read.
    """

    reason = "too_large"
    transient = False


class WrongTaskError(DecodeError):
    """
    The response is for another task.  The request is repeated once, on a new connection.
    """

    reason = "wrong_id"
    transient = False


class NoDataError(DecodeError):
    """
    The task is completed but the response has no image.
    """

    reason = "no_data"
    transient = False


class OutOfDescriptorsError(JobError):
    """
    The process cannot open more files or connections; fewer requests must be in flight.
    """

    reason = "connection"
    transient = True


class UnsafeNameError(JobError):
    """
    The image's path is not a regular file in the output but a symbolic link or a folder.
    """

    reason = "bad_name"
