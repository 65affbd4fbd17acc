"""
Parser of one row of CSV, line by line, that tells a damaged quotation from a sound one.
"""

import re
from enum import Enum, auto


class DamagedQuotationError(Exception):
    """
    A closing quotation mark is followed by text, so where the cell ends is not known.
    """


class _Place(Enum):
    CELL_START = auto()
    PLAIN_CELL = auto()
    QUOTED_CELL = auto()


class QuotedRow:
    """
    Cells of one row, fed line by line until `feed` returns True.

    Unlike `csv.reader` it takes blanks around a quoted cell off, has no limit for a cell, and takes
    a line in pieces, so that the end of a row that is too long to keep is found all the same.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        blank = " " if delimiter == "\t" else r"[ \t]"
        self._opening = re.compile(f'{blank}*"')
        self._cell_end = re.compile(f"{blank}*(?:({delimiter})|\n|\\Z)")
        self._plain = re.compile(f"[^{delimiter}\n]*")
        self._place = _Place.CELL_START
        self._parts: list[str] = []
        self._carry = ""
        self._keeps = True
        self.cells: list[str] = []
        self.has_stray_quotes = False
        """Whether a cell without a quotation has a quotation mark in it."""

    @property
    def is_within_quotation(self) -> bool:
        """
        Whether what was fed ends within a quoted cell.
        """
        return self._place is _Place.QUOTED_CELL and not self._carry

    def forget(self) -> None:
        """
        Keep no more text: the row is too long, and only its end is of interest.
        """
        self._keeps = False
        self._parts.clear()
        self.cells.clear()

    def feed(self, piece: str, *, is_cut: bool = False) -> bool:
        """
        Parse a line, or a piece of one if it *is_cut*; return whether the row ends with it.

        Raises `DamagedQuotationError`.
        """
        text, self._carry = self._carry + piece, ""
        if is_cut:
            end = self._end_of_certain(text)
            text, self._carry = text[:end], text[end:]
            if not self._keeps and self._place is not _Place.QUOTED_CELL and '"' not in text:
                ends_cell = text[-1:] == self._delimiter
                self._place = _Place.CELL_START if ends_cell else _Place.PLAIN_CELL
                return False
        position = 0
        while position < len(text) or not is_cut:
            if self._place is _Place.CELL_START and (quote := self._opening.match(text, position)):
                self._place, position = _Place.QUOTED_CELL, quote.end()
            end_of_cell = (
                self._quoted_cell(text, position)
                if self._place is _Place.QUOTED_CELL
                else self._plain_cell(text, position, is_cut=is_cut)
            )
            if end_of_cell is None:
                return False
            self._finish_cell()
            if end_of_cell[1] is None:
                return True
            position = end_of_cell.end()
        return False

    def _end_of_certain(self, text: str) -> int:
        """
        Return how much of *text*, a piece, has a meaning that does not depend on what follows.
        """
        end = len(text.rstrip('" \t'))
        if end == 0 and self._place is _Place.QUOTED_CELL:
            end = len(text.rstrip(" \t").rstrip('"'))
        if end == 0:
            raise DamagedQuotationError
        return end

    def _quoted_cell(self, text: str, position: int) -> re.Match[str] | None:
        while (end := text.find('"', position)) >= 0 and text.startswith('"', end + 1):
            self._keep(text[position : end + 1])
            position = end + 2
        if end < 0:
            self._keep(text[position:])
            return None
        self._keep(text[position:end])
        if (end_of_cell := self._cell_end.match(text, end + 1)) is None:
            raise DamagedQuotationError
        return end_of_cell

    def _plain_cell(self, text: str, position: int, *, is_cut: bool) -> re.Match[str] | None:
        plain = self._plain.match(text, position)
        assert plain is not None  # noqa: S101 - the pattern matches an empty text too
        self._keep(plain[0])
        self.has_stray_quotes = self.has_stray_quotes or '"' in plain[0]
        if plain.end() == len(text) and is_cut:
            self._place = _Place.PLAIN_CELL
            return None
        return self._cell_end.match(text, plain.end())

    def _keep(self, text: str) -> None:
        if self._keeps:
            self._parts.append(text)

    def _finish_cell(self) -> None:
        self._place = _Place.CELL_START
        if self._keeps:
            self.cells.append("".join(self._parts))
            self._parts.clear()
