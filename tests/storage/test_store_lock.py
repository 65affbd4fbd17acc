"""
One run at a time in a store: the lock, its expiry, and what a run may do that is not sure of it.
"""

import json
import logging
import os
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
from proxy import Cut, Forget, Refuse, proxied
from stores import BUCKET, opened, use

from batchfetch.errors import OutputLockedError, StorageError
from batchfetch.storage import FileExecutor
from batchfetch.storage.store import StoreStorage
from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.lock import LOCK_KEY, held

pytestmark = pytest.mark.anyio

SHORT = [b"ab", b"cd" * 1000]
LONG = [bytes([number]) * 1_000_000 for number in range(20)]


async def as_long_as(condition):
    """
    Wait as long as *condition* holds.
    """
    with anyio.fail_after(60):
        while condition():  # noqa: ASYNC110 - it is the store's, or the log's
            await anyio.sleep(0.1)


async def test_one_run_at_a_time(url, prefix, moto_store):
    """
    A second run is refused with the first one's machine; when the first ends, it may begin.
    """
    async with opened(url) as storage, opened(url) as other:
        async with storage.lock():
            with pytest.raises(
                OutputLockedError, match=f"another run holds {url} .on .*1[12][0-9] s"
            ):
                async with other.lock():
                    pytest.fail("both are in")
        async with other.lock():
            assert moto_store.own(f"{prefix}/") == [LOCK_KEY]
    assert moto_store.own(f"{prefix}/") == []


@pytest.mark.parametrize(
    "holder",
    [b"", b"no json", b"[]", b'{"boot": [], "pid": 1}', b'{"pid": 1, "host": "elsewhere"}'],
)
async def test_a_lock_elsewhere_expires(url, prefix, moto_store, holder):
    """
    A lock that was not renewed is no more; whose it was does not matter.
    """
    moto_store.put(f"{prefix}/{LOCK_KEY}", holder)
    bucket = Bucket(url)
    with pytest.raises(OutputLockedError):
        async with held(bucket):
            pass
    await anyio.sleep(2.1)  # The store's clock has whole seconds.
    async with held(bucket, expiry=1.0):
        assert json.loads(moto_store.get(f"{prefix}/{LOCK_KEY}"))["pid"] == os.getpid()


async def test_a_lock_of_a_dead_process_of_this_machine_is_void(url, prefix, moto_store):
    """
    A run that was killed here holds nothing up; one that lives does, and so does one elsewhere.
    """
    bucket = Bucket(url)
    async with held(bucket):
        lock = json.loads(moto_store.get(f"{prefix}/{LOCK_KEY}"))
    if "boot" not in lock:
        pytest.skip("this system does not tell which processes live: there the lock expires")
    moto_store.put(f"{prefix}/{LOCK_KEY}", json.dumps({**lock, "started": "1"}).encode())
    async with held(bucket):
        pass
    for name in ("host", "boot", "processes"):
        elsewhere = {**lock, "started": "1", name: "another"}
        moto_store.put(f"{prefix}/{LOCK_KEY}", json.dumps(elsewhere).encode())
        with pytest.raises(OutputLockedError):
            async with held(bucket):
                pass
    moto_store.put(f"{prefix}/{LOCK_KEY}", json.dumps(lock).encode())
    with pytest.raises(OutputLockedError):
        async with held(bucket):
            pass


async def test_a_lock_is_renewed(url):
    """
    A run that lives keeps its lock beyond the time in which it would expire.
    """
    bucket = Bucket(url)
    async with held(bucket, renewal=0.2, expiry=3.0):
        await anyio.sleep(4.5)
        with pytest.raises(OutputLockedError):
            async with held(bucket, expiry=3.0):
                pass


async def test_a_lock_that_was_taken_ends_the_run(url, prefix, moto_store):
    """
    A run that finds another's lock in place of its own stops, and leaves that alone.
    """
    with pytest.raises(StorageError, match="another run has taken the lock on s3://"):
        async with held(Bucket(url), renewal=0.1):
            moto_store.put(f"{prefix}/{LOCK_KEY}", b'{"run": "another"}')
            await anyio.sleep(10)
    assert moto_store.get(f"{prefix}/{LOCK_KEY}") == b'{"run": "another"}'


