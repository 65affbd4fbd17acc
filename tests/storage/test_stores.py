"""
Folders and stores keep the same promises: an object is there whole, or nothing is.

Real servers on loopback: moto, which obeys conditional writes, rclone, which does not, and Azure's
own stand-in where it is installed.
"""

from hashlib import sha256

import anyio
import pytest
from proxy import Cut, Refuse, Stall, proxied
from stores import BUCKET, fresh, opened, put, use
from wiring import local_storage

from batchfetch.errors import OutputLockedError, StorageError, UnsafeNameError
from batchfetch.settings import Durability

pytestmark = pytest.mark.anyio

SHORT = [b"ab", b"", b"cd" * 1000]
LONG = [bytes([number]) * 1_000_000 for number in range(20)]
BOTH = pytest.mark.parametrize("chunks", [SHORT, LONG], ids=["short", "long"])


@pytest.fixture(params=["folder", "moto", "rclone", "azure"])
async def storage(request, tmp_path, prefix, monkeypatch):
    """
    A storage of each kind, empty.
    """
    if request.param == "folder":
        async with local_storage(tmp_path / "out", Durability.FILE) as folder:
            yield folder
        return
    store = request.getfixturevalue(f"{request.param}_store")
    async with opened(use(store, prefix, monkeypatch)) as storage:
        yield storage
        assert store.pending() == []


# What every storage does


@BOTH
@pytest.mark.parametrize("is_told", [True, False], ids=["size known", "size unknown"])
async def test_a_file_is_there_when_it_is_whole(storage, chunks, is_told):
    """
    Nothing is at the name before the commit, and all of it after.
    """
    data = b"".join(chunks)
    target = storage.open("night/page 1.png", len(data) if is_told else None, owner="t1")
    for chunk in chunks:
        await target.write([chunk])
    assert await fresh(storage, "night/page 1.png") is None
    await target.commit(sha256=sha256(data).hexdigest())
    await target.abort()
    assert await fresh(storage, "night/page 1.png") == data
    assert await storage.stat(["night/page 1.png", "other.png"]) == [len(data), None]


@BOTH
async def test_what_is_given_up_leaves_nothing(storage, chunks):
    """
    Without a commit there is neither a file nor anything under construction.
    """
    target = storage.open("a.png", sum(map(len, chunks)))
    await target.write(chunks)
    await target.abort()
    await target.abort()
    assert await fresh(storage, "a.png") is None


@BOTH
async def test_bytes_that_turn_out_bad_leave_what_was_there(storage, chunks):
    """
    What raises while it is written replaces nothing.
    """

    def bad():
        yield from chunks
        raise ValueError("bad")

    await put(storage, "a.png", [b"before"])
    target = storage.open("a.png", sum(map(len, chunks)))
    try:
        await target.write(chunks)
        with pytest.raises(ValueError, match="bad"):
            await target.write(bad())
    finally:
        await target.abort()
    assert await fresh(storage, "a.png") == b"before"


@BOTH
async def test_a_file_takes_the_place_of_another(storage, chunks):
    """
    The later commit counts, whichever of the two is longer.
    """
    await put(storage, "a.png", LONG)
    await put(storage, "a.png", chunks)
    assert await fresh(storage, "a.png") == b"".join(chunks)


@BOTH
async def test_a_buffer_that_is_filled_again_is_stored_as_it_was(storage, chunks):
    """
    A caller may use its buffer again for the next chunk.
    """
    buffer = bytearray(1_000_000)
    target = storage.open("a.png", sum(map(len, chunks)))
    for chunk in chunks:
        buffer[: len(chunk)] = chunk
        await target.write([memoryview(buffer)[: len(chunk)]])
    buffer[:] = b"x" * len(buffer)
    await target.commit()
    await target.abort()
    assert await fresh(storage, "a.png") == b"".join(chunks)


@BOTH
async def test_a_cancelled_file_leaves_nothing(storage, chunks):
    """
    Cancelled between two writes, or while it is given up, it leaves neither a file nor a part.
    """
    with anyio.CancelScope() as scope:
        target = storage.open("a.png", sum(map(len, chunks)))
        try:
            await target.write(chunks)
            scope.cancel()
            await anyio.sleep(10)
        finally:
            await target.abort()
    assert scope.cancelled_caught
    assert await fresh(storage, "a.png") is None


