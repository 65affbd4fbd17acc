"""
Where an image goes: names out of a manifest made into safe places below the output.
"""

import re

# Bytes.  File systems take 255 in a component; the last one leaves room for what a file under
# construction is called, `.{name}.{8 hex digits}.part`, and some more.
_MAX_FOLDER = 255
_MAX_FILE = 235
_MAX_TOTAL = 1000

_ORDINARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPECIAL_IN_ID = re.compile(r"[%/\\:]|^\.")


def image_filename(name: str) -> str:
    """
    Return the image's place below the output for a manifest's *name*: `.png` is added if missing.

    Raises `ValueError` with a sentence for the user if the place would not be below the output,
    on this system or on one the output is copied to, or is longer than file systems take.
    """
    if not _ORDINARY.fullmatch(name):
        _require_safe(name)
    return _with_suffix(name)


def default_filename(task_id: str) -> str:
    r"""
    Return the image's place below the output for a task without a name.

    It is the id, where `%`, `/`, `\`, `:` and a leading dot are written as in a URL (`%25`, `%2F`,
    `%5C`, `%3A`, `%2E`), so no id makes folders and no two ids differ only in the writing.

    Raises `ValueError` if the id is too long for a file's name.
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
        raise ValueError(f"the name {shown} holds control characters")
    if name.startswith("/"):
        raise ValueError(f"the name {shown} is an absolute path")
    if "\\" in name or ":" in name:
        raise ValueError(f"the name {shown} holds a backslash or a colon")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise ValueError(f"the name {shown} has an empty, a . or a .. part")
    *folders, file = _with_suffix(name).split("/")
    # Some systems drop these, which makes a way out of `.. /`.
    if any(folder[-1] in " ." for folder in folders):
        raise ValueError(f"the name {shown} has a folder that ends with a dot or a blank")
    if any(len(folder.encode()) > _MAX_FOLDER for folder in folders):
        raise ValueError(f"the name {shown} has a folder of more than {_MAX_FOLDER} bytes")
    if len(file.encode()) > _MAX_FILE:
        raise ValueError(f"the name {shown} makes a file's name of more than {_MAX_FILE} bytes")
    if len(name.encode()) > _MAX_TOTAL:
        raise ValueError(f"the name {shown} is longer than {_MAX_TOTAL} bytes")
