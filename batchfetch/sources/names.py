"""
Names of the images: paths without suffix, each valid for `fetch` and given once.
"""

import os

from batchfetch.hash_table import HashTable
from batchfetch.manifest import RowReader
from batchfetch.models import BadRow
from batchfetch.paths import fold_name

_TAKEN = 1
_ANY_ID = "-"


def stem(name: str) -> str:
    """
    Return the file's *name*, or its path, without suffix.
    """
    return os.path.splitext(name)[0]  # noqa: PTH122 - text, and a million times


def file_key(name: str) -> str:
    """
    Return the same for all files *name* whose images would be one file, each named by its stem.
    """
    return name_key(stem(name).strip())


def name_key(name: str) -> str:
    """
    Return the same for all names of rows whose images would be one file.
    """
    return fold_name(name if name[-4:].lower() == ".png" else f"{name}.png")


class Names:
    """
    The names given so far, thirteen bytes for each.

    A name is what `fetch` will make of it in a manifest: blanks around it and words like NULL are
    not what they were.
    """

    def __init__(self) -> None:
        self._table = HashTable("I")
        self._rows = RowReader(None)

    def claim(self, *names: str) -> str:
        """
        Return the first of *names* that no image has yet, without blanks around it; it has it from
        now on.

        Raises `ValueError` with a message for the user if there is none, or if a name is not valid.
        """
        taken = False
        for name in names:
            row = self._rows.job(None, _ANY_ID, name)
            if isinstance(row, BadRow):
                raise ValueError(row.detail)  # noqa: TRY004 - the value is wrong, and not its type
            if row.name is None:
                continue
            if not self._table.mark(fold_name(row.filename), _TAKEN)[0]:
                return row.name
            taken = True
        if not taken:
            raise ValueError(f"a manifest has no name {names[0]!r}: it means no value; rename it")
        raise ValueError(
            f"another image of this submission has the name {names[0]!r}; give the folder that both"
            " are in, or a table with names"
        )