@pytest.mark.parametrize(
    "name", ["ü/é ß.png", "a%2Fb.png", "a+b&c=d?#.png", "~x/(1).png", "日本.png", "a\xa0b.png"]
)
async def test_names_are_kept_as_they_are(storage, name):
    """
    Whatever a manifest may name is found again under that name.
    """
    await put(storage, name, SHORT)
    assert await storage.stat([name]) == [sum(map(len, SHORT))]
    assert await fresh(storage, name) == b"".join(SHORT)


async def test_owners_are_told_apart(storage):
    """
    A file put there for a task is known as that task's.
    """
    await put(storage, "named.png", SHORT, owner="t 1ü")
    assert await storage.is_owned_by("named.png", "t 1ü") is True
    assert await storage.is_owned_by("named.png", "t2") is False
    assert await storage.is_owned_by("missing.png", "t2") is None


async def test_what_was_put_since_is_known(storage):
    """
    What is there is known from the beginning of a run on, and what it puts there is known, too.
    """
    assert await storage.stat(["a.png", "b.png"]) == [None, None]
    await put(storage, "a.png", SHORT)
    await put(storage, "b.png", LONG)
    assert await storage.stat(["a.png", "b.png"]) == [2002, 20_000_000]


@pytest.mark.parametrize("storage", ["moto", "azure"], indirect=True)
async def test_a_lock_in_each_store_that_has_one(storage):
    """
    While one run holds the store a second one cannot.
    """
    async with storage.lock():
        with pytest.raises(OutputLockedError):
            async with storage.lock():
                pass
    async with storage.lock():
        pass


async def test_many_long_ones_at_once(storage):
    """
    More long files than may be under construction at once take turns.
    """
    names = [f"{number}.png" for number in range(10)]
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(put, storage, name, LONG[:9])
    assert await storage.stat(names) == [9_000_000] * 10


# What only a store does


@BOTH
async def test_what_is_noted_with_an_object(url, prefix, moto_store, chunks):
    """
    The type and the task are noted; the digest, too, where it is known before the first byte goes.
    """
    async with opened(url) as storage:
        await put(storage, "named.png", chunks, owner="t1")
    head = moto_store.head(f"{prefix}/named.png")
    assert head["ContentType"] == "image/png"
    digest = {"sha256": sha256(b"".join(chunks)).hexdigest()} if chunks is SHORT else {}
    assert head["Metadata"] == {"taskid": "t1", **digest}


@pytest.mark.parametrize(
    ("owner", "other"), [("ä b/c%", "ä b/c%25"), ("x" * 3000, "x" * 2999 + "y"), (" ", "")]
)
async def test_any_id_can_be_noted(url, owner, other):
    """
    Ids of any characters and any length are noted so that they are told apart.
    """
    async with opened(url) as storage:
        await put(storage, "named.png", SHORT, owner=owner)
        assert await storage.is_owned_by("named.png", owner) is True
        assert await storage.is_owned_by("named.png", other) is False


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "a//b.png",
        "a/./b.png",
        "a\x01b.png",
        "\ud800.png",
        ".batchfetch/lock",
        "ward7/.Batchfetch/report/x.png",
        "x" * 1025,
    ],
)
async def test_names_that_no_key_can_have(url, name):
    """
    A name that the store would refuse, or that is a run's own, is that row's fault alone.
    """
    async with opened(url) as storage:
        await put(storage, "good.png", SHORT)
        found = await storage.stat([name, "good.png"])
    assert isinstance(found[0], UnsafeNameError)
    assert found[1] == sum(map(len, SHORT))


