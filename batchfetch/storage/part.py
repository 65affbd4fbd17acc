"""
A file under construction: hidden beside its destination, then whole under its name, or gone.

Everything here blocks.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress

from batchfetch.sharding import LABEL, Shard

PART_NAME = re.compile(r"\..+\.([0-9a-f]{8}|[0-9a-f]{16})\.part", re.DOTALL)
"""What the names of files under construction look like; 8 digits are those of an older version."""

CLAIM_NAME = re.compile(
    rf"\.batchfetch\.(?:{LABEL}\.)?([0-9a-f]{{16}})\.([0-9a-f]{{16}})([0-9a-f]{{16}})\.part"
)
"""What the names of claims look like: the number of the part, a digest of the file's name in its
folder, a digest of the owner."""

_LABELLED = re.compile(rf"\.batchfetch\.({LABEL})\..+")

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Chunks that one `writev` takes; POSIX promises 16, Linux and macOS take 1024.
_IOV_MAX = 512


class Part:
    """
    A file under construction in *folder*, an open directory, where it will be called *name*.

    Made at once; its hidden name carries the *shard* that makes it.  It ends with `publish` or with
    `discard`.  Raises `OSError`.
    """

    __slots__ = ("_folder", "_name", "_part", "_prefix", "file")

    def __init__(self, folder: int, name: bytes, shard: Shard | None = None) -> None:
        self._folder = folder
        self._name = name
        label = f".{shard.label}" if shard else ""
        # No part of the name: it may be as long as the file system allows, or hold what that does
        # not take.
        #
        # Drawn for each, and not counted: forks of one process would count alike, and take the
        # claims of a dead one for void.
        self._prefix = f".batchfetch{label}.{os.urandom(8).hex()}"
        self._part = f"{self._prefix}.part"
        self.file = os.open(self._part, _FLAGS, 0o666, dir_fd=folder)
        """The open file's descriptor; the caller closes it."""

    def publish(self, claim: str | None = None) -> None:
        """
        Give the file, which is whole, its name; before that make the empty file *claim*.
        """
        if claim is not None:
            os.close(os.open(claim, _FLAGS, 0o666, dir_fd=self._folder))
        try:
            os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            if claim is not None:
                unlink(claim, self._folder)
            raise

    def claim_name(self, text: str) -> str:
        """
        Return what to call an empty file that says *text* of this one (see `claims`).
        """
        return f"{self._prefix}.{text}.part"

    def discard(self) -> None:
        """
        Remove the file.
        """
        unlink(self._part, self._folder)


def may_be_living(name: str, shard: Shard | None) -> bool:
    """
    Whether the part or claim *name* may be one of another process, while this one has the lock of
    *shard*: then only the other shards of the same number are on.
    """
    if shard is None or (found := _LABELLED.fullmatch(name)) is None:
        return False
    other = Shard.labelled(found[1])
    return other.count == shard.count and other.index != shard.index


def unlink(name: str, folder: int) -> None:
    """
    Remove the file *name* in the open *folder*, if it is there and that can be done.
    """
    with suppress(OSError):  # Gone with its folder, or the disk is: nothing to tidy.
        os.unlink(name, dir_fd=folder)


def write(file: int, data: Sequence[bytes]) -> None:
    """
    Write *data*, a whole file, in one call where the system allows.  Raises `OSError`.
    """
    written = os.writev(file, data[:_IOV_MAX]) if data else 0
    if written < sum(map(len, data)):  # The disk is nearly full, or the chunks are many.
        rest = memoryview(b"".join(data))[written:]
        while rest:
            rest = rest[os.write(file, rest) :]
