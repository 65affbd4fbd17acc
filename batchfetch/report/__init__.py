"""
The report: one line of JSON for every outcome, and the memory of every later run.
"""

from batchfetch.report.ledger import Ledger, Owner, Settled, Standing
from batchfetch.report.lines import ReportLine
from batchfetch.report.reader import LastLines, load_report, read_lines, read_owner, read_report
from batchfetch.report.recorder import Recorder
from batchfetch.report.runs import RunLog
from batchfetch.report.writer import ReportWriter, open_report

__all__ = [
    "LastLines",
    "Ledger",
    "Owner",
    "Recorder",
    "ReportLine",
    "ReportWriter",
    "RunLog",
    "Settled",
    "Standing",
    "load_report",
    "open_report",
    "read_lines",
    "read_owner",
    "read_report",
]
