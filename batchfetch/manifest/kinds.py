"""
Kinds of files that are passed as manifests by mistake, and what to do about each.
"""

from collections.abc import Collection
from pathlib import Path

from batchfetch.paths import is_file, is_folder

_SPREADSHEET = "a spreadsheet; save it as CSV"
_ARCHIVE = "an archive; unpack it"
_PICTURE = "a picture; give a list of task ids"
_PARQUET = "a Parquet file; give it as a file whose name ends in .parquet"
_DATABASE = "a database; export the tasks as CSV"
_PAGE = "a web page or XML; export the tasks as CSV"

# By the first bytes.
_SIGNATURES = {
    b"\x89PNG": "a PNG image; give a list of task ids",
    b"\xff\xd8\xff": _PICTURE,
    b"II*\0": _PICTURE,
    b"MM\0*": _PICTURE,
    b"%PDF": "a PDF; give a list of task ids",
    b"\xd0\xcf\x11\xe0": _SPREADSHEET,
    b"\x1f\x8b": "gzip data; rename the file so that it ends in .gz",
    b"BZh": _ARCHIVE,
    b"\xfd7zXZ": _ARCHIVE,
    b"(\xb5/\xfd": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"PAR1": _PARQUET,
    b"PARE": "an encrypted Parquet file; give one that is not",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"Obj\x01": "an Avro file; write it as Parquet",
    b"ORC": "an ORC file; write it as Parquet",
    b"SQLite format 3": _DATABASE,
}
_MARKUP = (b"<!doctype", b"<html", b"<?xml")

_SUFFIXES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), _SPREADSHEET),
    **dict.fromkeys((".zip", ".7z", ".tar", ".tgz", ".bz2", ".xz", ".zst"), _ARCHIVE),
    **dict.fromkeys((".html", ".htm", ".xml"), _PAGE),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff"), _PICTURE),
    **dict.fromkeys((".db", ".sqlite"), _DATABASE),
    ".feather": "an Arrow file; write it as Parquet",
    ".arrow": "an Arrow file; write it as Parquet",
    ".avro": "an Avro file; write it as Parquet",
    ".orc": "an ORC file; write it as Parquet",
    ".pdf": "a PDF; give a list of task ids",
    ".json": "JSON; write one object a line and call it .jsonl",
}

_START = 4096


def kind_of(start: bytes) -> str | None:
    """
    Return what a file with these first bytes is and what to do; None if it may be text.
    """
    if start.startswith(b"PK\x03\x04"):
        # What the first entries of the archive are called.
        is_spreadsheet = b"xl/" in start or b"opendocument.spreadsheet" in start
        return (
            _SPREADSHEET
            if is_spreadsheet
            else "a zip archive or a spreadsheet; unpack it, or save it as CSV"
        )
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind
    text = start[:_START].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return _PAGE if text.startswith(_MARKUP) else None


def suffix_help(source: str, suffix: str, known: Collection[str]) -> str:
    """
    Return what is to be said of *source*, a path whose *suffix* is none of the *known* ones.
    """
    if is_folder(source):
        return "is a folder without .parquet files; give a manifest"
    try:
        Path(source).stat()
    except OSError as exc:
        return f"cannot be opened: {exc.strerror}; give one that can be read"
    kind = _SUFFIXES.get(suffix)
    if is_file(source) and (found := _kind_of_file(Path(source))) is not None:
        kind = found
    if kind is not None:
        return f"is no manifest: it is {kind}"
    from difflib import get_close_matches  # noqa: PLC0415 - needed for this error only

    near = get_close_matches(suffix, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return (
        f"has no known manifest format: its name must end in {', '.join(known)}, or one of those of"
        f" text followed by .gz, or --manifest-format must say what it is{hint}"
    )


def _kind_of_file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return kind_of(file.read(_START))
    except OSError:
        return None
