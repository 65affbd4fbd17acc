"""
A file under construction: hidden beside its destination, then whole under its name, or gone.

Everything here blocks.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from batchfetch.settings import Durability

PART_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
"""What the names of files under construction look like."""

# What tells our parts from those of others, a run that died say.
_NUMBERS = count(int.from_bytes(os.urandom(4)))

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Chunks that one `writev` takes; POSIX promises 16, Linux and macOS take 1024.
_IOV_MAX = 512


class Part:
    """
    A file under construction in *folder*, an open directory, where it will be called *name*.

    Made at once.  It ends with `publish` or with `discard`.  Raises `OSError`.
    """

    __slots__ = ("_folder", "_name", "_part", "file")

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self._name = name
        self._part = f".{name}.{next(_NUMBERS) & 0xFFFFFFFF:08x}.part"
        self.file = os.open(self._part, _FLAGS, 0o666, dir_fd=folder)
        """The open file's descriptor; the caller closes it."""

    def publish(self, durability: Durability) -> None:
        """
        Give the file, which is whole, its name.
        """
        if durability is not Durability.NONE:
            os.fsync(self.file)
        os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        if durability is Durability.FULL:
            os.fsync(self._folder)

    def discard(self) -> None:
        """
        Remove the file.
        """
        with suppress(OSError):  # Gone with its folder, or the disk is: nothing to tidy.
            os.unlink(self._part, dir_fd=self._folder)


def save(folder: int, name: str, data: Sequence[bytes], durability: Durability) -> None:
    """
    Write *data*, a whole file, in one go.  Raises `OSError`.
    """
    part = Part(folder, name)
    try:
        _write(part.file, data)
        part.publish(durability)
    except BaseException:
        part.discard()
        raise
    finally:
        os.close(part.file)


def _write(file: int, data: Sequence[bytes]) -> None:
    """
    Write *data* in one call where the system allows.
    """
    written = os.writev(file, data[:_IOV_MAX]) if data else 0
    if written < sum(map(len, data)):  # The disk is nearly full, or the chunks are many.
        rest = memoryview(b"".join(data))[written:]
        while rest:
            rest = rest[os.write(file, rest) :]
