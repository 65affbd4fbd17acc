"""
The interface to the service: one question, one streamed answer.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


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
