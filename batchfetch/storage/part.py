"""
A file under construction: hidden beside its destination, then whole under its name, or gone.

Everything here blocks, and runs wherever it is called: in the event loop what is quick, in a
writer thread the rest.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from itertools import count
from threading import Lock
from typing import Protocol

from batchfetch.models import Image
from batchfetch.settings import Durability

PART_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
"""What the names of files under construction look like."""

Text = bytes | memoryview
"""What the service sent of an image."""

# What tells our parts from those of others, a run that died say.
_NUMBERS = count(int.from_bytes(os.urandom(4)))

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Pieces that one `writev` takes; POSIX promises 16, Linux and macOS take 1024.
_IOV_MAX = 512


class Decoder(Protocol):
    """
    Turns what the service sent into the image's bytes, and knows at the end what they came to.
    """

    def decode(self, text: Text) -> bytes: ...

    def flush(self) -> Image: ...


def save(folder: int, name: str, data: list[bytes], durability: Durability) -> None:
    """
    Write *data*, a whole and sound image, in one go.  Raises `OSError`.
    """
    part = _part_of(name)
    file = os.open(part, _FLAGS, 0o666, dir_fd=folder)
    try:
        _write(file, data)
        if durability is not Durability.NONE:
            os.fsync(file)
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):  # Gone with its folder, or the disk is: nothing to tidy.
            os.unlink(part, dir_fd=folder)
        raise
    finally:
        os.close(file)
    if durability is Durability.FULL:
        os.fsync(folder)


class PartFile(FileIO):
    """
    The image under construction.  Raises `OSError`, and what its *decoder* raises.

    *folder* is an open directory, *name* the file's final name in it.
    """

    def __init__(self, folder: int, name: str, decoder: Decoder) -> None:
        self._folder = os.dup(folder)
        self._name = name
        self._decoder = decoder
        self._part = _part_of(name)
        # Held while a thread writes.  Who is cancelled does not wait for that; `close` does.
        self._in_use = Lock()
        try:
            super().__init__(self._part, "xb", opener=self._open_part)
        except BaseException:
            os.close(self._folder)
            raise

    def _open_part(self, part: str, _flags: int) -> int:
        return os.open(part, _FLAGS, 0o666, dir_fd=self._folder)

    def writelines(self, pieces: Iterable[Text], /) -> None:  # type: ignore[override]  # of text
        """
        Decode *pieces* of text and write what they come to, in one call where the system allows.
        """
        decode = self._decoder.decode
        with self._in_use:
            _write(self.fileno(), [data for piece in pieces if (data := decode(piece))])

    def commit(self, durability: Durability) -> None:
        """
        Give the image, which is whole, its name, and let go of it.
        """
        if durability is not Durability.NONE:
            os.fsync(self.fileno())
        os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._part = ""
        if durability is Durability.FULL:
            os.fsync(self._folder)
        self.close()

    def close(self) -> None:
        """
        Let go of the file; one that was not committed leaves no trace.
        """
        with self._in_use:
            if self.closed:
                return
            try:
                super().close()
            finally:
                if self._part:
                    with suppress(OSError):  # Gone with its folder, or the disk is.
                        os.unlink(self._part, dir_fd=self._folder)
                os.close(self._folder)


def _part_of(name: str) -> str:
    return f".{name}.{next(_NUMBERS) & 0xFFFFFFFF:08x}.part"


def _write(file: int, data: list[bytes]) -> None:
    """
    Write *data* in one call where the system allows.
    """
    written = os.writev(file, data[:_IOV_MAX]) if data else 0
    if written < sum(map(len, data)):  # The disk is nearly full, or the pieces are many.
        rest = memoryview(b"".join(data))[written:]
        while rest:
            rest = rest[os.write(file, rest) :]
