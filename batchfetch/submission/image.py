"""
An image that is to be submitted: its bytes, hashed first, and the body that they make.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import pybase64
from anyio import to_thread
from pydantic import JsonValue

from batchfetch.errors import JobError
from batchfetch.models import RESUBMITS, JobState
from batchfetch.sources import SourceImage
from batchfetch.sources.files import open_regular
from batchfetch.submission.ledger import content_key, task_key
from batchfetch.submission.lines import Intent, SubmitResult
from batchfetch.submission.manifest_names import Holder
from batchfetch.submit_settings import SubmitStatus

_HEAD, _TAIL = b'{"image": "', b'"}'

PIECE = 768 * 1024
"""Bytes of an image that are read at once: whole quanta of base64, a MiB of which they make."""


class SourceError(JobError):
    """
    The image's file cannot be read, or is another one than before.
    """

    reason = "unreadable"


class ChangedError(SourceError):
    """
    The file was written to after it was hashed; what is in it now is not sent.
    """

    reason = "changed"


class Digest(NamedTuple):
    """
    What tells an image's bytes from others.
    """

    size: int
    sha256: str


def digest_of(path: Path) -> Digest:
    """
    Return the digest of the file at *path*.  Raises `OSError`.
    """
    size, hashed = 0, hashlib.sha256()
    buffer = memoryview(bytearray(PIECE))
    with open_regular(path) as file:
        while count := file.readinto(buffer):
            hashed.update(buffer[:count])
            size += count
    return Digest(size, hashed.hexdigest())


@dataclass(frozen=True, slots=True)
class Image:
    """
    An image whose bytes are known.
    """

    source: SourceImage
    endpoint: str
    digest: Digest
    namesake: Holder | None = None
    """The row of the manifest that has its name and keeps it, if one does."""

    @property
    def resubmits(self) -> JsonValue:
        """
        What its row says that it resubmits: the id of a task; None if it says nothing.
        """
        return self.source.extra.get(RESUBMITS)

    def is_image_of(self, row: Holder) -> bool:
        """
        Whether *row* is about these bytes, submitted to the same endpoint.
        """
        return (row.source_sha256, row.endpoint) == (self.digest.sha256, self.endpoint)

    def resubmitting(self, task_id: str) -> Self:
        """
        Return it as what resubmits the task *task_id*, whose place it takes.
        """
        extra = {**self.source.extra, RESUBMITS: task_id}
        return replace(self, source=replace(self.source, extra=extra), namesake=None)

    @property
    def keys(self) -> tuple[str, ...]:
        """
        What it is known by, see `SubmitLedger`: the key that is submitted once, and its bytes.
        """
        content = content_key(self.digest.sha256, self.endpoint)
        return (content,) if self.source.key is None else (task_key(self.source.key), content)

    @property
    def key(self) -> str:
        """
        The first of its keys, which is its own.
        """
        return self.keys[0]

    def intent(self, name: str, started_at: datetime) -> Intent:
        """
        Return the line that says that it is about to be sent.
        """
        source = self.source
        return Intent(
            intent=name,
            name=source.name,
            endpoint=self.endpoint,
            source=str(source.path),
            source_bytes=self.digest.size,
            source_sha256=self.digest.sha256,
            resubmits=source.key,
            started_at=started_at,
            manifest=source.manifest,
            line=source.line,
            extra=source.extra,
        )

    def result(
        self,
        status: SubmitStatus,
        *,
        task_id: str | None = None,
        intent: str | None = None,
        reason: str | None = None,
        detail: str | None = None,
        calls: int = 0,
        started_at: datetime | None = None,
        finished_at: datetime,
    ) -> SubmitResult:
        """
        Return the line that says what became of it.
        """
        source = self.source
        return SubmitResult(
            task_id=task_id,
            outcome=status,
            reason=reason,
            detail=detail,
            name=source.name,
            endpoint=self.endpoint,
            source=str(source.path),
            source_bytes=self.digest.size,
            source_sha256=self.digest.sha256,
            resubmits=source.key,
            calls=calls,
            intent=intent,
            started_at=started_at,
            submitted_at=None if task_id is None else finished_at,
            finished_at=finished_at,
            manifest=source.manifest,
            line=source.line,
            extra=source.extra,
        )


@dataclass(slots=True, kw_only=True)
class Sending(JobState):
    """
    An image on its way: to the run's workers a job, whose task is yet to be.
    """

    image: Image
    is_decided: bool = False
    """Whether its result is in the report: nothing further becomes of it."""

    has_left: bool = False
    """Whether it has left the agenda."""

    def decide(self) -> None:
        """
        Record that its result is known and about to be written.
        """
        self.is_decided = True

    def leave(self) -> bool:
        """
        Record that it leaves the agenda; return whether it does so only now.
        """
        is_new = not self.has_left
        self.has_left = True
        return is_new


class ImageBody:
    """
    The body that submits *image*: base64 in JSON, made from the file while it is read.

    The last piece is made only if all that was read is what was hashed.
    """

    def __init__(self, image: Image) -> None:
        self._path = image.source.path
        self._digest = image.digest
        encoded = (image.digest.size + 2) // 3 * 4
        self.length = len(_HEAD) + encoded + len(_TAIL)
        self.is_handed_over = False
        """Whether its last byte may have been sent."""

        self.error: SourceError | None = None
        """Why it could not be made; None if it could."""

        self._file: BinaryIO | None = None
        self._hashed = hashlib.sha256()
        self._head = _HEAD
        self._left = image.digest.size
        self._is_ended = False

    def hand_over(self) -> None:
        """
        Note that the last byte is handed over.
        """
        self.is_handed_over = True

    def close(self) -> None:
        """
        Close the file.
        """
        if self._file is not None:
            self._file.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_ended:
            raise StopAsyncIteration
        size = min(PIECE, self._left)
        self._left -= size
        self._is_ended = not self._left
        head, self._head = self._head, b""
        piece = await to_thread.run_sync(partial(self._encoded, size, is_last=self._is_ended))
        return b"".join((head, piece, _TAIL if self._is_ended else b""))

    def _encoded(self, size: int, *, is_last: bool) -> bytes:
        try:
            if self._file is None:
                self._file = open_regular(self._path)
            # One byte more than is expected would show that the file has grown.
            data = _read(self._file, size + is_last)
        except OSError as exc:
            self.error = SourceError(f"{self._path} cannot be read: {exc.strerror or exc}")
            raise self.error from exc
        self._hashed.update(data)
        if len(data) != size or (is_last and self._hashed.hexdigest() != self._digest.sha256):
            self.error = ChangedError(
                f"{self._path} was changed while it was submitted, and was not sent; run again"
                " when it stays as it is"
            )
            raise self.error
        return pybase64.b64encode(data)


def _read(file: BinaryIO, size: int) -> bytes:
    """
    Return *size* bytes of *file*, fewer only at its end.
    """
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data
