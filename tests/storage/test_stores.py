"""
Folders and stores keep the same promises: an object is there whole, or nothing is.

Real servers on loopback: moto, which obeys conditional writes, rclone, which does not, and Azure's
own stand-in where it is installed.
"""

import json
import logging
import os
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256

import anyio
import pytest
from proxy import Cut, Refuse, Stall, proxied
from stores import AZURITE, BUCKET, azurite, moto, rclone
from wiring import local_storage

from batchfetch.errors import OutputLockedError, SettingsError, StorageError, UnsafeNameError
from batchfetch.settings import Durability
from batchfetch.storage import FileExecutor, open_storage
from batchfetch.storage.store.bucket import Bucket
from batchfetch.storage.store.lock import LOCK_KEY, held

pytestmark = pytest.mark.anyio

SHORT = [b"ab", b"", b"cd" * 1000]
LONG = [bytes([number]) * 1_000_000 for number in range(20)]
BOTH = pytest.mark.parametrize("chunks", [SHORT, LONG], ids=["short", "long"])


@pytest.fixture(scope="module")
def moto_store():
    """
    A store with conditional writes.
    """
    with moto() as store:
        yield store


@pytest.fixture(scope="module")
def rclone_store(tmp_path_factory):
    """
    A store without them.
    """
    with rclone(tmp_path_factory.mktemp("rclone")) as store:
        yield store


@pytest.fixture(scope="module")
def azure_store(tmp_path_factory):
    """
    Azure's stand-in.
    """
    if AZURITE is None:
        pytest.skip("Azure's stand-in is not installed: npm install -g azurite")
    with azurite(tmp_path_factory.mktemp("azurite")) as store:
        yield store


@pytest.fixture
def prefix(tmp_path):
    """
    A prefix of the test's own.
    """
    return f"{tmp_path.parent.name}/{tmp_path.name}"


@pytest.fixture
def url(prefix, moto_store, monkeypatch):
    """
    The URL of a prefix in moto.
    """
    return use(moto_store, prefix, monkeypatch)


def use(store, prefix, monkeypatch):
    """
    Have *store* found by its variables; return the URL of *prefix* there.
    """
    for name, text in store.variables.items():
        monkeypatch.setenv(name, text)
    return f"{store.scheme}://{BUCKET}/{prefix}"


@asynccontextmanager
async def opened(url):
    """
    Open a store without locking it.
    """
    with FileExecutor() as files:
        async with open_storage(url, Durability.FILE, files) as storage:
            yield storage


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


async def fresh(storage, name):
    """
    Return the bytes of *name* in *storage*; None if nothing is there.
    """
    try:
        async with aclosing(storage.read(name)) as pieces:
            return b"".join([piece async for piece in pieces])
    except (StorageError, FileNotFoundError, UnsafeNameError):
        return None


async def put(storage, name, chunks, **how):
    """
    Put *chunks* at *name*.
    """
    target = storage.open(name, sum(map(len, chunks)), **how)
    try:
        for chunk in chunks:
            await target.write([chunk])
        await target.commit(sha256=sha256(b"".join(chunks)).hexdigest())
    finally:
        await target.abort()


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


# The lock


async def test_one_run_at_a_time(url, prefix, moto_store):
    """
    A second run is refused with the first one's machine; when the first ends, it may begin.
    """
    async with opened(url) as storage, opened(url) as other:
        async with storage.lock():
            with pytest.raises(OutputLockedError, match=f"another run holds {url} .on .*120 s"):
                async with other.lock():
                    pytest.fail("both are in")
        async with other.lock():
            assert moto_store.own(f"{prefix}/") == [LOCK_KEY]
    assert moto_store.own(f"{prefix}/") == []


@pytest.mark.parametrize("holder", [b"", b"no json", b"[]", b'{"pid": 1, "host": "elsewhere"}'])
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
    A run that was killed here holds nothing up.
    """
    bucket = Bucket(url)
    async with held(bucket):
        lock = json.loads(moto_store.get(f"{prefix}/{LOCK_KEY}"))
    if "boot" not in lock:
        pytest.skip("this system does not tell which processes live: there the lock expires")
    moto_store.put(f"{prefix}/{LOCK_KEY}", json.dumps({**lock, "started": "1"}).encode())
    async with held(bucket):
        pass
    moto_store.put(f"{prefix}/{LOCK_KEY}", json.dumps({**lock, "boot": "another"}).encode())
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


async def test_cancelled_while_a_part_is_under_way(prefix, moto_store, monkeypatch):
    """
    A run that stops at once leaves no upload pending, also if the store is slow just then.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, prefix, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        async with opened(url) as storage:
            target = storage.open("a.png")
            proxy.hinder = lambda request: Stall(0.5) if request.method == "PUT" else None
            with anyio.move_on_after(0.7) as scope:
                try:
                    for _ in range(20):
                        await target.write(LONG)
                finally:
                    await target.abort()
    assert scope.cancelled_caught
    assert proxy.count("PUT", "partNumber") > 0
    assert proxy.count("DELETE", "uploadId") == 1
    assert moto_store.pending() == []
    assert moto_store.keys(f"{prefix}/") == []


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "InvalidAccessKeyId", "refuses access to .* .403 InvalidAccessKeyId."),
        (403, "AccessDenied", "refuses access to .*check that the credentials are right"),
        (404, "NoSuchBucket", "there is no bucket scans for s3://scans/x; make it"),
        (301, "PermanentRedirect", "is in another region; set AWS_REGION"),
        (400, "InvalidRequest", "refuses a request to s3://scans/x .400 InvalidRequest."),
        (503, "SlowDown", r"asks to slow down and does not stop doing so \(503( SlowDown)?\)"),
        (500, "InternalError", r"the store of s3://scans/x fails \(500( InternalError)?\)"),
    ],
)
async def test_what_a_store_answers_is_told_apart(moto_store, monkeypatch, status, code, sentence):
    """
    Each kind of refusal has its sentence; none shows a credential.
    """
    with proxied(moto_store.url) as proxy:
        url = use(moto_store, "x", monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.hinder = lambda _: Refuse(status, code)
        with pytest.raises(StorageError, match=sentence) as caught:
            async with opened(url):
                pass
    text = str(caught.value)
    assert moto_store.variables["AWS_SECRET_ACCESS_KEY"] not in text
    assert moto_store.variables["AWS_ACCESS_KEY_ID"] not in text
    assert "\n" not in text


async def test_a_dead_endpoint(moto_store, monkeypatch):
    """
    A store that is not there is told within seconds, with the variable that may be wrong.
    """
    url = use(moto_store, "x", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"cannot be reached; check .*AWS_ENDPOINT_URL"):
        async with opened(url):
            pass


@pytest.mark.parametrize(
    ("url", "variables", "sentence"),
    [
        ("s3://scans/x", {"AWS_PROFILE": "p"}, "AWS_PROFILE is set, .*export-credentials"),
        ("az://scans/x", {}, "az://scans/x cannot be used: .*AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
async def test_settings_of_a_store_that_are_missing(monkeypatch, url, variables, sentence):
    """
    What cannot be right is told before anything is asked.
    """
    for name in [*os.environ]:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=sentence):
        async with opened(url):
            pass


async def test_no_credentials_at_all(monkeypatch):
    """
    Where there are none, and no cloud that hands some out, the sentence says what to set.
    """
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="there are no credentials for s3://scans/x; set AWS_"):
        async with opened("s3://scans/x"):
            pass
