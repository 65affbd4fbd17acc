"""
Where images go.
"""

from batchfetch.storage.folder import Folder
from batchfetch.storage.local import WRITE_SIZE, ImageFile, LocalStorage, open_storage

__all__ = ["WRITE_SIZE", "Folder", "ImageFile", "LocalStorage", "open_storage"]
