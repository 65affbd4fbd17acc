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

from batchfetch.errors import SettingsError
from batchfetch.storage.store.errors import CREDENTIALS, ConditionFailedError, store_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import AsyncWritableFile, Attributes, ObjectMeta, PutMode, PutResult, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

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

# Of one request, its body included; a part or an image has 8 MiB at most.
_TIMEOUT = "60s"
_CONNECT_TIMEOUT = "5s"

# Where each store's variables begin, and those of them that are about its client: obstore reads
# these from the environment only if no client options are given.
_VARIABLES = {"s3": "AWS_", "az": "AZURE_", "gs": "GOOGLE_"}
_TEXT_OPTIONS = "timeout", "connect_timeout", "proxy_url", "proxy_excludes", "user_agent"
_SWITCHES = "allow_http", "allow_invalid_certificates"

# Any of these gives credentials for S3; a profile gives none that are read.
_S3_CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)

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
        _require_credentials(url)
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
    ) -> Version:
        """
        Put *data* at *key* in one request.

        With *create* only if nothing is there, with *replaces* only if that still is; else raises
        `ConditionFailedError`.
        """
        mode: PutMode = "create" if create else "overwrite"
        if replaces is not None:
            mode = cast("UpdateVersion", replaces)
        for delay in _CONFLICT_DELAYS:
            try:
                return await self._put(key, data, labels, mode)
            except ConditionFailedError:
                # Without a condition: S3 refuses one of two writes at the same moment.
                if mode != "overwrite":
                    raise
                await anyio.sleep(delay)
        return await self._put(key, data, labels, mode)

    async def _put(
        self, key: str, data: bytes, labels: Mapping[str, str] | None, mode: "PutMode"
    ) -> Version:
        with self.errors():
            result = await obstore.put_async(
                self._store,
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
    options = _client_options(scheme)
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
        detail = str(exc).split("\n", 1)[0]
        raise SettingsError(
            f"{url} cannot be used: {detail}; {CREDENTIALS[scheme]}, or correct --output"
        ) from None


def _client_options(scheme: str) -> "ClientConfig":
    given = {
        name.removeprefix(_VARIABLES[scheme]).lower(): text
        for name, text in os.environ.items()
        if name.startswith(_VARIABLES[scheme]) and text
    }
    options: dict[str, object] = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT}
    options.update({name: given[name] for name in _TEXT_OPTIONS if name in given})
    options.update(
        {name: given[name].lower() in {"1", "true"} for name in _SWITCHES if name in given}
    )
    return cast("ClientConfig", options)


def _require_credentials(url: str) -> None:
    """
    Refuse a profile that would be passed over in silence.  Raises `SettingsError`.
    """
    if not url.startswith("s3://") or any(os.environ.get(name) for name in _S3_CREDENTIALS):
        return
    if os.environ.get("AWS_PROFILE"):
        raise SettingsError(
            "AWS_PROFILE is set, and profiles and SSO are not read for s3:// outputs; run"
            ' eval "$(aws configure export-credentials --format env)" first'
        )


def _version(result: "PutResult | ObjectMeta") -> Version:
    known = {"e_tag": result["e_tag"], "version": result["version"]}
    return {name: text for name, text in known.items() if text is not None}
