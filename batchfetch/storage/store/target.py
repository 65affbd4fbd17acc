"""
One object under construction: in memory while it is short, else on its way in parts.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from anyio import CancelScope, Semaphore, move_on_after

from batchfetch.errors import StorageError
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.keys import labels_of
from batchfetch.storage.store.tenure import Tenure
from batchfetch.tuning import SHORT_BODY

if TYPE_CHECKING:
    from obstore import AsyncWritableFile

log = logging.getLogger(__name__)

LONGEST_PUT = 8 * 1024 * 1024
"""Bytes up to which an object is put in one request, after its end has been checked."""

# A body in base64 is this much longer than what it holds.
_ENCODED = 4 / 3

# Objects at once, long ones and those of more than a few hundred KiB: what they hold bounds memory.
_LONG = 4
_MEDIUM = 6

# Seconds that giving up an upload may take.
_ABORT = 30.0


class _GivenUpError(Exception):
    """
    What a writer is told that is to abort.
    """


class Gates:
    """
    Bound how many objects that take much memory are under construction at once.
    """

    def __init__(self) -> None:
        self.long = Semaphore(_LONG)
        self.medium = Semaphore(_MEDIUM)


class StoreTarget:
    """
    An object under construction at *name* in *bucket*.

    Nothing is at *name* before `commit`: what is long is on its way in parts until then, and the
    store shows none of them.  *on_commit* is told the name and the size.
    """

    def __init__(
        self,
        bucket: Bucket,
        executor: FileExecutor,
        gates: Gates,
        name: str,
        size_hint: int | None,
        owner: str | None,
        tenure: Tenure,
        on_commit: Callable[[str, int], None],
    ) -> None:
        self._bucket = bucket
        self._executor = executor
        self._gates = gates
        self._name = name
        self._expected = size_hint or 0
        self._owner = owner
        self._tenure = tenure
        self._on_commit = on_commit
        self._held: list[bytes] = []
        self._size = 0
        self._writer: AsyncWritableFile | None = None
        self._medium = AsyncExitStack()
        self._long = AsyncExitStack()
        self._is_medium = False

    async def write(self, chunks: Iterable[bytes]) -> None:
        """
        See `Target.write`.
        """
        if self._writer is None and self._expected > LONGEST_PUT * _ENCODED:
            await self._begin()
        elif not self._is_medium and max(self._size, self._expected) > SHORT_BODY:
            self._is_medium = True
            await self._medium.enter_async_context(self._gates.medium)
        data = await self._joined(chunks)
        self._size += len(data)
        if self._writer is None:
            self._held.append(data)
            if self._size <= LONGEST_PUT:
                return
            await self._begin()
            data, self._held = b"".join(self._held), []
            await self._medium.aclose()
        if data and self._writer is not None:
            with self._bucket.errors():
                await self._writer.write(data)

    async def commit(self, *, sha256: str | None = None) -> None:
        """
        See `Target.commit`.
        """
        if self._writer is None:
            data, self._held = b"".join(self._held), []
            await self._put(data, labels_of(self._name, self._owner, sha256))
        else:
            await self._tenure.required()
            # A commit that has begun is seen through: half of one could not be undone.
            with CancelScope(shield=True), self._bucket.errors():
                await self._writer.close()
            self._writer = None
        self._on_commit(self._name, self._size)
        await self.abort()

    async def abort(self) -> None:
        """
        See `Target.abort`.
        """
        self._held = []
        writer, self._writer = self._writer, None
        # Shielded: a cancellation that has brought us here would stop this request, too.
        with CancelScope(shield=True):
            if writer is not None:
                await self._give_up(writer)
            await self._medium.aclose()
            await self._long.aclose()

    async def _put(self, data: bytes, labels: Mapping[str, str]) -> None:
        """
        Put the object in one request, which is begun again if the lock was in doubt meanwhile.
        """
        is_put = False
        while not is_put:
            async with self._tenure.writing():
                await self._bucket.put(self._name, data, labels)
                is_put = True

    async def _begin(self) -> None:
        await self._long.enter_async_context(self._gates.long)
        with self._bucket.errors():
            writer = self._bucket.writer(self._name, labels_of(self._name, self._owner))
            self._writer = await writer.__aenter__()

    async def _joined(self, chunks: Iterable[bytes]) -> bytes:
        """
        Make and join *chunks*, in a thread if they are long.

        The result is a copy in memory of its own: the writer keeps what it is given until it has
        been sent, and a buffer that its owner fills again would be stored changed.
        """
        if max(self._size, self._expected) <= SHORT_BODY:
            return b"".join(map(bytes, chunks))
        loop = asyncio.get_running_loop()
        with CancelScope(shield=True):  # Until it is through neither decoder nor chunks may go.
            data = await loop.run_in_executor(self._executor.cpu_pool, _join, chunks)
        return data  # noqa: RET504 - mypy takes a scope for one that may end before its block

    async def _give_up(self, writer: "AsyncWritableFile") -> None:
        # An exception tells the writer to abort; without one it would complete the object.
        reason = _GivenUpError("given up")
        trouble = f"the store did not answer within {_ABORT:.0f} s"
        with move_on_after(_ABORT):
            try:
                with self._bucket.errors(), suppress(_GivenUpError):
                    await writer.__aexit__(_GivenUpError, reason, None)
            except StorageError as exc:
                trouble = str(exc)
            else:
                return
        log.warning("parts of %s may be left in %s: %s", self._name, self._bucket.url, trouble)


def _join(chunks: Iterable[bytes]) -> bytes:
    return b"".join(map(bytes, chunks))
