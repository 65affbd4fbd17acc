"""
Damaged quotations and rows of any length in CSV: text never becomes tasks, memory stays flat.
"""

import csv
import io
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.manifest import ManifestFormat
from batchfetch.manifest.formats import read_rows
from batchfetch.manifest.lines import MAX_ROW, Lines
from batchfetch.manifest.quoting import DamagedQuotationError, QuotedRow
from batchfetch.models import Job


def rows_of(text):
    """
    Return every row of the CSV *text*: of a usable one the id, of another its detail.
    """
    return [
        row.task_id if isinstance(row, Job) else row.detail
        for row in read_rows(Lines(io.StringIO(text), "m"), ManifestFormat.CSV)
    ]


PROSE = "He paid, and left.\nyes,\nno, no\nfour words, of text\nnever\n"


def bad(first, last):
    """
    Return how the detail of a row begins that takes these lines.
    """
    return f"line {first} does" if first == last else f"lines {first} to {last} do"


@pytest.mark.parametrize(
    ("damaged", "last"),
    [
        # Unescaped marks within a quotation, which ends on its line or lines later.
        ('a,"5" pipe",x\n', 2),
        ('a,"x"y,z\n', 2),
        ('a,"he said "hi" to me",x\n', 2),
        ('a,"he said "hi" and\n' + PROSE + 'left",x\n', 8),
        ('a,"he said "hi",\n' + PROSE + '" and left",x\n', 8),
        ('a,"he said "yes", she replied\n' + PROSE + 'more",x\n', 8),
        ('a,"one" two\nthree four",x\n', 3),
        ('a,"text" \x1a\n' + PROSE + '",x\n', 8),
    ],
)
def test_a_damaged_quotation_is_one_bad_row(damaged, last):
    """
    All its lines are one bad row, none of its words is a task, and the rows around it are read.
    """
    before, after = "z,1,2\n", "".join(f"b{number},n{number},x\n" for number in range(30))
    text = f"id,name,x\n{damaged}{before}{after}"
    first, *rest = rows_of(text)
    assert first.startswith(bad(2, last))
    assert "check for a missing quotation mark" in first
    assert rest == ["z", *(f"b{number}" for number in range(30))]


@pytest.mark.parametrize("lines", [1, 10, 300_000])
def test_a_quotation_that_is_never_closed_is_one_bad_row(lines):
    """
    Whether what follows is text or rows cannot be known, however long it is.
    """
    good, detail = rows_of('id,x\nz,1\na,"open\n' + "b,1\n" * lines)
    assert good == "z"
    assert detail.startswith(bad(3, lines + 3))
    assert "is not closed before the end of the file" in detail


def test_rows_behind_a_damaged_quotation_may_be_quoted():
    """
    A sound quotation in the rows that follow does not make them text.
    """
    text = 'id,name,x\na,"5" pipe",x\nb,"n, m","x"\nc,"o",\n'
    assert rows_of(text)[1:] == ["b", "c"]


def test_text_behind_a_second_damage_is_no_row_either():
    """
    After each damage it is judged anew where rows begin.
    """
    damaged = 'a,"x"y\n' + "word word\n" + 'b,"x"y\n' + "word word\n"
    details = rows_of("id,x\n" + damaged + "c,1\n")
    assert details[-1] == "c"
    assert [detail[:15] for detail in details[:-1]] == ["lines 2 to 5 do"]


