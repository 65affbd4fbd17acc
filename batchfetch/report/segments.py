"""
Segments: copies of the report's new lines that are kept where the images are.

A segment is some whole lines, under a name that begins with the time.  The last one of a run grows
until it is long enough, so a run leaves a few, however long it takes.  Which of them the report
has, and up to where it has been copied, is noted beside it.

Everything here blocks.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from pydantic import AwareDatetime

from batchfetch.hash_table import HashTable
from batchfetch.report.advice import report_error
from batchfetch.report.ledger import Ledger
from batchfetch.report.lines import ReportLine, decode, decode_as
from batchfetch.report.reader import raw_lines

# Bytes of a segment at most, unless a single line is longer.
_MOST = 4 * 1024 * 1024

# Bytes from which on a segment does not grow any more.
_LONG_ENOUGH = 1024 * 1024


_THERE = 1


class _TimedLine(ReportLine):
    finished_at: AwareDatetime | None = None


class SegmentLog:
    """
    Which segments the report at *path* has, and how much of it is in segments.

    With *read_only* nothing is written before `note`.  Raises `ReportError`.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._report = path
        self._path = path.with_name(f"{path.name.removesuffix('.jsonl')}.segments")
        self._known: dict[str, int] = {}

        self.sent = 0
        """Bytes of the report that are in segments."""

        self._growing = ""
        self._growing_from = 0
        with _errors(self._path):
            is_torn = self._read()
            if is_torn and not read_only:
                with self._path.open("a", encoding="ascii") as file:
                    file.write("\n")
        if self.sent > self._size():
            # It is another report by now, and the log tells nothing of it.
            self._known.clear()
            self.sent = 0
            if not read_only:
                with _errors(self._path):
                    self._path.unlink(missing_ok=True)

    def missing(self, kept: Mapping[str, int]) -> list[str]:
        """
        Return the names of those of the segments *kept*, by their bytes, that the report lacks.

        A run that has lost its lock may make one longer that another run has read already.
        """
        return sorted(name for name, size in kept.items() if self._known.get(name) != size)

    def note(self, name: str, size: int, end: int) -> None:
        """
        Note that the report has the segment *name* of *size* bytes, and is in segments up to the
        byte *end*.

        Raises `ReportError`.
        """
        with _errors(self._path), self._path.open("a", encoding="ascii") as file:
            file.write(f"{name} {size} {end}\n")
        self._known[name] = size
        self.sent = end
        if name != self._growing:
            self._growing = ""  # What follows is not next to it.

    def _read(self) -> bool:
        """
        Read the log; return whether a run died while it wrote the last line.
        """
        if not self._path.exists():
            return False
        text = self._path.read_text("ascii", errors="replace")
        for line in text.splitlines():
            name, _, numbers = line.partition(" ")
            size, _, end = numbers.partition(" ")
            if size.isdecimal() and end.isdecimal():
                self.sent = max(self.sent, int(end))
                self._known[name] = int(size)
        return bool(text) and not text.endswith("\n")

    def unsent(self) -> Iterator[tuple[str, bytes, int]]:
        """
        Yield segments that are new or have grown: a name, the whole lines in it, and the byte at
        which they end.
        """
        while data := self._lines_from(self.sent):
            end = self.sent + len(data)
            if self._grows_to(end):
                data = self._between(self._growing_from, end)
            else:
                now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                self._growing = f"{now}-{token_hex(4)}.jsonl"
                self._growing_from = self.sent
            yield self._growing, data, end

    def _grows_to(self, end: int) -> bool:
        is_short = self.sent - self._growing_from < _LONG_ENOUGH
        return bool(self._growing) and is_short and end - self._growing_from <= _MOST

    def _between(self, start: int, end: int) -> bytes:
        with _errors(self._report), self._report.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def _lines_from(self, start: int) -> bytes:
        with _errors(self._report), self._report.open("rb") as file:
            file.seek(start)
            data = file.read(_MOST)
            if len(data) == _MOST and b"\n" not in data:
                data += file.readline()
        return data[: data.rfind(b"\n") + 1]

    def _size(self) -> int:
        with _errors(self._report):
            return self._report.stat().st_size if self._report.exists() else 0


class Newest:
    """
    When each task of the report at *path* was last decided: nothing older is to be added.
    """

    def __init__(self, path: Path) -> None:
        self._times = HashTable("Q")
        for _, _, line in raw_lines(path):
            self._note(line)

    def newer(self, segment: bytes) -> bytes:
        """
        Return those lines of *segment* that say something new.
        """
        return b"".join(line for line in segment.splitlines(keepends=True) if self._note(line))

    def _note(self, line: bytes) -> bool:
        if line[-1:] != b"\n":
            return False
        try:
            found = decode_as(_TimedLine, line)
        except ValueError:
            return False
        if found is None:
            return False
        who = (found.manifest, found.line) if found.task_id is None else found.task_id.casefold()
        time = 0 if found.finished_at is None else int(found.finished_at.timestamp() * 1e6)
        is_known, newest = self._times.get(str(who))
        if is_known and newest >= time:
            return False
        self._times.mark(str(who), _THERE, number=time)
        return True


def load_segment(segment: bytes, ledger: Ledger) -> None:
    """
    Note every outcome of *segment* in *ledger*.
    """
    for text in segment.splitlines(keepends=True):
        try:
            line = decode(text)
        except ValueError:
            continue
        if line is not None and line.task_id is not None:
            ledger.note_previous(line.task_id, line.status, size=line.bytes or 0, path=line.path)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise report_error(path, "used", exc) from exc
