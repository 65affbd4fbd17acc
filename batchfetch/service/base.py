"""
The interfaces to the service: one question with a streamed answer, one submission with a short one.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable


class Body(Protocol):
    """
    The bytes of one answer, as they arrive.
    """

    @property
    def length(self) -> int | None:
        """
        Bytes of the whole body; None if the service did not announce them.
        """
        ...

    @property
    def at_end(self) -> bool:
        """
        Whether all of it was read.
        """
        ...

    async def read(self) -> bytes:
        """
        Return the next bytes; at the end there are none.

        Raises `TransportError`.
        """
        ...


class Transport(Protocol):
    """
    Asks the service about one task at a time; any number of questions may be open at once.
    """

    def get_result(
        self, path: str, task_id: str, token: str, *, on_sent: Callable[[], None]
    ) -> AbstractAsyncContextManager[Body]:
        """
        Ask *path* about *task_id*; the body is open for as long as the block.

        *on_sent* is called, at most once, when the request has been sent, which makes it a call.

        Raises `TransportError`, among them `StatusError` for any status but 2xx (204 is one) and
        `StaleConnectionError` if a kept connection was closed before it answered.  Leaving the
        block early drops the connection; nothing more is read.
        """
        ...


class RequestBody(Protocol):
    """
    The bytes of one submission, made while they are sent.
    """

    @property
    def length(self) -> int:
        """
        Bytes of the whole body.
        """
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Yield the body in pieces, once.  What is raised here breaks the request off.
        """
        ...


@runtime_checkable
class Submitter(Protocol):
    """
    Submits one body at a time; any number may be on their way at once.
    """

    async def submit(
        self,
        path: str,
        token: str,
        body: RequestBody,
        *,
        on_sent: Callable[[], None],
        on_body_sent: Callable[[], None],
    ) -> bytes:
        """
        Post *body*, which is JSON, to *path*, and return the beginning of the answer.

        *on_sent* is called, at most once, when the head of the request has been sent, which makes
        it a call.  *on_body_sent* is called, at most once, just before the last byte of the body is
        handed over to the system: a fault before that cannot have submitted anything.

        Raises `TransportError`, among them `StatusError` for any status but 2xx, whose answer was
        complete.
        """
        ...
