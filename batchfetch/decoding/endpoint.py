"""
What an endpoint answers with: where it is, how its body is read, what an empty answer means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from batchfetch.decoding.response import FileDecoder, ResultDecoder
from batchfetch.endpoints import ENDPOINTS, endpoint_path
from batchfetch.models import Answer, TaskStatus


class AnswerDecoder(Protocol):
    """
    Splits a body, fed in pieces of any size, into the image's text and the answer around it.
    """

    encoded: bool
    """Whether the pieces handed out are base64."""

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return what *chunk* holds of the image.  Raises `DecodeError`.
        """
        ...

    def close(self) -> Answer:
        """
        Declare the end of the body and return the answer.  Raises `DecodeError`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    An address that results are fetched from.
    """

    path: str
    """Below the service's root."""

    decoder: Callable[[str], AnswerDecoder]
    """Makes what reads the answer about a task, given the task's id."""

    empty_means: TaskStatus | None = None
    """What an answer without content (204) says of a task; None if it is an error."""


@lru_cache(maxsize=64)
def endpoint_of(name: str) -> Endpoint:
    """
    Return the endpoint that is called *name*, a short name or a path.

    Raises `ValueError` with a sentence for the user if it is neither.
    """
    path = endpoint_path(name)
    if path.lower() == ENDPOINTS["file"].lower():  # The service takes paths without regard to case.
        # Documented to mean "expired"; it may mean "not ready".
        return Endpoint(path, FileDecoder, empty_means=TaskStatus.NOT_EXIST)
    return Endpoint(path, ResultDecoder)
