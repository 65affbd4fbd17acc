"""
Paths as users write them (`~` is the home folder), and names as file systems compare them.
"""

import os
import unicodedata
from contextlib import suppress
from pathlib import Path


def expand_home(path: str | Path) -> str:
    """
    Return *path* with `~` or `~user` at its beginning replaced by that home folder.

    A shell does so only in an argument of its own; not in `--report=~/r.jsonl`, in a variable that
    is quoted, or in a file.  Raises `ValueError` with a sentence if there is no such folder.
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        return text
    user = text[1:].split("/", 1)[0]
    # An empty HOME would make `~/images` the folder `/images`.
    if user or os.environ.get("HOME") != "":
        with suppress(RuntimeError):
            return str(Path(text).expanduser())
    if not user:
        raise ValueError("~ has no meaning without a home folder; set HOME")
    raise ValueError(
        f"there is no user {user!r} on this machine for ~{user}; "
        f"write ./~{user} for a file of that name"
    )


def fold_name(name: str) -> str:
    """
    Return the same for all names that are one file on some systems: those that differ only in case
    or in how an accent is written.
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
