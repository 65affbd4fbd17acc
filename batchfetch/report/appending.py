"""
Open a file that a run appends lines to, whole lines only.
"""

import os
from collections.abc import Callable
from pathlib import Path

from batchfetch.locks import sync_folder
from batchfetch.settings import Durability


def open_appended(
    path: Path,
    durability: Durability,
    prepare: Callable[[int], None],
    *,
    follow_link: bool = True,
) -> int:
    """
    Open the file at *path* for appending, made with its folders if it is not there, and return its
    descriptor.

    *prepare* is given the descriptor of a regular file before anything else is done with it: to
    lock it, and to repair its end.  A pipe or a device is opened as it is.  Raises `OSError`, for a
    symbolic link too unless *follow_link*, and what *prepare* raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    is_regular = is_new or path.is_file()
    # Without O_NONBLOCK a pipe without a reader would block here for ever.
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    flags |= 0 if follow_link else os.O_NOFOLLOW
    file = os.open(path, flags | (os.O_RDWR if is_regular else os.O_WRONLY), 0o666)
    try:
        os.set_blocking(file, True)
        if is_regular:
            prepare(file)
        if is_new and durability is Durability.FULL:
            _sync_folder(path.parent)
    except BaseException:
        os.close(file)
        raise
    return file


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_folder(file, folder)
    finally:
        os.close(file)
