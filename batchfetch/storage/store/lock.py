"""
One run at a time per prefix: an object that is there once only, renewed while its run lives.

A shard has an object of its own.  It puts that there before it looks for the object of a whole run,
which is done the other way round there, so at least one of two that exclude each other sees that.
"""

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from secrets import token_hex

import anyio
from anyio import create_task_group, move_on_after

from batchfetch.errors import OutputLockedError, StorageError
from batchfetch.exception_groups import unwrapped
from batchfetch.sharding import LABEL, Shard
from batchfetch.storage.store.bucket import Bucket, Found, Version
from batchfetch.storage.store.errors import (
    ConditionFailedError,
    MissingObjectError,
    UnsupportedRequestError,
)
from batchfetch.storage.store.holder import identity, is_dead
from batchfetch.storage.store.keys import OWN
from batchfetch.storage.store.tenure import Tenure

log = logging.getLogger(__name__)

LOCK_KEY = f"{OWN}/lock"

_SHARD_LOCKS = f"{OWN}/locks"
_SHARD_KEY = re.compile(rf"(?:.*/)?({LABEL})")

EXPIRY = 120.0
"""Seconds after which a lock that was not renewed is no more."""

RENEWAL = 30.0
"""Seconds between two renewals."""

# Share of its life after which a lock is not relied upon any more: times of a store have whole
# seconds, and a request that is on its way must arrive.
_SAFE = 11 / 12

# Seconds that giving a lock back may take.
_RELEASE = 10.0


@asynccontextmanager
async def held(
    bucket: Bucket,
    tenure: Tenure | None = None,
    shard: Shard | None = None,
    *,
    renewal: float = RENEWAL,
    expiry: float = EXPIRY,
) -> AsyncIterator[None]:
    """
    Hold *bucket* for one run, or for one *shard* of it, during the block; a lock not renewed in
    *expiry* seconds is no more.

    *tenure* is told up to when the run may write.  A store that does not keep two from making one
    object cannot be locked; this is said in a warning.  Raises `OutputLockedError` if another run
    holds it, `StorageError` if it cannot be used, or if another run has taken the lock since, which
    ends the block.
    """
    now = await _probed(bucket)
    if now is None:
        log.warning(
            "%s cannot be locked: the store has no conditional writes, so make sure that no second"
            " run writes there",
            bucket.url,
        )
        yield
        return
    lock = _Lock(bucket, tenure or Tenure(), shard, renewal, expiry)
    await lock.acquire(now)
    try:
        await lock.require_alone(now)
        with unwrapped():
            async with create_task_group() as tasks:
                tasks.start_soon(lock.renew)
                yield
                tasks.cancel_scope.cancel()
    finally:
        with move_on_after(_RELEASE, shield=True):
            await lock.release()


async def _probed(bucket: Bucket) -> datetime | None:
    """
    Return the time by the store's clock; None if the store makes a second object where there is
    one, or replaces another than it was told to.
    """
    key = f"{OWN}/probe-{token_hex(8)}"
    try:
        # An answer that was lost, and a request sent again: then the first meets itself.
        with suppress(ConditionFailedError):
            await bucket.put(key, b"", create=True, quick=True)
        if not await _is_refused(bucket, key, b"again", create=True):
            return None
        probe = await bucket.find(key)
        if probe is None:
            return None
        with suppress(ConditionFailedError):
            await bucket.put(key, b"replaced", replaces=probe.version, quick=True)
        is_kept = await _is_refused(bucket, key, b"replaced again", replaces=probe.version)
    except UnsupportedRequestError:
        # That it was the condition is only sure if this works.
        await bucket.put(key, b"", quick=True)
        return None
    else:
        return probe.modified if is_kept else None
    finally:
        with move_on_after(_RELEASE, shield=True):
            await bucket.delete(key)


async def _is_refused(
    bucket: Bucket, key: str, data: bytes, *, create: bool = False, replaces: Version | None = None
) -> bool:
    try:
        await bucket.put(key, data, create=create, replaces=replaces, quick=True)
    except ConditionFailedError:
        return True
    return False