@pytest.mark.parametrize("text", ["/lock", "/probe"])
async def test_an_answer_that_is_lost_does_not_lock_a_run_out(
    prefix, moto_store, monkeypatch, text
):
    """
    A lock that was made, and whose answer never came, is made again and found to be one's own.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.hinder_first(1, Cut(after=True), "PUT", text)
        async with held(Bucket(url)):
            with pytest.raises(OutputLockedError):
                async with held(Bucket(url)):
                    pass
            assert moto_store.own(f"{prefix}/") == [LOCK_KEY]
    assert moto_store.own(f"{prefix}/") == []


async def test_a_store_that_cannot_be_locked_is_warned_of(
    rclone_store, prefix, monkeypatch, caplog
):
    """
    Where a second object takes the place of the first, there is no lock, and that is said.
    """
    url = use(rclone_store, prefix, monkeypatch)
    with caplog.at_level(logging.WARNING):
        async with held(Bucket(url)), held(Bucket(url)):
            assert rclone_store.own(f"{prefix}/") == []
    assert len(caplog.messages) == 2
    assert "cannot be locked: the store has no conditional writes" in caplog.text


async def test_the_clock_of_this_machine_does_not_matter(prefix, moto_store, monkeypatch):
    """
    A lock expires by the store's clock, however far ahead of ours that is.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        moto_store.put(f"{prefix}/{LOCK_KEY}", b"{}")
        proxy.is_ahead = timedelta(hours=1)
        with pytest.raises(OutputLockedError, match=r"for 1[12]\d s until"):
            async with held(Bucket(url)):
                pass


@pytest.mark.parametrize(
    ("how", "headers"),
    [
        (Refuse(501, "NotImplemented"), ["If-None-Match", "If-Match"]),
        (Refuse(400, "InvalidRequest"), ["If-None-Match"]),
        (Refuse(501, "NotImplemented"), ["If-Match"]),
        (Forget("If-Match"), ["If-Match"]),
        (Forget("If-None-Match"), ["If-None-Match"]),
    ],
    ids=str,
)
async def test_conditions_that_a_store_does_not_know(
    prefix, moto_store, monkeypatch, caplog, how, headers
):
    """
    A store that refuses a condition, or passes over one, cannot be locked: a warning says so.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        known = {name.lower() for name in headers}
        proxy.hinder = lambda request: (
            how if known & {name.lower() for name in request.headers} else None
        )
        async with held(Bucket(url)):
            assert moto_store.own(f"{prefix}/") == []
    assert "cannot be locked: the store has no conditional writes" in caplog.text


async def test_a_store_that_refuses_all_writes_is_not_taken_for_one_without_locks(
    prefix, moto_store, monkeypatch
):
    """
    Only if a write without a condition is taken was it the condition that was refused.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.hinder = lambda request: (
            Refuse(400, "InvalidRequest") if request.method == "PUT" else None
        )
        with pytest.raises(StorageError, match="refuses a request"):
            async with held(Bucket(url)):
                pass


async def test_a_lock_that_was_removed_by_hand_is_made_again(url, prefix, moto_store):
    """
    Where the lock's object is gone, the run makes it anew, and nothing ends.
    """
    key = f"{prefix}/{LOCK_KEY}"
    async with held(Bucket(url), renewal=0.2):
        moto_store.client.delete_object(Bucket=BUCKET, Key=key)
        await as_long_as(lambda: moto_store.own(f"{prefix}/") == [])
        await anyio.sleep(0.5)  # Renewed as it is now.
        with pytest.raises(OutputLockedError):
            async with held(Bucket(url)):
                pass
    assert moto_store.own(f"{prefix}/") == []


