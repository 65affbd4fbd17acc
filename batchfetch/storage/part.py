"""
A file under construction: hidden beside its destination, then whole under its name, or gone.

Everything here blocks, and runs wherever it is called: in the event loop what is quick, in a
writer thread the rest.
"""

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from typing import Protocol

from batchfetch.models import Image
from batchfetch.settings import Durability

PART_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
"""What the names of files under construction look like."""

# Pieces that one `writev` takes; POSIX promises 16, Linux and macOS take 1024.
_IOV_MAX = 512


class Decoder(Protocol):
    """
    Turns what the service sent into the image's bytes, and knows at the end what they came to.
    """

    def decode(self, text: bytes | memoryview) -> bytes: ...

    def flush(self) -> Image: ...


class PartFile(FileIO):
    """
    The image under construction.  Raises `OSError`, and what its *decoder* raises.

    *folder* is an open directory, *name* the file's final name in it.
    """

    def __init__(self, folder: int, name: str, decoder: Decoder) -> None:
        self._folder = os.dup(folder)
        self._name = name
        self._decoder = decoder
        self._part = f".{name}.{secrets.token_hex(4)}.part"
        try:
            super().__init__(self._part, "xb", opener=self._open_part)
        except BaseException:
            os.close(self._folder)
            raise

    def _open_part(self, part: str, flags: int) -> int:
        return os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=self._folder)

    def writelines(self, pieces: Iterable[bytes | memoryview], /) -> None:  # type: ignore[override]  # of text
        """
        Decode *pieces* of text and write what they come to, in one call where the system allows.
        """
        data = [decoded for piece in pieces if (decoded := self._decoder.decode(piece))]
        written = os.writev(self.fileno(), data[:_IOV_MAX]) if data else 0
        if written < sum(map(len, data)):  # The disk is nearly full, or the pieces are many.
            rest = memoryview(b"".join(data))[written:]
            while rest:
                rest = rest[os.write(self.fileno(), rest) :]

    def commit(self, durability: Durability) -> Image:
        """
        Check that the image is whole and give it its name.
        """
        image = self._decoder.flush()
        if durability is not Durability.NONE:
            os.fsync(self.fileno())
        os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._part = ""
        if durability is Durability.FULL:
            os.fsync(self._folder)
        return image

    def close(self) -> None:
        """
        Let go of the file; one that was not committed leaves no trace.
        """
        if self.closed:
            return
        try:
            super().close()
        finally:
            if self._part:
                with suppress(OSError):  # Gone with its folder, or the disk is: nothing to tidy.
                    os.unlink(self._part, dir_fd=self._folder)
            os.close(self._folder)
