"""
Lines of a submission's report are written in one go, and what failed is tried again or dropped.
"""

import anyio
import anyio.lowlevel
import pytest

from batchfetch.errors import ReportError
from batchfetch.settings import Durability
from batchfetch.submission.journal import Journal
from batchfetch.submission.lines import Ending, Intent

pytestmark = pytest.mark.anyio


class ScriptedReport:
    """
    A report whose first writes fail after so many lines; *is_torn* says that the next broke off.
    """

    def __init__(self, *failures, is_torn=False):
        self.failures = list(failures)
        self.is_torn = is_torn
        self.lines = []
        self.writes = 0

    async def write_lines(self, lines, *, sync):
        """
        See `ReportWriter.write_lines`.
        """
        await anyio.lowlevel.checkpoint()
        self.writes += 1
        self.is_synced = sync
        if self.failures:
            written = self.failures.pop(0)
            self.lines += lines[:written]
            error = ReportError("no room")
            error.written = written
            raise error
        self.lines += lines
        return []


def intents(report):
    """
    Return the intents that the report has, in order.
    """
    return [line.partition(b'"intent":"')[2].partition(b'"')[0].decode() for line in report.lines]


async def test_lines_that_come_together_are_written_in_one_go():
    """
    While one write is under way the lines of all others gather for the next.
    """
    report = ScriptedReport()
    journal = Journal(report, Durability.FILE)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(journal.intend, Intent(intent=f"i{number}"))
    assert sorted(intents(report)) == sorted(f"i{number}" for number in range(20))
    assert report.writes == 2
    assert report.is_synced


async def test_what_could_not_be_written_comes_with_the_next():
    """
    The end of a POST is not lost when the disk has no room for a while.
    """
    report = ScriptedReport(1)
    journal = Journal(report, Durability.FILE)
    with pytest.raises(ReportError):
        await journal.write(*(Ending(intent=f"i{number}", ended="x") for number in range(3)))
    assert intents(report) == ["i0"]
    await journal.write(Ending(intent="i3", ended="x"))
    assert intents(report) == ["i0", "i1", "i2", "i3"]


async def test_an_intent_that_could_not_be_written_is_dropped():
    """
    Nothing is sent for it, so the report must not say later that something was.
    """
    report = ScriptedReport(0)
    journal = Journal(report, Durability.FILE)
    with pytest.raises(ReportError):
        await journal.intend(Intent(intent="i0"))
    await journal.flush()
    assert report.lines == []
    await journal.intend(Intent(intent="i1"))
    assert intents(report) == ["i1"]


async def test_an_intent_that_is_torn_is_made_whole():
    """
    Where the beginning of a line cannot be cut off, the next write has to begin with it.
    """
    report = ScriptedReport(0, is_torn=True)
    journal = Journal(report, Durability.FILE)
    with pytest.raises(ReportError):
        await journal.intend(Intent(intent="i0"))
    await journal.flush()
    assert intents(report) == ["i0"]


async def test_a_failed_flush_is_no_error():
    """
    It is the last try; the error that came first has been told.
    """
    report = ScriptedReport(0, 0)
    journal = Journal(report, Durability.NONE)
    with pytest.raises(ReportError):
        await journal.write(Ending(intent="i0", ended="x"))
    await journal.flush()
    await journal.flush()
    assert intents(report) == ["i0"]
    assert not report.is_synced, "with durability none"
