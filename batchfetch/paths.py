"""
Paths as users write them: `~` is the home folder, and a store's URL is none.  And names as file
systems compare them.
"""

import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path

_STORE = re.compile(r"(?:s3|az|gs)://", re.IGNORECASE)


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


def is_store(text: object) -> bool:
    """
    Whether *text* is the URL of a store.
    """
    return isinstance(text, str) and _STORE.match(text) is not None


def report_in(output: Path | str) -> Path:
    """
    Return where the report of *output* is by default: in the folder, or for the URL of a store in
    the working directory.
    """
    if isinstance(output, Path):
        return output / "report.jsonl"
    return Path(f"{output.rstrip('/').rpartition('/')[2]}.report.jsonl")


def report_at(place: str | Path) -> Path:
    """
    Return the report that *place* stands for: a report, an output folder, or the URL of a store.

    Raises `ValueError` with a sentence if it begins with a `~` that has no meaning.
    """
    if is_store(place):
        return report_in(place)
    path = Path(expand_home(place))
    return report_in(path) if is_folder(path) else path


# `Path` raises what keeps this user from seeing whether something is there: a folder that may not
# be searched, a name that is too long.


def is_file(path: str | Path) -> bool:
    """
    Whether a regular file is at *path*, as far as this user can see.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """
    Whether a folder is at *path*, as far as this user can see.
    """
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: str | Path) -> bool:
    """
    Whether anything is at *path*, as far as this user can see.
    """
    return os.path.exists(path)  # noqa: PTH110
