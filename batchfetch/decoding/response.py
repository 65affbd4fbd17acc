"""
Decoders of response bodies: one for JSON with a base64 image, one for a plain image file.
"""

from batchfetch.decoding.envelope import parse_envelope
from batchfetch.decoding.scanner import JsonScanner
from batchfetch.errors import MalformedBodyError, NoDataError, WrongTaskError
from batchfetch.models import Answer, TaskStatus
from batchfetch.text import sanitize


class ResultDecoder:
    """
    Decodes the JSON response for *task_id*, fed in pieces of any size.
    """

    encoded = True
    """Whether the pieces that `feed` returns are base64."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._scanner = JsonScanner()

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return the pieces of the image's base64 in *chunk*, usually none or one.

        A piece may be a view of *chunk*.

        The rest of the answer is not known yet: keep the image only if `close` returns that the
        task is completed.

        Raises `MalformedBodyError`, `MalformedBase64Error` or `TooLargeError`.
        """
        return self._scanner.feed(chunk)

    def close(self) -> Answer:
        """
        Declare the end of the body and return the answer around the image.

        A completed task has an image, unless the answer's `response_status_code` is
        `RESULT_DATA_LOST`; then it has one if `feed` returned a piece.

        Raises `TruncatedBodyError`, `MalformedBodyError`, `WrongTaskError` or `NoDataError`.
        """
        envelope = parse_envelope(self._scanner.close())
        if not envelope.is_about(self._task_id):
            raise WrongTaskError(f"the answer is for task {sanitize(str(envelope.id), 100)!r}")
        if not self._scanner.has_data and envelope.promises_image:
            raise NoDataError("the task is completed but the answer has no image")
        return envelope.to_answer()


class FileDecoder:
    """
    Decodes the response of an endpoint whose body is the image file itself.
    """

    encoded = False
    """Whether the pieces that `feed` returns are base64."""

    def __init__(self, _task_id: str) -> None:
        self._has_data = False

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return *chunk* itself: one piece, or none if it is empty.
        """
        if not chunk:
            return []
        self._has_data = True
        return [chunk]

    def close(self) -> Answer:
        """
        Declare the end of the body and return the answer: the task is completed.

        Raises `MalformedBodyError` if the body was empty.
        """
        if not self._has_data:
            raise MalformedBodyError("the body is empty")
        return Answer(TaskStatus.COMPLETED)
