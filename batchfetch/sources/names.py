"""
Names of the images: paths without suffix, each valid for `fetch` and given once.
"""

import os

from batchfetch.hash_table import HashTable
from batchfetch.manifest import image_filename
from batchfetch.paths import fold_name

_TAKEN = 1


def stem(name: str) -> str:
    """
    Return the file's *name*, or its path, without suffix.
    """
    return os.path.splitext(name)[0]  # noqa: PTH122 - text, and a million times


def file_key(name: str) -> str:
    """
    Return the same for all files *name* whose images would be one file, each named by its stem.
    """
    return _key(stem(name))


def _key(name: str) -> str:
    return fold_name(name if name[-4:].lower() == ".png" else f"{name}.png")


class Names:
    """
    The names given so far, thirteen bytes for each.
    """

    def __init__(self) -> None:
        self._table = HashTable("I")

    def claim(self, *names: str) -> str:
        """
        Return the first of *names* that no image has yet; it has it from now on.

        Raises `ValueError` with a message for the user if there is none, or if a name is not valid.
        """
        for name in names:
            key = fold_name(image_filename(name))
            if not self._table.mark(key, _TAKEN)[0]:
                return name
        raise ValueError(
            f"another image of this submission has the name {names[0]!r}; give the folder that both"
            " are in, or a table with names"
        )
