"""
Division of the text of a table into rows of cells.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator

from batchfetch.manifest.lines import MARKS, MAX_ROW, Lines, is_cut
from batchfetch.manifest.quoting import DamagedQuotationError, QuotedRow
from batchfetch.text import unmark_formula

# Lines after a damaged quotation that all have to look like rows before they are read as rows.
_EVIDENCE = 20

Row = tuple[int, list[str] | str, bool]
"""A line; the cells of the row that begins there, or the reason why it has none; and whether lone
surrogates may stand for bytes in it that could not be decoded.  A plain tuple, because a named one
takes as long to make as all else here."""


_Line = tuple[int, str]
"""The number of a line, and a piece of its text."""


def plain_rows(lines: Lines, delimiter: str) -> Iterator[Row]:
    """
    Yield the rows of *lines*, in which quotation marks are characters like any other.
    """
    while piece := lines.piece():
        if piece[0] in MARKS:
            piece = piece.lstrip(MARKS)
        if len(piece) < MAX_ROW or piece[-1] == "\n":
            yield lines.number, piece.rstrip("\n").split(delimiter), not piece.isascii()
            continue
        while is_cut(piece):
            piece = lines.piece()
        yield lines.number, f"the line is longer than {MAX_ROW} characters; shorten it", False


class QuotedRows:
    """
    Iterator over the rows of *lines*, in which cells may be quoted as in CSV.

    Where a damaged quotation ends cannot be known, and text in it must not be taken for rows.  So
    its row includes the lines that follow, up to lines that all look like rows to *is_row*.
    """

    def __init__(self, lines: Lines, delimiter: str) -> None:
        self.is_row: Callable[[list[str]], bool] = lambda _: False
        self._delimiter = delimiter
        self._pieces = _Pieces(lines)
        self._feed = _Feed(self._pieces, delimiter)
        self._reader = csv.reader(self._feed, delimiter=delimiter, strict=True)

    def push_back(self, number: int, text: str) -> None:
        """
        Make *text*, which was read as line *number*, the next one again.
        """
        self._pieces.push_back([(number, text)])

    def __iter__(self) -> Iterator[Row]:
        pieces, delimiter = self._pieces, self._delimiter
        between = f'"{delimiter}"'
        while text := pieces.next():
            if text[0] in MARKS:
                text = text.lstrip(MARKS)
            if '"' not in text and len(text) < MAX_ROW:
                cells = text.rstrip("\n").split(delimiter)
                yield pieces.number, _unmarked(cells, text), not text.isascii()
                continue
            # Many programs quote every cell; here all marks are around cells and none within.
            if text[0] == '"' and text[-2:] == '"\n':
                cells = text[1:-2].split(between)
                if text.count('"') == 2 * len(cells):
                    yield pieces.number, _unmarked(cells, text), not text.isascii()
                    continue
            first, parsed, undecoded = self._quoted_row(text)
            yield first, parsed if isinstance(parsed, str) else _unmarked(parsed, "'"), undecoded

    def _quoted_row(self, text: str) -> Row:
        first, feed = self._pieces.number, self._feed
        feed.begin(first, text)
        try:
            cells = next(self._reader)
        except (csv.Error, _ParserNeededError):
            # A sound row is read again by a parser without the limits of csv.reader.
            self._pieces.push_back(feed.taken)
            return first, self._parsed(first), True
        return first, cells, not feed.is_ascii

    def _parsed(self, first: int) -> list[str] | str:
        row, length = QuotedRow(self._delimiter), 0
        while text := self._pieces.next():
            try:
                is_whole = row.feed(text, is_cut=is_cut(text))
            except DamagedQuotationError:
                self._pieces.skip_rest_of_line(text)
                return self._problem(first, self._last_damaged_line(), "text follows a quotation")
            if (length := length + len(text)) > MAX_ROW:
                if is_whole:
                    return f"the row is longer than {MAX_ROW} characters; shorten it"
                row.forget()
                if row.is_within_quotation:
                    self._pieces.skip_until_quote()
            elif is_whole:
                return row.cells
        last = self._pieces.number
        return self._problem(first, last, "a quotation is not closed before the end of the file")

    def _last_damaged_line(self) -> int:
        """
        Skip lines until rows begin again, and return the number of the last line skipped.
        """
        held: list[_Line] = []
        last, length, evidence = self._pieces.number, 0, 0
        while evidence < _EVIDENCE and length < MAX_ROW and (text := self._pieces.next()):
            if text.isspace() or self._looks_like_row(text):
                held.append((self._pieces.number, text))
                length += len(text)
                evidence += not text.isspace()
            else:
                self._pieces.skip_rest_of_line(text)
                held.clear()
                last, length, evidence = self._pieces.number, 0, 0
        self._pieces.push_back(held)
        return last

    def _looks_like_row(self, text: str) -> bool:
        row = QuotedRow(self._delimiter)
        try:
            is_whole = not is_cut(text) and row.feed(text)
        except DamagedQuotationError:
            return False
        return is_whole and not row.has_stray_quotes and self.is_row(row.cells)

    @staticmethod
    def _problem(first: int, last: int, what: str) -> str:
        where = f"line {first} does" if first == last else f"lines {first} to {last} do"
        return (
            f"{where} not form a row: {what}; check for a missing quotation mark, and write those"
            " within a cell twice"
        )


def _unmarked(cells: list[str], text: str) -> list[str]:
    """
    Return *cells*, made of *text*, without the apostrophes that keep them from being formulas.
    """
    return list(map(unmark_formula, cells)) if "'" in text else cells


class _Pieces:
    """
    The pieces of *lines*, some of which may be put back; `number` is the line of the last one.
    """

    def __init__(self, lines: Lines) -> None:
        self.number = 0
        self._lines = lines
        self._ahead: deque[_Line] = deque()

    def next(self) -> str:
        """
        Return the next piece; empty at the end.
        """
        if self._ahead:
            self.number, text = self._ahead.popleft()
            return text
        text = self._lines.piece()
        self.number = self._lines.number
        return text

    def push_back(self, lines: list[_Line]) -> None:
        """
        Make *lines* the next ones.
        """
        self._ahead.extendleft(reversed(lines))

    def skip_until_quote(self) -> None:
        """
        Skip the pieces that have no quotation mark.
        """
        while (text := self.next()) and '"' not in text:
            pass
        if text:
            self.push_back([(self.number, text)])

    def skip_rest_of_line(self, piece: str) -> None:
        """
        Read to the end of the line that *piece* is part of.
        """
        while is_cut(piece):
            piece = self.next()


class _ParserNeededError(Exception):
    """
    The row has something that `csv.reader` would not read as intended, or would keep in memory.
    """


class _Feed:
    """
    The lines of one row for `csv.reader`, kept in `taken` in case they have to be read again.
    """

    def __init__(self, pieces: _Pieces, delimiter: str) -> None:
        self.taken: list[_Line] = []
        self.is_ascii = True
        self._pieces = pieces
        self._first: str | None = None
        self._left = 0
        # A tab before a quotation mark is a blank, unless it separates cells.
        self._blank_quotes = ' "' if delimiter == "\t" else '\t"'

    def begin(self, number: int, text: str) -> None:
        """
        Declare that *text*, read as line *number*, begins a row.
        """
        self.taken = [(number, text)]
        self.is_ascii = text.isascii()
        self._first = text
        self._left = MAX_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text, self._first = self._first, None
        if text is None:
            text = self._pieces.next()
            if not text:
                raise StopIteration
            self.taken.append((self._pieces.number, text))
            self.is_ascii = self.is_ascii and text.isascii()
        self._left -= len(text)
        if self._left <= 0 or ' "' in text or self._blank_quotes in text:
            raise _ParserNeededError
        return text
