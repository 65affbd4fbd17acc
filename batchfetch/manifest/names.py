"""
Conversion of manifest names and task ids into safe file paths below the output.
"""

import re

# Bytes.  File systems allow so many in a component; those that allow fewer are asked.
_MAX_PART = 255
_MAX_TOTAL = 1000

_ORDINARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPECIAL_IN_ID = re.compile(r"[%/\\:]|^\.")


def image_filename(name: str) -> str:
    """
    Return the image's path relative to the output for a manifest's *name*, `.png` added if missing.

    Raises `ValueError` with a message for the user if the path would not be below the output, on
    this system or on one that the output is copied to, or is longer than file systems allow.
    """
    if not _ORDINARY.fullmatch(name):
        _require_safe(name)
    return _with_suffix(name)


def default_filename(task_id: str) -> str:
    r"""
    Return the image's path relative to the output for a task without a name.

    It is the id with `%`, `/`, `\`, `:` and a leading dot percent-encoded (`%25`, `%2F`, `%5C`,
    `%3A`, `%2E`), so that no id creates folders and no two ids get the same name by encoding.

    Raises `ValueError` if the id is too long for a file name.
    """
    if _ORDINARY.fullmatch(task_id):
        return _with_suffix(task_id)
    return image_filename(_SPECIAL_IN_ID.sub(lambda found: f"%{ord(found[0]):02X}", task_id))


def _with_suffix(name: str) -> str:
    return name if name[-4:].lower() == ".png" else f"{name}.png"


def _require_safe(name: str) -> None:
    shown = repr(name if len(name) <= 80 else f"{name[:80]}…")
    if not name:
        raise ValueError("the name is empty")
    if _CONTROL.search(name):
        raise ValueError(f"the name {shown} contains control characters")
    if name.startswith("/"):
        raise ValueError(f"the name {shown} is an absolute path; use one relative to the output")
    if "\\" in name or ":" in name:
        raise ValueError(f"the name {shown} contains a backslash or a colon")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise ValueError(f"the name {shown} has an empty, a . or a .. part")
    *folders, file = _with_suffix(name).split("/")
    # Windows drops trailing dots and blanks, which would turn `.. /` into `../`.
    if any(folder[-1] in " ." for folder in folders):
        raise ValueError(f"the name {shown} has a folder that ends with a dot or a blank")
    if any(len(folder.encode()) > _MAX_PART for folder in folders):
        raise ValueError(f"the name {shown} has a folder of more than {_MAX_PART} bytes")
    if len(file.encode()) > _MAX_PART:
        raise ValueError(f"the name {shown} gives a file name of more than {_MAX_PART} bytes")
    if len(name.encode()) > _MAX_TOTAL:
        raise ValueError(f"the name {shown} is longer than {_MAX_TOTAL} bytes")
