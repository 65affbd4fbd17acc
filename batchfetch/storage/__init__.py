"""
Results → files: the interface, folders of this machine, and object stores.
"""

from batchfetch.storage.base import Found, LockKeeper, ReportKeeper, Storage, Target
from batchfetch.storage.executor import FileExecutor
from batchfetch.storage.local import LocalStorage
from batchfetch.storage.marks import Marks, mark_name
from batchfetch.storage.opening import open_marks, open_storage

__all__ = [
    "FileExecutor",
    "Found",
    "LocalStorage",
    "LockKeeper",
    "Marks",
    "ReportKeeper",
    "Storage",
    "Target",
    "mark_name",
    "open_marks",
    "open_storage",
]
