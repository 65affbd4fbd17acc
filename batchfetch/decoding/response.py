"""
A body in pieces → the image's text in pieces, and the answer around it.
"""

from batchfetch.decoding.envelope import parse_envelope
from batchfetch.decoding.scanner import JsonScanner
from batchfetch.errors import MalformedBodyError, NoDataError, WrongTaskError
from batchfetch.models import Answer, TaskStatus
from batchfetch.text import sanitize


class ResultDecoder:
    """
    Read the JSON that answers a question about *task_id*, fed in pieces of any size.
    """

    encoded = True
    """Whether the pieces handed out are base64."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._scanner = JsonScanner()

    def feed(
        self, chunk: bytes | bytearray, start: int = 0, end: int | None = None
    ) -> list[bytes | memoryview]:
        """
        Return what *chunk* holds of the image's base64; most often nothing or one piece.

        What counts of *chunk* is from *start* to *end*.  A piece may be a view of it, good for as
        long as *chunk* is left unchanged.

        Nothing is known yet of the answer around it: keep the image only if `close` says the task
        is completed.

        Raises `MalformedBodyError`, `MalformedBase64Error` or `TooLargeError`.
        """
        return self._scanner.feed(chunk, start, end)

    def close(self) -> Answer:
        """
        Declare the end of the body and return the answer around the image.

        A task that is completed has an image, or the answer's `response_status_code` is
        `RESULT_DATA_LOST`: then whether a piece was handed out tells.

        Raises `TruncatedBodyError`, `MalformedBodyError`, `WrongTaskError` or `NoDataError`.
        """
        envelope = parse_envelope(self._scanner.close())
        if not envelope.is_about(self._task_id):
            raise WrongTaskError(f"the answer is about task {sanitize(str(envelope.id), 100)!r}")
        if not self._scanner.has_data and envelope.promises_image:
            raise NoDataError("the task is completed and the answer holds no image")
        return envelope.to_answer()


class FileDecoder:
    """
    Read the answer of an endpoint that sends the image itself, with nothing around it.
    """

    encoded = False
    """Whether the pieces handed out are base64."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._has_data = False

    def feed(
        self, chunk: bytes | bytearray, start: int = 0, end: int | None = None
    ) -> list[bytes | memoryview]:
        """
        Return what *chunk* holds of the image: all of it, from *start* to *end*.

        The piece is a view of *chunk*, good for as long as *chunk* is left unchanged.
        """
        piece = memoryview(chunk)[start:end]
        if not piece:
            return []
        self._has_data = True
        return [piece]

    def close(self) -> Answer:
        """
        Declare the end of the body: the task is completed.

        Raises `MalformedBodyError` if the body was empty.
        """
        if not self._has_data:
            raise MalformedBodyError(f"the body is empty, for task {self._task_id}")
        return Answer(TaskStatus.COMPLETED)
