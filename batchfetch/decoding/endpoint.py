"""
Table of endpoint properties: URL path, body decoder, and the meaning of an empty response.
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
    Splits a response body, fed in pieces of any size, into image data and the answer around it.
    """

    encoded: bool
    """Whether the pieces that `feed` returns are base64."""

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return the pieces of image data in *chunk*.  Raises `DecodeError`.
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
    An endpoint that results are fetched from.
    """

    path: str
    """URL path below the service's root."""

    decoder: Callable[[str], AnswerDecoder]
    """Makes the decoder of a response, given the task's id."""

    empty_means: TaskStatus | None = None
    """The task's status if the response has no content (204); None if that is an error."""


@lru_cache(maxsize=64)
def endpoint_of(name: str) -> Endpoint:
    """
    Return the endpoint for *name*, a short name or a path.

    Raises `ValueError` with a message for the user if it is neither.
    """
    path = endpoint_path(name)
    if path.lower() == ENDPOINTS["file"].lower():  # The service ignores the case of paths.
        # Documented to mean "expired"; it may mean "not ready".
        return Endpoint(path, FileDecoder, empty_means=TaskStatus.NOT_EXIST)
    return Endpoint(path, ResultDecoder)
