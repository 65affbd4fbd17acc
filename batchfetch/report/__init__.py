"""
The report: one line of JSON for every outcome, and the memory of every later run.
"""

from batchfetch.report.interruptions import Cause, Interruption, Interruptions, Present
from batchfetch.report.ledger import Ledger, Owner, Settled, Standing
from batchfetch.report.lines import ReportLine
from batchfetch.report.read_back import ReadBack
from batchfetch.report.reader import read_lines, require_report
from batchfetch.report.recorder import Recorder
from batchfetch.report.reports import (
    LastLines,
    Reports,
    load_report,
    read_owner,
    read_report,
    read_successors,
    reports_of,
)
from batchfetch.report.runs import RunLog
from batchfetch.report.segments import Newest, SegmentLog, load_segment
from batchfetch.report.writer import ReportWriter, open_report

__all__ = [
    "Cause",
    "Interruption",
    "Interruptions",
    "LastLines",
    "Ledger",
    "Newest",
    "Owner",
    "Present",
    "ReadBack",
    "Recorder",
    "ReportLine",
    "ReportWriter",
    "Reports",
    "RunLog",
    "SegmentLog",
    "Settled",
    "Standing",
    "load_report",
    "load_segment",
    "open_report",
    "read_lines",
    "read_owner",
    "read_report",
    "read_successors",
    "reports_of",
    "require_report",
]