async def test_renewals_that_fail_for_a_while(prefix, moto_store, monkeypatch, caplog):
    """
    A renewal that is refused is made up for by the next one.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with held(Bucket(url), renewal=0.2):
            proxy.hinder_first(2, Refuse(403, "AccessDenied"), "PUT", "/lock")
            await as_long_as(lambda: caplog.text.count("could not be renewed") < 2)
            proxy.requests.clear()
            await as_long_as(lambda: proxy.count("PUT", "/lock") < 3)
    assert caplog.text.count("could not be renewed") == 2
    assert moto_store.own(f"{prefix}/") == []


async def test_a_lock_that_cannot_be_renewed_ends_the_run(prefix, moto_store, monkeypatch):
    """
    A run that cannot renew its lock while it lives ends with what the store said.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(StorageError, match="refuses access"):
            async with held(Bucket(url), renewal=0.2, expiry=1.0):
                proxy.hinder = lambda request: (
                    Refuse(403, "AccessDenied") if request.method == "PUT" else None
                )
                await anyio.sleep(30)


@asynccontextmanager
async def locked(url, **seconds):
    """
    Open and lock the store of *url*; its lock lives as long as *seconds* say.
    """
    bucket = Bucket(url)
    with FileExecutor() as files:
        storage = StoreStorage(bucket, files, **seconds)
        async with storage.lock():
            yield storage


@pytest.mark.parametrize("is_on", [True, False], ids=["it is on", "it has ended"])
@pytest.mark.parametrize("chunks", [SHORT, LONG], ids=["short", "long"])
async def test_a_run_that_was_stopped_writes_nothing_after_its_lock(
    url, prefix, moto_store, chunks, is_on
):
    """
    A run that slept through the life of its lock learns that another one has, or has had, it
    before it writes.
    """
    key, other = f"{prefix}/{LOCK_KEY}", b'{"run": "another"}'
    with pytest.raises(StorageError, match="another run has taken the lock on s3://"):
        async with locked(url, renewal=0.2, expiry=1.0) as storage:
            target = storage.open("a.png", sum(map(len, chunks)))
            try:
                await target.write(chunks)
                time.sleep(1.5)  # noqa: ASYNC251 - as if stopped: nothing runs meanwhile
                moto_store.put(f"{prefix}/a.png", b"another's")
                if is_on:
                    moto_store.put(key, other)
                else:
                    moto_store.client.delete_object(Bucket=BUCKET, Key=key)
                await target.commit()
            finally:
                await target.abort()
    assert moto_store.get(f"{prefix}/a.png") == b"another's"
    assert moto_store.own(f"{prefix}/") == ([LOCK_KEY] if is_on else [])
    assert not is_on or moto_store.get(key) == other
    assert moto_store.pending() == []


@pytest.mark.parametrize("chunks", [SHORT, LONG], ids=["short", "long"])
async def test_a_run_that_was_stopped_goes_on_if_nobody_took_its_lock(
    url, prefix, moto_store, chunks
):
    """
    A lock that has expired and is there still is renewed, and the run goes on.
    """
    async with locked(url, renewal=0.2, expiry=1.0) as storage:
        target = storage.open("a.png", sum(map(len, chunks)))
        await target.write(chunks)
        time.sleep(1.5)  # noqa: ASYNC251 - as if stopped: nothing runs meanwhile
        await target.commit()
        await target.abort()
    assert moto_store.get(f"{prefix}/a.png") == b"".join(chunks)
    assert moto_store.own(f"{prefix}/") == []


async def test_a_run_that_ends_late_leaves_the_lock_of_another(url, prefix, moto_store):
    """
    What is given back is one's own lock only.
    """
    async with held(Bucket(url), renewal=60.0, expiry=1.0):
        moto_store.put(f"{prefix}/{LOCK_KEY}", b'{"run": "another"}')
        time.sleep(1.5)  # noqa: ASYNC251 - as if stopped: nothing runs meanwhile
    assert moto_store.get(f"{prefix}/{LOCK_KEY}") == b'{"run": "another"}'
