"""
Everything batchfetch raises on purpose.

    BatchFetchError
    ├── SettingsError                  a setting, or a pair of them, makes no sense
    ├── ManifestError                  the input is no manifest at all
    ├── OutputLockedError              another run holds the output or the report
    ├── CredentialsError               the service refuses us, or gives no token
    ├── StorageError                   the disk: full, read-only, gone
    │   └── ReportError                an outcome could not be recorded
    └── JobError                       one question went wrong; the batch goes on
        ├── TransportError             no usable answer came back
        │   ├── ConnectionLostError
        │   │   └── StaleConnectionError
        │   ├── StalledError
        │   ├── StatusError
        │   ├── RedirectedError
        │   └── UntrustedServerError
        ├── DecodeError                the body is not what was promised
        │   ├── TruncatedBodyError
        │   ├── MalformedBodyError
        │   ├── MalformedBase64Error
        │   ├── NotPngError
        │   ├── CorruptPngError
        │   ├── TooLargeError
        │   ├── WrongTaskError
        │   └── NoDataError
        ├── OutOfDescriptorsError      this machine gives no more files or connections
        └── UnsafeNameError            the image's place is not a plain file inside the output

The first fork is the one that matters: a `JobError` ends a question, everything else ends the
batch.  The second is a property of the error: *transient* says whether asking again may help.
"""

from collections.abc import Sequence

from batchfetch.statuses import TRANSIENT, meaning_of


class BatchFetchError(Exception):
    """
    Anything batchfetch raises on purpose.
    """


class SettingsError(BatchFetchError):
    """
    A setting, or a pair of them, makes no sense.  Nothing was asked.
    """

    def __init__(self, detail: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.problems = problems
        """What is wrong with each setting: its name (or nothing, for a pair), and a few words."""


class ManifestError(BatchFetchError):
    """
    The input cannot be read as a manifest at all.  Nothing was asked.
    """


class OutputLockedError(BatchFetchError):
    """
    Another run holds the output folder or the report.
    """


class CredentialsError(BatchFetchError):
    """
    The service refuses the credentials, or a token can be had no longer.
    """


class StorageError(BatchFetchError):
    """
    The disk cannot take what it is given: full, read-only, gone.
    """


class ReportError(StorageError):
    """
    The report cannot be read or written, so no outcome may be lost to it: the batch stops.
    """


class JobError(BatchFetchError):
    """
    One question about one job went wrong.  The poller turns it into an outcome or asks again.
    """

    reason: str = "bad_response"
    """The report's stable code for it."""

    transient: bool = False
    """Whether asking again may succeed."""


class TransportError(JobError):
    """
    No usable answer came back.
    """

    reason = "connection"
    transient = True


class ConnectionLostError(TransportError):
    """
    The connection was refused, reset, or broke off in the middle of the answer.
    """


class StaleConnectionError(ConnectionLostError):
    """
    A connection kept from an earlier question was closed before it gave any answer to this one.
    """


class StalledError(TransportError):
    """
    Nothing, or next to nothing, arrived for too long.
    """

    reason = "timeout"


class StatusError(TransportError):
    """
    The answer's HTTP status is not one that carries a result.
    """

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.meaning = meaning_of(status)
        self.reason = f"http_{status}"
        self.transient = self.meaning in TRANSIENT
        self.retry_after = retry_after
        """Seconds the service asks everyone to wait, if it said so."""


class RedirectedError(TransportError):
    """
    The service points elsewhere; the token is not carried there.
    """

    reason = "redirect"
    transient = False


class UntrustedServerError(TransportError):
    """
    No secure connection can be made: the server's certificate is not trusted.
    """

    transient = False


class DecodeError(JobError):
    """
    The body is not what was promised.
    """

    transient = True


class TruncatedBodyError(DecodeError):
    """
    The body ended in the middle.
    """

    reason = "connection"


class MalformedBodyError(DecodeError):
    """
    The body is not the JSON that was promised.
    """

    reason = "bad_response"


class MalformedBase64Error(DecodeError):
    """
    The image's text is not base64 to the last character.
    """

    reason = "bad_base64"


class NotPngError(DecodeError):
    """
    The image does not begin like a PNG.
    """

    reason = "not_png"


class CorruptPngError(DecodeError):
    """
    The image begins like a PNG and is not sound.
    """

    reason = "corrupt_png"


class TooLargeError(DecodeError):
    """
    The answer is larger than allowed; the rest of it was not read.
    """

    reason = "too_large"
    transient = False


class WrongTaskError(DecodeError):
    """
    The answer is about another task.  It is asked once more, on a fresh connection.
    """

    reason = "wrong_id"
    transient = False


class NoDataError(DecodeError):
    """
    The task is completed and the answer holds no image.
    """

    reason = "no_data"
    transient = False


class OutOfDescriptorsError(JobError):
    """
    This machine gives no more files or connections: fewer must be in flight.
    """

    reason = "connection"
    transient = True


class UnsafeNameError(JobError):
    """
    The image's place is not a plain file inside the output: a symbolic link or a folder is there.
    """

    reason = "bad_name"
