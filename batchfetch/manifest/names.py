"""
Conversion of manifest names and task ids into safe file paths below the output.
"""

import re

from batchfetch.manifest.values import shown

# Bytes.  File systems allow so many in a component; those that allow fewer are asked.
_MAX_PART = 255
_MAX_TOTAL = 1000

# Folders within each other: programs that copy or delete them often recurse.
_MAX_DEPTH = 100

_ORDINARY_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")

ORDINARY_NAME = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_-]{0,100}/){0,7}[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}"
)
"""Names that need no closer look: nearly all."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPECIAL_IN_ID = re.compile(r"[%/\\:]|^\.")


def image_filename(name: str) -> str:
    """
    Return the image's path relative to the output for a manifest's *name*, `.png` added if missing.

    Raises `ValueError` with a message for the user if the path would not be below the output, on
    this system or on one that the output is copied to, or is longer than file systems allow.
    """
    if not ORDINARY_NAME.fullmatch(name):
        _require_safe(name)
    return with_suffix(name)


def default_filename(task_id: str) -> str:
    r"""
    Return the image's path relative to the output for a task without a name.

    It is the id with `%`, `/`, `\`, `:` and a leading dot percent-encoded (`%25`, `%2F`, `%5C`,
    `%3A`, `%2E`), so that no id creates folders and no two ids get the same name by encoding.

    Raises `ValueError` if the id is too long for a file name.
    """
    if _ORDINARY_ID.fullmatch(task_id):
        return with_suffix(task_id)
    return image_filename(_SPECIAL_IN_ID.sub(lambda found: f"%{ord(found[0]):02X}", task_id))


def with_suffix(name: str) -> str:
    """
    Return *name* with `.png` at its end.
    """
    return name if name[-4:].lower() == ".png" else f"{name}.png"


def _require_safe(name: str) -> None:
    if not name:
        raise ValueError("the name is empty; give one, or leave it out")
    if (problem := _problem(name) or _excess(name)) is not None:
        raise ValueError(f"the name {shown(name)} {problem}")


def _problem(name: str) -> str | None:
    """
    Return why *name* would not be below the output, here or on another system.
    """
    if _CONTROL.search(name):
        return "contains control characters; remove them"
    if name.startswith("/"):
        return "is an absolute path; use one relative to the output"
    if "\\" in name or ":" in name:
        return "contains a backslash or a colon; write / between folders"
    *folders, _ = parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return "has an empty, a . or a .. part; use a path below the output"
    # Windows drops trailing dots and blanks, which would turn `.. /` into `../`.
    if any(folder[-1] in " ." for folder in folders):
        return "has a folder that ends with a dot or a blank; remove that"
    return None


def _excess(name: str) -> str | None:
    """
    Return in what *name* is more than file systems and programs can be expected to take.
    """
    *folders, file = with_suffix(name).split("/")
    if len(folders) > _MAX_DEPTH:
        return (
            f"has {len(folders)} folders in each other; at most {_MAX_DEPTH} are allowed; use fewer"
        )
    if any(len(folder.encode()) > _MAX_PART for folder in folders):
        return f"has a folder of more than {_MAX_PART} bytes; shorten it"
    if len(file.encode()) > _MAX_PART:
        return f"gives a file name of more than {_MAX_PART} bytes; shorten it"
    if len(name.encode()) > _MAX_TOTAL:
        return f"is longer than {_MAX_TOTAL} bytes; shorten it"
    return None