@pytest.mark.parametrize("size", [131_073, 500_000, MAX_ROW - 100])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_long_cell_is_kept(size, blank):
    """
    A cell may be as long as a row, with line breaks or without.
    """
    for cell in ("w" * size, "word\n" * (size // 5)):
        text = f'id,x,name\na,{blank}"{cell}",n\nb,,\n'
        first, second = read_rows(Lines(io.StringIO(text), "m"), ManifestFormat.CSV)
        assert (first.task_id, first.name, first.extra["x"]) == ("a", "n", cell)
        assert second.task_id == "b"


@pytest.mark.parametrize(
    "cell",
    ["w" * MAX_ROW, "word\n" * (MAX_ROW // 4), 'w ""w""\n' * (MAX_ROW // 6), '""w ' * MAX_ROW],
)
@pytest.mark.parametrize("rest", ["", ",n", ',"n"', ',"n\nm"'])
def test_a_row_that_is_too_long_is_one_bad_row(cell, rest):
    """
    The end of a row that is too long to keep is found all the same.
    """
    detail, good = rows_of(f'id,x,name\na,"{cell}"{rest}\nb,1,\n')
    assert (detail, good) == (f"the row is longer than {MAX_ROW} characters; shorten it", "b")


def test_a_long_line_without_quotes_is_one_bad_row():
    """
    A line without quotations that is too long does not become part of the next one.
    """
    assert rows_of("id,x\na," + "w," * MAX_ROW + "\nb,1\n")[1] == "b"
    assert rows_of("id,x\na," + "w" * MAX_ROW + ',"x\ny"\nb,1\n')[1] == "b"


class Repeated(io.RawIOBase):
    """
    A file of *head*, then *unit* repeated to *size* bytes, then *tail*, made while it is read.
    """

    def __init__(self, head, unit, size, tail):
        self._unit, self._left, self._tail = unit * (2**16 // len(unit)), size, tail
        self._next = head

    def readable(self):
        """
        It can be read.
        """
        return True

    def readinto(self, buffer):
        """
        Read the next bytes.
        """
        if not self._next and self._left > 0:
            self._next, self._left = self._unit, self._left - len(self._unit)
        elif not self._next:
            self._next, self._tail = self._tail, b""
        count = min(len(buffer), len(self._next))
        buffer[:count], self._next = self._next[:count], self._next[count:]
        return count


@pytest.mark.parametrize(
    ("manifest_format", "head", "tail"),
    [
        (ManifestFormat.CSV, b'id,x\na,"', b'"\nb,1\n'),
        (ManifestFormat.CSV, b"id,x\na,", b"\nb,1\n"),
        (ManifestFormat.CSV, b'id,x\na,"x"y', b"\nb,1\n"),
        (ManifestFormat.TSV, b'id\tx\na\t"', b"\nb\t1\n"),
        (ManifestFormat.JSONL, b'{"id":"z"}\n{"id":"a","x":"', b'"}\n{"id":"b"}\n'),
        (ManifestFormat.TXT, b"a", b"\nb\n"),
    ],
)
@pytest.mark.parametrize("unit", [b"word ", b"some words, " * 20 + b"\n"])
def test_a_cell_of_100_mb_takes_no_memory(manifest_format, head, tail, unit):
    """
    A cell of any length is read in pieces of which none is kept.
    """
    if not head.endswith(b'a,"'):
        unit = unit.rstrip(b"\n")
    stream = io.TextIOWrapper(
        io.BufferedReader(Repeated(head, unit, 100 * 2**20, tail)), encoding="utf-8-sig"
    )
    tracemalloc.start()
    rows = list(read_rows(Lines(stream, "m"), manifest_format))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    *_, unusable, last = rows
    assert not isinstance(unusable, Job)
    assert last.task_id == "b"
    assert peak < 48 * 2**20


CELL = st.text(st.sampled_from('ab,"\n ;\t'), max_size=6)


@given(st.lists(CELL, min_size=2, max_size=5), st.sampled_from(",;\t"))
def test_the_parser_reads_what_the_csv_module_writes(cells, delimiter):
    """
    Any row that is written with all its cells quoted is read back, at the end of a file too.
    """
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(
        cells
    )
    for text in (written.getvalue(), written.getvalue()[:-1]):
        row = QuotedRow(delimiter)
        ends = [row.feed(line) for line in text.splitlines(keepends=True)]
        assert ends[-1:] == [True]
        assert not any(ends[:-1])
        assert row.cells == cells


@given(st.text(st.sampled_from('ab,"\n '), min_size=1, max_size=24), st.data())
def test_a_line_in_pieces_is_the_line(text, data):
    """
    Cutting lines into pieces anywhere does not change the cells, nor where the row ends.
    """
    whole, pieces = QuotedRow(","), QuotedRow(",")
    for line in text.splitlines(keepends=True):
        cut = data.draw(st.integers(0, len(line) - 1))
        try:
            ended = whole.feed(line)
        except DamagedQuotationError:
            return
        try:
            if cut and pieces.feed(line[:cut], is_cut=True):
                raise AssertionError("a row cannot end within a line")
            assert pieces.feed(line[cut:]) == ended
        except DamagedQuotationError:
            assert not line[:cut].rstrip('" ')  # Of a piece without text nothing can be known.
            return
        assert pieces.cells == whole.cells
        if ended:
            return


WORDS = ["yes", "no", "I", "agree", "x1"]


@given(
    st.lists(
        st.lists(st.sampled_from([*WORDS, "a, b", 'say "hi"', '"']), min_size=1, max_size=3).map(
            " ".join
        ),
        min_size=1,
        max_size=8,
    )
    # A mark before a line end or a comma closes the quotation soundly, and rows follow.
    .map("\n".join)
    .filter(re.compile(r'[^"]*" *[^ ,\n"]').match)
)
def test_words_of_a_damaged_text_are_never_tasks(text):
    """
    A text with quotation marks that were not doubled gives bad rows, and only the rows around it.
    """
    rows = [f"t{number},1,2,3\n" for number in range(25)]
    found = rows_of(f'id,x,y,z\nfirst,1,2,3\nbad,"{text}",2,3\n' + "".join(rows))
    tasks = {*found} - {detail for detail in found if " " in detail}
    assert tasks <= {"first", "bad", *(f"t{number}" for number in range(25))}
