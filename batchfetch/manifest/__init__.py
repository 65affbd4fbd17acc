"""
Manifest files: read TXT, CSV, TSV and JSON Lines into jobs.
"""

from batchfetch.manifest.formats import ManifestFormat
from batchfetch.manifest.manifest import Manifest
from batchfetch.manifest.names import default_filename, image_filename
from batchfetch.manifest.objects import job_of
from batchfetch.manifest.rows import RowReader

__all__ = [
    "Manifest",
    "ManifestFormat",
    "RowReader",
    "default_filename",
    "image_filename",
    "job_of",
]
