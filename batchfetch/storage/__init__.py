"""
Results → files: the interface, and folders of this machine.
"""

from batchfetch.storage.base import Found, Storage, Target
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.local import LocalStorage, open_storage

__all__ = ["FileExecutor", "Found", "LocalStorage", "Storage", "Target", "open_storage"]
