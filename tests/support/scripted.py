"""
Scripted transport without a network, which records its requests.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel
from replies import body_of, png_of, result

from batchfetch.errors import BatchFetchError, StatusError


@dataclass(frozen=True)
class Unsent:
    """
    A request that fails before it is sent.
    """

    error: BatchFetchError


Step = bytes | BatchFetchError | Unsent


def ready(task_id: str) -> bytes:
    """
    Return the body of a completed task with the image of *task_id*.
    """
    return body_of(png_of(task_id), task_id)


def says(task_status: str, code: str = "Ok", **fields: object) -> Callable[[str], bytes]:
    """
    Return a function from the task's id to a body with *task_status* and without an image.
    """
    return lambda task_id: result(task_id, task_status, code, **fields)  # type: ignore[arg-type]  # as in replies


pending = says("Pending", "NotReady")


def status(code: int, retry_after: float | None = None) -> StatusError:
    """
    Return the error for the HTTP status *code*.
    """
    return StatusError(code, f"the service answered {code}", retry_after)


@dataclass(frozen=True)
class Call:
    """
    One recorded request.
    """

    at: float
    path: str
    task_id: str
    token: str


class ScriptedTransport:
    """
    Answers the requests for each task with the steps of its script; the last step repeats.

    A step is a body, an error, or a function from the id to one of them.  An answer takes *seconds*
    and is read in a number of *pieces*.
    """

    def __init__(
        self,
        script: dict[str, Sequence[Step | Callable[[str], Step]]] | None = None,
        *,
        default: Step | Callable[[str], Step] = ready,
        seconds: float = 0.0,
        pieces: int = 2,
    ) -> None:
        self.script = script or {}
        self.default = default
        self.seconds = seconds
        self.pieces = pieces
        self.refused: set[str] = set()
        """Tokens that get the status 401."""

        self.calls: list[Call] = []
        self.most_in_flight = 0
        self.given_up = 0
        self._in_flight = 0
        self._asked: Counter[str] = Counter()

    @asynccontextmanager
    async def get_result(
        self, path: str, task_id: str, token: str, *, on_sent: Callable[[], None]
    ) -> AsyncIterator["_Body"]:
        """
        See `Transport.get_result`.
        """
        self.calls.append(Call(anyio.current_time(), path, task_id, token))
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            step = self._next(task_id, token)
            if isinstance(step, Unsent):
                raise step.error
            on_sent()
            await anyio.sleep(self.seconds)
            if isinstance(step, BatchFetchError):
                raise step
            yield _Body(step, self.pieces)
        except anyio.get_cancelled_exc_class():
            self.given_up += 1
            raise
        finally:
            self._in_flight -= 1

    def _next(self, task_id: str, token: str) -> Step:
        if token in self.refused:
            return status(401)
        steps = self.script.get(task_id) or [self.default]
        step = steps[min(self._asked[task_id], len(steps) - 1)]
        self._asked[task_id] += 1
        return step(task_id) if callable(step) else step


class _Body:
    def __init__(self, text: bytes, pieces: int) -> None:
        self._size = max(1, -(-len(text) // pieces))
        self._text = text
        self.length = len(text)

    @property
    def at_end(self) -> bool:
        return not self._text

    async def read(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        piece, self._text = self._text[: self._size], self._text[self._size :]
        return piece
