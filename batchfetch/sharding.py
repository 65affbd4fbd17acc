"""
Shards: the parts of a manifest that processes share, and what each has a share of.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LABEL = r"[1-9]\d*-of-[1-9]\d*"
"""What the label of a part looks like, as a regular expression."""


@dataclass(frozen=True, slots=True)
class Shard:
    """
    Part *index* of *count*, counted from 1.  Every task of a manifest is in one of the parts.
    """

    index: int
    count: int

    @classmethod
    def labelled(cls, label: str) -> "Shard":
        """
        Return the part whose `label` is *label*.
        """
        index, _, count = label.partition("-of-")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def label(self) -> str:
        """
        What names of files have: `3-of-8`.
        """
        return f"{self.index}-of-{self.count}"

    def has(self, task_id: str) -> bool:
        """
        Whether the task *task_id* is in this part, as far as its id tells: the same in every
        process, whatever else the manifest has.

        The first eight bytes of the SHA-256 of the id, case-folded and in UTF-8, are a number, most
        significant byte first; its remainder by *count* is *index* - 1.
        """
        digest = sha256(task_id.casefold().encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def has_line(self, line: int | None) -> bool:
        """
        Whether a row without an id is in this part: by the number of its line.
        """
        return self.has("" if line is None else str(line))

    def share_of(self, total: int) -> int:
        """
        Return this part's share of *total*, whose remainder goes to the first parts.
        """
        whole, rest = divmod(total, self.count)
        return whole + (self.index <= rest)

    def path_of(self, path: Path) -> Path:
        """
        Return this part's own file beside *path*: `report.3-of-8.jsonl` for `report.jsonl`.
        """
        return path.with_name(f"{path.stem}.{self.label}{path.suffix}")


def shards_of(path: Path) -> re.Pattern[str]:
    """
    Return what the names of all parts' files beside *path* look like.
    """
    return re.compile(rf"{re.escape(path.stem)}\.{LABEL}{re.escape(path.suffix)}")
