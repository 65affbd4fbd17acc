"""
Find what a dead run left in the output, and remove what is of no use.

Everything here blocks.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from batchfetch.sharding import Shard
from batchfetch.storage.claims import Claims
from batchfetch.storage.folder import Folder
from batchfetch.storage.folder_lock import LOCK_NAME, SHARD_LOCK
from batchfetch.storage.os_errors import storage_errors
from batchfetch.storage.part import CLAIM_NAME, PART_NAME, may_be_living

# Bytes of the longest path below the output that holds our files; what is deeper is not ours.
_DEEPEST = 1024


def sweep(folder: Folder, claims: Claims, *, remove: bool, shard: Shard | None = None) -> int:
    """
    Note in *claims* those that hold, and return how many parts of dead runs were found.

    With *remove*, the parts and the claims that are void are removed, and without a *shard* the
    files that shards have locked.  What other shards may be at work on stays.

    A folder below that has a lock of its own belongs to other runs and is left alone.  To be called
    with *remove* only while the lock is held.  Raises `StorageError`.
    """
    swept = 0
    with storage_errors(folder.path):
        for path, descriptor, names in _folders(folder):
            parts = {found[1]: name for name in names if (found := PART_NAME.fullmatch(name))}
            dead = [name for name in parts.values() if not may_be_living(name, shard)]
            useless = list(dead)
            for name in names:
                if (claim := CLAIM_NAME.fullmatch(name)) is None:
                    continue
                if claim[1] not in parts:
                    claims.note(path, name)
                elif not may_be_living(name, shard):
                    useless.append(name)
            if shard is None:
                useless += filter(SHARD_LOCK.fullmatch, names)
            for name in useless if remove else ():
                with suppress(FileNotFoundError):  # Another shard was faster.
                    os.unlink(name, dir_fd=descriptor)
            swept += len(dead)
    return swept


def _folders(folder: Folder) -> Iterator[tuple[bytes, int, list[str]]]:
    """
    Yield each folder from the output down: its path, a descriptor, and the hidden files in it.

    One after the other, not one in the other: folders may be deeper than files may be open.
    """
    pending = [b""]
    for number in count():
        if not pending:
            return
        path = pending.pop()
        with folder.opened(path) as descriptor:
            hidden: list[str] = []
            inner: list[bytes] = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(b"/".join(filter(None, (path, os.fsencode(entry.name)))))
                    elif entry.name[0] == ".":
                        hidden.append(entry.name)
            if number > 0 and LOCK_NAME in hidden:
                continue
            yield path, descriptor, hidden
            pending += [below for below in inner if len(below) <= _DEEPEST]
