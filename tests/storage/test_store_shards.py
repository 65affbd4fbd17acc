"""
The lock of a prefix in a store, held by the shards of one run.
"""

import json

import anyio
import pytest

from batchfetch.errors import OutputLockedError, StorageError
from batchfetch.setting_values import parse_shard
from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.lock import LOCK_KEY, held

pytestmark = pytest.mark.anyio


def shared(url, shard, **seconds):
    """
    Hold a prefix for one part of a run, or for a whole run if *shard* is None.
    """
    return held(Bucket(url), shard=parse_shard(shard) if shard else None, **seconds)


@pytest.mark.parametrize(
    ("on", "second", "who"),
    [
        ("1/2", None, "shard 1/2 of another run"),
        (None, "1/2", "another run"),
        ("1/2", "1/2", "another run of shard 1/2"),
        ("2/3", "1/2", "shard 2/3 of another run"),
    ],
)
async def test_who_may_not_be_beside_whom(url, prefix, moto_store, on, second, who):
    """
    A whole run and a part, two of one part, parts of two numbers; the one that is refused leaves
    the other's lock, and nothing of its own.
    """
    async with shared(url, on):
        locks = moto_store.own(f"{prefix}/")
        with pytest.raises(OutputLockedError, match=f"^{who} holds {url} "):
            async with shared(url, second):
                pytest.fail("both are in")
        assert moto_store.own(f"{prefix}/") == locks
    async with shared(url, second):
        pass
    assert moto_store.own(f"{prefix}/") == []


async def test_parts_of_one_number_are_beside_each_other(url, prefix, moto_store):
    """
    Each has a lock of its own, and gives that back.
    """
    async with shared(url, "1/2"), shared(url, "2/2"):
        locks = moto_store.own(f"{prefix}/")
    assert locks == [".batchfetch/locks/1-of-2", ".batchfetch/locks/2-of-2"]
    assert moto_store.own(f"{prefix}/") == []


@pytest.mark.parametrize(
    ("dead", "shard"),
    [(".batchfetch/locks/1-of-2", None), (LOCK_KEY, "1/2"), (LOCK_KEY, None)],
)
@pytest.mark.slow
async def test_a_run_that_was_stopped_for_long_finds_its_lock_gone(
    url, prefix, moto_store, dead, shard
):
    """
    A part whose lock has expired by the time a whole run begins, or the other way round, goes on no
    further.
    """
    mine = None if dead == LOCK_KEY else "1/2"
    with pytest.raises(StorageError, match="another run has taken the lock"):
        async with shared(url, mine, renewal=6.0):
            await anyio.sleep(2.1)  # The store's clock has whole seconds.
            holder = json.loads(moto_store.get(f"{prefix}/{dead}"))
            moto_store.put(f"{prefix}/{dead}", json.dumps({**holder, "pid": None}).encode())
            await anyio.sleep(2.1)
            async with shared(url, shard, expiry=1.0):
                await anyio.sleep(60)


async def test_a_dead_part_of_another_number_is_no_hindrance(url, prefix, moto_store):
    """
    Its lock is removed by the first part that follows, and taken again by that part.
    """
    key = f"{prefix}/.batchfetch/locks/2-of-3"
    moto_store.put(key, b'{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(
        OutputLockedError, match=r"^shard 2/3 of another run holds .* .on elsewhere"
    ):
        async with shared(url, "1/2"):
            pass
    await anyio.sleep(2.1)  # The store's clock has whole seconds.
    async with shared(url, "1/2", expiry=1.0), shared(url, "2/2"):
        locks = moto_store.own(f"{prefix}/")
    assert locks == [".batchfetch/locks/1-of-2", ".batchfetch/locks/2-of-2"]
    async with shared(url, "2/3"):
        assert json.loads(moto_store.get(key))["pid"] > 1
    assert moto_store.own(f"{prefix}/") == []
