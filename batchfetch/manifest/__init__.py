"""
Manifests: files of task ids in, jobs out.
"""

from batchfetch.manifest.formats import ManifestFormat
from batchfetch.manifest.manifest import Manifest
from batchfetch.manifest.names import default_filename, image_filename

__all__ = ["Manifest", "ManifestFormat", "default_filename", "image_filename"]
