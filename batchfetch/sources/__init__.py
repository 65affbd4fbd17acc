"""
Sources of a submission: find the images in files, folders, tables and reports.
"""

from batchfetch.sources.images import Refusal, RefusedSource, SourceImage
from batchfetch.sources.sources import Sources, read_sources

__all__ = ["Refusal", "RefusedSource", "SourceImage", "Sources", "read_sources"]