async def test_a_new_prefix_is_asked_about_once(prefix, moto_store, monkeypatch):
    """
    One page of a listing tells all about a prefix that has no more.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage:
            await put(storage, "a.png", SHORT)
            proxy.requests.clear()
            for number in range(20):
                names = [f"{number}-{other}.png" for other in range(64)]
                assert await storage.stat(names) == [None] * 64
            assert await storage.stat(["a.png"]) == [2002]
    assert [(each.method, "list-type" in each.path) for each in proxy.requests] == [("GET", True)]


@pytest.mark.slow
async def test_a_long_prefix_is_asked_name_by_name_then_listed(prefix, moto_store, monkeypatch):
    """
    A few names are asked about one by one; from the 1001st on, the prefix is listed once.
    """
    for number in range(1010):
        moto_store.put(f"{prefix}/{number:04}.png", b"x" * number)
    names = [f"{number:04}.png" for number in range(1100)]
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage:
            proxy.requests.clear()
            found = []
            for start in range(0, 1100, 50):
                found += await storage.stat(names[start : start + 50])
    assert found == [*range(1010), *[None] * 90]
    assert proxy.count("HEAD") == 1000
    assert proxy.count("GET", "list-type") <= 4


# A store in trouble


@BOTH
@pytest.mark.parametrize(
    ("how", "method"),
    [
        (Refuse(503, "SlowDown"), "PUT"),
        (Refuse(500, "InternalError"), "PUT"),
        (Cut(), "PUT"),
        (Cut(after=True), "PUT"),
        (Stall(1.5), "PUT"),
        (Refuse(503, "SlowDown"), "POST"),
        (Cut(), "POST"),
    ],
    ids=str,
)
async def test_trouble_that_passes_is_sat_out(prefix, moto_store, monkeypatch, chunks, how, method):
    """
    A store that slows down, fails, hangs up or hangs for a moment gets the object all the same.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_TIMEOUT", "1s")
        async with opened(url) as storage:
            proxy.hinder_first(3, how, method)
            await put(storage, "a.png", chunks)
            assert await fresh(storage, "a.png") == b"".join(chunks)
    assert moto_store.pending() == []


async def test_two_writes_at_the_same_moment(prefix, moto_store, monkeypatch):
    """
    A write that is refused because it met another is tried again.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage:
            proxy.hinder_first(2, Refuse(409, "OperationAborted"), "PUT")
            await put(storage, "a.png", SHORT)
            assert await fresh(storage, "a.png") == b"".join(SHORT)


async def cancel_when(happened, scope):
    """
    Cancel *scope* when *happened* returns true.
    """
    while not happened():  # noqa: ASYNC110 - the proxy has a thread of its own
        await anyio.sleep(0.01)
    scope.cancel()


async def test_cancelled_while_a_part_is_under_way(prefix, moto_store, monkeypatch):
    """
    A run that stops at once leaves no upload pending, also if the store is slow just then.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage, anyio.create_task_group() as tasks:
            target = storage.open("a.png")
            proxy.hinder = lambda request: Stall(0.5) if request.method == "PUT" else None
            with anyio.CancelScope() as scope:
                tasks.start_soon(cancel_when, lambda: proxy.count("PUT", "partNumber"), scope)
                try:
                    for _ in range(20):
                        await target.write(LONG)
                finally:
                    await target.abort()
    assert scope.cancelled_caught
    assert proxy.count("DELETE", "uploadId") == 1
    assert moto_store.pending() == []
    assert moto_store.keys(f"{prefix}/") == []


@pytest.mark.parametrize(
    "how",
    [
        Refuse(403, "AccessDenied"),
        pytest.param(Stall(60.0), marks=pytest.mark.slow),
    ],
    ids=["refused", "not answered"],
)
async def test_an_abort_that_fails_is_told(prefix, moto_store, monkeypatch, caplog, how):
    """
    Parts that could not be removed are warned of, and hold up none of those that come after.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage:
            proxy.hinder = lambda request: how if request.method == "DELETE" else None

            async def give_up(name):
                target = storage.open(name)
                await target.write(LONG)
                await target.abort()

            async with anyio.create_task_group() as tasks:
                for number in range(6):
                    tasks.start_soon(give_up, f"{number}.png")
            proxy.hinder = lambda _: None
            await put(storage, "a.png", LONG)
    assert caplog.text.count("may be left in") == 6
    for upload in moto_store.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        moto_store.client.abort_multipart_upload(
            Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
        )


async def test_a_completion_that_is_refused_leaves_nothing(prefix, moto_store, monkeypatch):
    """
    Parts of an object that the store will not put together are removed.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage:
            proxy.hinder = lambda request: (
                Refuse(403, "AccessDenied")
                if request.method == "POST" and "uploadId" in request.path
                else None
            )
            with pytest.raises(StorageError, match="refuses access"):
                await put(storage, "a.png", LONG)
    assert moto_store.keys(f"{prefix}/") == []
    assert moto_store.pending() == []
