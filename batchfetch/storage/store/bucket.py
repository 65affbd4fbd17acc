"""
An object store below one prefix: the few requests that are made of it, with errors in our words.
"""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, cast

import anyio
import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from batchfetch.storage.store.errors import ConditionFailedError, store_error
from batchfetch.storage.store.variables import (
    client_options,
    refused_settings,
    require_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import AsyncWritableFile, Attributes, ObjectMeta, PutMode, PutResult, UpdateVersion
    from obstore.store import ObjectStore, RetryConfig

Version = Mapping[str, str]
"""Tells one content of an object from the next."""

# A store that is out of order for minutes fails no task; one that was never there is told at once.
_PATIENT: "RetryConfig" = {
    "max_retries": 60,
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=10)},
    "retry_timeout": timedelta(minutes=3),
}
_QUICK: "RetryConfig" = {
    "max_retries": 6,
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=1)},
    "retry_timeout": timedelta(seconds=10),
}

# Bytes of a part of a long upload, and how many of one upload are under way at once.
_PART = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2

# Seconds before a write that met another one is tried again.
_CONFLICT_DELAYS = 0.2, 1.0, 3.0

# Objects in an answer to a listing.
_PAGE = 1000


class Found(NamedTuple):
    """
    What a store says of an object.
    """

    size: int
    modified: datetime
    """By the store's clock."""

    version: Version
    labels: Mapping[str, str]
    """What was noted with it when it was put there."""


class Bucket:
    """
    The objects whose keys begin with the prefix of *url*, by the rest of their keys.

    Every method raises `StorageError` if the store fails; `ConditionFailedError` and
    `MissingObjectError` are kinds of it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = url.partition("://")[2].partition("/")[2]
        require_settings(url, os.environ)
        self._store = _opened(url, _PATIENT)
        self._first = _opened(url, _QUICK)

    async def require_access(self) -> None:
        """
        Make sure that there is such a store and that it can be listed; ask for seconds only.
        """
        with self.errors():
            async for _ in obstore.list(self._first, chunk_size=1):
                return

    async def put(
        self,
        key: str,
        data: bytes,
        labels: Mapping[str, str] | None = None,
        *,
        create: bool = False,
        replaces: Version | None = None,
        quick: bool = False,
    ) -> Version:
        """
        Put *data* at *key* in one request; with *quick* try it for seconds only.

        With *create* only if nothing is there, with *replaces* only if that still is; else raises
        `ConditionFailedError`, or `UnsupportedRequestError` if the store knows no such conditions.
        """
        store = self._first if quick else self._store
        mode: PutMode = "create" if create else "overwrite"
        if replaces is not None:
            mode = cast("UpdateVersion", replaces)
        for delay in _CONFLICT_DELAYS:
            try:
                return await self._put(store, key, data, labels, mode)
            except ConditionFailedError:
                # Without a condition: S3 refuses one of two writes at the same moment.
                if mode != "overwrite":
                    raise
                await anyio.sleep(delay)
        return await self._put(store, key, data, labels, mode)

    async def _put(
        self,
        store: "ObjectStore",
        key: str,
        data: bytes,
        labels: Mapping[str, str] | None,
        mode: "PutMode",
    ) -> Version:
        with self.errors():
            result = await obstore.put_async(
                store,
                key,
                data,
                attributes=cast("Attributes", labels),
                mode=mode,
                use_multipart=False,
            )
        return _version(result)

    def writer(self, key: str, labels: Mapping[str, str]) -> "AsyncWritableFile":
        """
        Begin an object at *key* that is put there in parts.  Use it inside of `errors`.
        """
        return obstore.open_writer_async(
            self._store,
            key,
            attributes=cast("Attributes", labels),
            buffer_size=_PART,
            max_concurrency=_PARTS_AT_ONCE,
        )

    async def find(self, key: str) -> Found | None:
        """
        Return what is at *key*, without its bytes; None if nothing is.
        """
        with self.errors():
            try:
                result = await obstore.get_async(self._store, key, options={"head": True})
            except FileNotFoundError:
                return None
        meta = result.meta
        labels = cast("Mapping[str, str]", result.attributes)
        return Found(meta["size"], meta["last_modified"], _version(meta), labels)

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """
        Yield the object at *key* in pieces.
        """
        with self.errors():
            result = await obstore.get_async(self._store, key)
            async for piece in result.stream():
                yield bytes(piece)

    async def list(
        self, under: str | None = None
    ) -> AsyncGenerator[Sequence[tuple[str, int]], None]:
        """
        Yield the key and the size of each object, of those below the folder *under*, page by page.
        """
        with self.errors():
            async for page in obstore.list(self._store, under, chunk_size=_PAGE):
                yield [(each["path"], each["size"]) for each in page]

    async def delete(self, key: str) -> None:
        """
        Remove the object at *key*, if it is there.
        """
        with self.errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    @contextmanager
    def errors(self) -> "Iterator[None]":
        """
        Turn errors of obstore into ours.
        """
        try:
            yield
        except (BaseError, FileNotFoundError, OSError) as exc:
            raise store_error(exc, self.url) from None


def _opened(url: str, retries: "RetryConfig") -> "ObjectStore":
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    options = client_options(scheme, os.environ)
    try:
        match scheme:
            case "s3":
                return S3Store(
                    bucket, prefix=prefix or None, client_options=options, retry_config=retries
                )
            case "az":
                return AzureStore(
                    bucket, prefix=prefix or None, client_options=options, retry_config=retries
                )
            case _:
                return GCSStore(
                    bucket, prefix=prefix or None, client_options=options, retry_config=retries
                )
    except (BaseError, ValueError, OSError) as exc:
        raise refused_settings(url, str(exc)) from None


def _version(result: "PutResult | ObjectMeta") -> Version:
    known = {"e_tag": result["e_tag"], "version": result["version"]}
    return {name: text for name, text in known.items() if text is not None}