class _Lock:
    def __init__(
        self, bucket: Bucket, tenure: Tenure, shard: Shard | None, renewal: float, expiry: float
    ) -> None:
        self._bucket = bucket
        self._tenure = tenure
        self._shard = shard
        self._key = LOCK_KEY if shard is None else f"{_SHARD_LOCKS}/{shard.label}"
        self._renewal = renewal
        self._expiry = expiry
        self._run = token_hex(8)
        self._version: Version = {}
        self._is_lost = False

    async def acquire(self, now: datetime) -> None:
        """
        Take the lock, if it is free or its run is dead; *now* is the time by the store's clock.
        """
        began = self._tenure.now()
        try:
            self._version = await self._bucket.put(self._key, self._text(), create=True)
        except ConditionFailedError:
            await self._take_over(now)
        self._rely_from(began)

    async def require_alone(self, now: datetime) -> None:
        """
        Raise `OutputLockedError` if a run is on that this one must not be beside: a whole run and a
        shard exclude each other, and so do shards of different numbers.

        The lock of such a run that is dead is removed: if it was only stopped, it is told so.
        """
        for key, shard in await self._others():
            found, holder = await self._holder(key)
            if found is None:
                continue
            who = "another run" if shard is None else f"shard {shard} of another run"
            self._require_dead(who, found, holder, now)
            await self._bucket.delete(key)

    async def _others(self) -> list[tuple[str, Shard | None]]:
        async with aclosing(self._bucket.list(_SHARD_LOCKS)) as pages:
            names = [key async for page in pages for key, _ in page]
        labels = sorted(found[1] for name in names if (found := _SHARD_KEY.fullmatch(name)))
        others: list[tuple[str, Shard | None]] = []
        if self._shard is not None:
            others.append((LOCK_KEY, None))
        for label in labels:
            other = Shard.labelled(label)
            if self._shard is None or self._shard.count != other.count:
                others.append((f"{_SHARD_LOCKS}/{label}", other))
        return others

    async def renew(self) -> None:
        """
        Renew the lock until cancelled.  Raises `StorageError` once it is lost.
        """
        while True:
            await anyio.sleep(self._renewal)
            began = self._tenure.now()
            try:
                self._is_lost = not await self._is_renewed()
            except StorageError as exc:
                if self._tenure.is_over:
                    raise
                log.warning("the lock on %s could not be renewed: %s", self._bucket.url, exc)
                continue
            if self._is_lost:
                raise StorageError(
                    f"another run has taken the lock on {self._bucket.url}, because this one could"
                    " not renew it in time; see that only one runs there"
                )
            self._rely_from(began)

    async def release(self) -> None:
        """
        Give the lock back, if it is still this run's.
        """
        if self._is_lost:
            return
        try:
            if not self._tenure.is_over or await self._is_ours():
                await self._bucket.delete(self._key)
        except StorageError as exc:
            log.warning("the lock on %s is left to expire: %s", self._bucket.url, exc)

    def _rely_from(self, began: float) -> None:
        self._tenure.extend(began + self._expiry * _SAFE)

    async def _is_renewed(self) -> bool:
        try:
            self._version = await self._bucket.put(self._key, self._text(), replaces=self._version)
        except (ConditionFailedError, MissingObjectError):
            # A renewal whose answer was lost, and which was sent again, fails by itself.
            if await self._is_ours():
                return True
            # A lock that is gone was removed by hand, and is made again, unless a run that it
            # excludes removed it; or another run has had it since this one's expired, and what this
            # one knows of the output is out of date.
            return not self._tenure.is_over and await self._is_made() and await self._is_alone()
        return True

    async def _is_alone(self) -> bool:
        found = await self._bucket.find(self._key)
        if found is None:
            return False
        try:
            await self.require_alone(found.modified)
        except OutputLockedError:
            await self._bucket.delete(self._key)
            return False
        return True

    async def _is_made(self) -> bool:
        try:
            self._version = await self._bucket.put(self._key, self._text(), create=True)
        except ConditionFailedError:
            return await self._is_ours()
        return True

    async def _take_over(self, now: datetime) -> None:
        found, holder = await self._holder(self._key)
        if holder.get("run") == self._run and found is not None:
            self._version = found.version  # Ours: the answer was lost, and it was sent again.
            return
        if found is not None:
            who = "another run" if self._shard is None else f"another run of shard {self._shard}"
            self._require_dead(who, found, holder, now)
        if not await self._is_taken(found):
            raise OutputLockedError(f"another run has just taken {self._bucket.url}; wait for it")

    def _require_dead(
        self, who: str, found: Found, holder: Mapping[str, object], now: datetime
    ) -> None:
        left = self._expiry - (now - found.modified).total_seconds()
        if left > 0 and not is_dead(holder):
            raise OutputLockedError(
                f"{who} holds {self._bucket.url} (on {holder.get('host', 'some machine')});"
                f" wait for it, or if it is dead for {left:.0f} s until its lock expires"
            )

    async def _is_taken(self, found: Found | None) -> bool:
        if found is None:
            return await self._is_made()
        try:
            self._version = await self._bucket.put(self._key, self._text(), replaces=found.version)
        except (ConditionFailedError, MissingObjectError):
            return await self._is_ours() or await self._is_made()
        return True

    async def _is_ours(self) -> bool:
        found, holder = await self._holder(self._key)
        if found is None or holder.get("run") != self._run:
            return False
        self._version = found.version
        return True

    async def _holder(self, key: str) -> tuple[Found | None, Mapping[str, object]]:
        found = await self._bucket.find(key)
        if found is None:
            return None, {}
        try:
            async with aclosing(self._bucket.read(key)) as pieces:
                holder = json.loads(b"".join([piece async for piece in pieces]))
        except (ValueError, MissingObjectError):
            return found, {}
        return found, holder if isinstance(holder, dict) else {}

    def _text(self) -> bytes:
        return json.dumps({"run": self._run, **identity()}).encode()
