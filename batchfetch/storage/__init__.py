"""
Where images go.
"""

from batchfetch.storage.folder import Folder
from batchfetch.storage.local import ImageFile, LocalStorage, open_storage

__all__ = ["Folder", "ImageFile", "LocalStorage", "open_storage"]
