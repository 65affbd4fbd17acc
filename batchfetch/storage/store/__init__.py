"""
Object stores: S3, Azure Blob Storage and Google Cloud Storage.  Needs the extra `store`.
"""

from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.marks import StoreMarks
from batchfetch.storage.store.storage import StoreStorage

__all__ = ["Bucket", "StoreMarks", "StoreStorage"]
