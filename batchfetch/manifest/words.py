"""
Reader for lists of task ids, one a line.
"""

from collections.abc import Iterator
from itertools import chain

from batchfetch.errors import ManifestError
from batchfetch.manifest.columns import USUAL_NAMES
from batchfetch.manifest.lines import MARKS, Lines, UnusableLineError
from batchfetch.manifest.rows import RowReader
from batchfetch.models import BadRow, Job


def read_words(lines: Lines) -> Iterator[Job | BadRow]:
    """
    Return the ids of *lines* as rows; blank lines and those that begin with # are none.

    Raises `ManifestError` if the first id is the header of a table or a JSON object: the words of
    such a file would be taken for ids.
    """
    rows = _rows(lines)
    # The first one now, so that such a file is refused before anything is asked.
    first = next(rows, None)
    return rows if first is None else chain([first], rows)


def _rows(lines: Lines) -> Iterator[Job | BadRow]:
    rows, is_first = RowReader(lines.name), True
    while True:
        try:
            word = next(lines).strip()
        except StopIteration:
            return
        except UnusableLineError as exc:
            yield rows.bad(lines.number, str(exc))
            continue
        if word and word[0] in MARKS:
            word = word.lstrip(MARKS).strip()
        if word and word[0] != "#":
            if is_first:
                _require_list(lines.name, word)
                is_first = False
            yield rows.job(lines.number, word)


def _require_list(name: str, first: str) -> None:
    if (found := _other_format(first)) is not None:
        raise ManifestError(
            f"{name} is read as one task id a line, but its first line looks like {found[0]};"
            f" rename it, or give --manifest-format {found[1]}"
        )


def _other_format(word: str) -> tuple[str, str] | None:
    if word.startswith('{"') and '":' in word:
        return "a JSON object", "jsonl"
    for delimiter, suffix in ((",", "csv"), (";", "csv"), ("\t", "tsv")):
        cells = word.split(delimiter)
        if len(cells) > 1 and any(USUAL_NAMES.field_of(cell) == "task_id" for cell in cells):
            return "the header of a table", suffix
    return None
