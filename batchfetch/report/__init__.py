"""
The report: one line of JSON for every outcome, and the memory of every later run.
"""

from batchfetch.report.lines import ReportLine, encode
from batchfetch.report.reader import load_report, read_report
from batchfetch.report.writer import ReportWriter, open_report

__all__ = ["ReportLine", "ReportWriter", "encode", "load_report", "open_report", "read_report"]
