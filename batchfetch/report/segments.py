"""
Segments: copies of the report's new lines that are kept where the images are.

A segment is some whole lines, under a name that begins with the time.  Which of them the report
has, and up to where it has been copied, is noted beside it.

Everything here blocks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from pydantic import AwareDatetime

from batchfetch.report.advice import report_error
from batchfetch.report.ledger import Ledger
from batchfetch.report.lines import ReportLine, decode, decode_as
from batchfetch.report.reader import raw_lines

# Bytes of a segment at most, unless a single line is longer.
_MOST = 4 * 1024 * 1024


class _TimedLine(ReportLine):
    finished_at: AwareDatetime


class SegmentLog:
    """
    Which segments the report at *path* has, and how much of it is in segments.

    With *read_only* nothing is written before `note`.  Raises `ReportError`.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._report = path
        self._path = path.with_name(f"{path.name.removesuffix('.jsonl')}.segments")
        self.known: set[str] = set()
        """Names of the segments whose lines are in the report."""

        self.sent = 0
        """Bytes of the report that are in segments."""

        with _errors(self._path):
            is_torn = self._read()
            if is_torn and not read_only:
                with self._path.open("a", encoding="ascii") as file:
                    file.write("\n")
        if self.sent > self._size():
            # It is another report by now, and the log tells nothing of it.
            self.known.clear()
            self.sent = 0
            if not read_only:
                with _errors(self._path):
                    self._path.unlink(missing_ok=True)

    def note(self, name: str, end: int) -> None:
        """
        Note that the report has the segment *name*, and is in segments up to the byte *end*.

        Raises `ReportError`.
        """
        with _errors(self._path), self._path.open("a", encoding="ascii") as file:
            file.write(f"{name} {end}\n")
        self.known.add(name)
        self.sent = end

    def _read(self) -> bool:
        """
        Read the log; return whether a run died while it wrote the last line.
        """
        if not self._path.exists():
            return False
        text = self._path.read_text("ascii", errors="replace")
        for line in text.splitlines():
            name, _, end = line.partition(" ")
            if end.isdecimal():
                self.sent = max(self.sent, int(end))
                self.known.add(name)
        return bool(text) and not text.endswith("\n")

    def unsent(self) -> Iterator[tuple[str, bytes, int]]:
        """
        Yield new segments: a name, the whole lines in it, and the byte at which they end.
        """
        while data := self._lines_from(self.sent):
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            yield f"{now}-{token_hex(4)}.jsonl", data, self.sent + len(data)

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
        self._times: dict[int, float] = {}
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
        key, time = hash(str(who)), found.finished_at.timestamp()
        if self._times.get(key, 0.0) >= time:
            return False
        self._times[key] = time
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
