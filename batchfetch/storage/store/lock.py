"""
One run at a time per prefix: an object that is there once only, renewed while its run lives.
"""

import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from secrets import token_hex

import anyio
from anyio import create_task_group, move_on_after

from batchfetch.errors import OutputLockedError, StorageError
from batchfetch.exception_groups import unwrapped
from batchfetch.storage.store.bucket import Bucket, Found, Version
from batchfetch.storage.store.errors import ConditionFailedError, MissingObjectError
from batchfetch.storage.store.keys import OWN

log = logging.getLogger(__name__)

LOCK_KEY = f"{OWN}/lock"

# Seconds after which a lock that was not renewed is no more, and how often it is renewed.
_EXPIRY = 120.0
_RENEWAL = 30.0

# Seconds that giving a lock back may take.
_RELEASE = 10.0


@asynccontextmanager
async def held(
    bucket: Bucket, *, renewal: float = _RENEWAL, expiry: float = _EXPIRY
) -> AsyncIterator[None]:
    """
    Hold *bucket* for one run during the block; a lock not renewed in *expiry* seconds is no more.

    A store that does not keep two from making one object cannot be locked; this is said in a
    warning.  Raises `OutputLockedError` if another run holds it, `StorageError` if it cannot be
    used, or if another run has taken the lock since, which ends the block.
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
    lock = _Lock(bucket, renewal, expiry)
    await lock.acquire(now)
    try:
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
    Return the time by the store's clock; None if a second object can be made where there is one.
    """
    key = f"{OWN}/probe-{token_hex(8)}"
    # An answer that was lost, and a request sent again: then the first meets itself.
    with suppress(ConditionFailedError):
        await bucket.put(key, b"", create=True)
    try:
        await bucket.put(key, b"again", create=True)
    except ConditionFailedError:
        probe = await bucket.find(key)
        return None if probe is None else probe.modified
    else:
        return None
    finally:
        with move_on_after(_RELEASE, shield=True):
            await bucket.delete(key)


class _Lock:
    def __init__(self, bucket: Bucket, renewal: float, expiry: float) -> None:
        self._bucket = bucket
        self._renewal = renewal
        self._expiry = expiry
        self._run = token_hex(8)
        self._version: Version = {}
        self._renewed_at = 0.0
        self._is_lost = False

    async def acquire(self, now: datetime) -> None:
        """
        Take the lock, if it is free or its run is dead; *now* is the time by the store's clock.
        """
        self._renewed_at = anyio.current_time()
        try:
            self._version = await self._bucket.put(LOCK_KEY, self._text(), create=True)
        except ConditionFailedError:
            await self._take_over(now)

    async def renew(self) -> None:
        """
        Renew the lock until cancelled.  Raises `StorageError` once it is lost.
        """
        while True:
            await anyio.sleep(self._renewal)
            began = anyio.current_time()
            try:
                self._version = await self._bucket.put(
                    LOCK_KEY, self._text(), replaces=self._version
                )
            except ConditionFailedError:
                # A renewal whose answer was lost, and which was sent again, fails by itself.
                if await self._is_ours():
                    continue
                self._is_lost = True
                raise StorageError(
                    f"another run has taken the lock on {self._bucket.url}, because this one could"
                    " not renew it in time; see that only one runs there"
                ) from None
            except StorageError as exc:
                if anyio.current_time() - self._renewed_at > self._expiry:
                    raise
                log.warning("the lock on %s could not be renewed: %s", self._bucket.url, exc)
            else:
                self._renewed_at = began

    async def release(self) -> None:
        """
        Give the lock back.
        """
        if self._is_lost:
            return
        try:
            await self._bucket.delete(LOCK_KEY)
        except StorageError as exc:
            log.warning("the lock on %s is left to expire: %s", self._bucket.url, exc)

    async def _take_over(self, now: datetime) -> None:
        found, holder = await self._holder()
        if holder.get("run") == self._run and found is not None:
            self._version = found.version  # Ours: the answer was lost, and it was sent again.
            return
        left = 0.0
        if found is not None and not _is_dead(holder):
            left = self._expiry - (now - found.modified).total_seconds()
        if left > 0:
            raise OutputLockedError(
                f"another run holds {self._bucket.url} (on {holder.get('host', 'some machine')});"
                f" wait for it, or if it is dead for {left:.0f} s until its lock expires"
            )
        try:
            if found is None:
                self._version = await self._bucket.put(LOCK_KEY, self._text(), create=True)
            else:
                self._version = await self._bucket.put(
                    LOCK_KEY, self._text(), replaces=found.version
                )
        except ConditionFailedError:
            if not await self._is_ours():
                raise OutputLockedError(
                    f"another run has just taken {self._bucket.url}; wait for it"
                ) from None

    async def _is_ours(self) -> bool:
        found, holder = await self._holder()
        if found is None or holder.get("run") != self._run:
            return False
        self._version = found.version
        return True

    async def _holder(self) -> tuple[Found | None, Mapping[str, object]]:
        found = await self._bucket.find(LOCK_KEY)
        if found is None:
            return None, {}
        try:
            async with aclosing(self._bucket.read(LOCK_KEY)) as pieces:
                holder = json.loads(b"".join([piece async for piece in pieces]))
        except (ValueError, MissingObjectError):
            return found, {}
        return found, holder if isinstance(holder, dict) else {}

    def _text(self) -> bytes:
        return json.dumps({"run": self._run, **_identity()}).encode()


@cache
def _machine() -> dict[str, object]:
    """
    Return what tells this machine's processes from those of others, containers included.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "processes": Path("/proc/self/ns/pid").stat().st_ino}
    except OSError:
        return {}


def _identity() -> dict[str, object]:
    pid = os.getpid()
    return {"host": socket.gethostname(), **_machine(), "pid": pid, "started": _started(pid)}


def _is_dead(holder: Mapping[str, object]) -> bool:
    """
    Whether *holder* was a process of this machine that is no more; False if that cannot be told.
    """
    here = _machine()
    pid = holder.get("pid")
    if not here or not isinstance(pid, int) or here.items() - holder.items():
        return False
    return _started(pid) != holder.get("started")


def _started(pid: int) -> str | None:
    """
    Return when the process *pid* began, in the kernel's ticks; None if there is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the command's name, may hold anything; a zombie is dead.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" else fields[18]
