"""
The output folder, which is never left through a link or a name.

Everything here blocks.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from batchfetch.errors import UnsafeNameError
from batchfetch.locks import sync_folder
from batchfetch.sharding import Shard
from batchfetch.storage.folder_lock import LOCK_NAME, FolderLock
from batchfetch.storage.os_errors import NO_NAME, image_error, storage_error, storage_errors

# Names that no part of a path below the folder may have.
_NO_NAMES = frozenset({"", ".", ".."})

# Names of which every file system takes each character.
_ORDINARY = re.compile(r"[A-Za-z0-9_./-]*")

# Unusual characters tried at a time: they fit into one name.
_TRIED = 40

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Folder:
    """
    An open folder.  Files in it are named by their path below it, `/` between folders.

    Names are UTF-8 on disk, whatever the locale.

    Every step is taken from an open parent and follows no symbolic link, so neither a planted link
    nor a folder that is swapped during the run leads outside.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        """
        Open the folder at *path*; with *make*, make it if missing.  Raises `StorageError`.
        """
        self.path = path
        with storage_errors(path):
            if make:
                path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, _OPEN_FOLDER)
        self._lock = FolderLock(self._descriptor, path)
        # Unusual characters that the file system takes in a name, and those that it does not.
        self._possible: set[str] = set()
        self._impossible: set[str] = set()

    def close(self) -> None:
        """
        Let go of the folder and of its lock.
        """
        self._lock.release()
        os.close(self._descriptor)

    @property
    def is_locked(self) -> bool:
        """
        Whether a run has it, which may make files there.
        """
        return self._lock.is_held

    def lock(self, shard: Shard | None = None) -> None:
        """
        Keep other runs out until `close`, or until this process dies; a *shard* lets others of its
        run in.

        Raises `OutputLockedError` if another run is in.
        """
        with storage_errors(self.path / LOCK_NAME):
            self._lock.acquire(shard)

    def sync(self, descriptor: int) -> None:
        """
        Have the disk store the names in the folder at or below this one open as *descriptor*.
        """
        sync_folder(descriptor, self.path)

    def parent_of(self, filename: str, *, make: bool) -> AbstractContextManager[tuple[int, bytes]]:
        """
        Open the folder that holds *filename*: its descriptor, and the file's name in it.

        With *make*, missing folders are made.  Raises `OSError`, and `UnsafeNameError` if the way
        to it is no way down.
        """
        *parents, name = parts = filename.split("/")
        if not _NO_NAMES.isdisjoint(parts):
            raise UnsafeNameError(f"{filename!r} is not a place below the output")
        if not parents:
            return nullcontext((self._descriptor, name.encode()))
        return self._parent_of("/".join(parents).encode(), name.encode(), make=make)

    @contextmanager
    def _parent_of(self, path: bytes, name: bytes, *, make: bool) -> Iterator[tuple[int, bytes]]:
        with self.opened(path, make=make) as folder:
            yield folder, name

    @contextmanager
    def opened(self, path: bytes, *, make: bool = False) -> Iterator[int]:
        """
        Open the folder *path* below this one (empty: this one); yields its descriptor.

        With *make*, missing folders are made.  Raises `OSError`.
        """
        at = os.dup(self._descriptor)
        try:
            for part in path.split(b"/") if path else ():
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=at)
                inner = os.open(part, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = inner
            yield at
        finally:
            os.close(at)

    def require_possible(self, filename: str) -> None:
        """
        Raise `UnsafeNameError` if the file system takes no name with the characters of *filename*:
        `?*<>|"` on vfat, exFAT, NTFS and SMB, or what an old character set does not have.

        Unusual characters are tried with empty files.  Raises `StorageError` if that fails.
        """
        if _ORDINARY.fullmatch(filename):
            return
        unknown = sorted({*filename} - {"/"} - self._possible - self._impossible)
        for at in range(0, len(unknown), _TRIED):
            self._try(unknown[at : at + _TRIED])
        if refused := sorted({*filename} & self._impossible):
            raise UnsafeNameError(
                f"{self.path / filename}: the file system takes no name with {''.join(refused)!r};"
                " use another name"
            )

    def _try(self, characters: Sequence[str]) -> None:
        name = f".batchfetch.{''.join(characters)}.00000000.part".encode()
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=self._descriptor))
            with suppress(FileNotFoundError):  # Another shard tries the same.
                os.unlink(name, dir_fd=self._descriptor)
        except OSError as exc:
            if exc.errno not in NO_NAME:
                raise storage_error(self.path, exc) from exc
            if len(characters) == 1:
                self._impossible.update(characters)
            else:
                for character in characters:
                    self._try(character)
            return
        self._possible.update(characters)

    def size_of(self, filename: str) -> int | None:
        """
        Return the size in bytes of the plain file *filename*; None if nothing is there.

        Raises `UnsafeNameError` if something else is there, `StorageError` if the disk fails.
        """
        try:
            if "/" in filename or filename in _NO_NAMES:
                with self.parent_of(filename, make=False) as (folder, name):
                    found = os.lstat(name, dir_fd=folder)
            else:  # Most images, and most of these are not there yet.
                found = os.lstat(filename.encode(), dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise image_error(self.path / filename, exc) from exc
        if not stat.S_ISREG(found.st_mode):
            raise UnsafeNameError(
                f"{self.path / filename} exists and is no plain file; remove it or use another name"
            )
        return found.st_size

    def open_to_read(self, filename: str) -> int:
        """
        Open the plain file *filename* and return its descriptor.

        Raises `OSError` and `UnsafeNameError`.
        """
        with self.parent_of(filename, make=False) as (folder, name):
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
