"""
Storage: an image is there whole or not at all, and never outside the output.

Real files throughout; what a full or read-only disk does is shown by `test_disk.py`.
"""

import errno
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import threading

import anyio
import anyio.lowlevel
import pytest
from descriptors import exhausted, open_files
from wiring import local_storage

from batchfetch.errors import (
    MalformedBase64Error,
    OutOfDescriptorsError,
    OutputLockedError,
    StorageError,
    UnsafeNameError,
)
from batchfetch.models import Image
from batchfetch.settings import Durability
from batchfetch.storage import FileExecutor, open_storage
from batchfetch.storage.claims import Claims, digest
from batchfetch.storage.files import Files
from batchfetch.storage.folder import Folder
from batchfetch.storage.part import PART_NAME

pytestmark = pytest.mark.anyio

BUFFERFUL = b"x" * 800_000  # More than is written right where it arrives.


class Plain:
    """
    A decoder that changes nothing; *bad* text, and a *bad* end, are errors.
    """

    def __init__(self, bad=b"bad"):
        self._bad = bad
        self._size = 0
        self._last = b""

    def decode(self, text):
        self._last = bytes(text)
        if self._last == self._bad:
            raise MalformedBase64Error("bad text")
        self._size += len(text)
        return self._last

    def flush(self):
        if self._last == b"bad end":
            raise MalformedBase64Error("bad end")
        return Image(self._size, None)


class Gate(Plain):
    """
    Decodes when it is told to, in whatever thread it is called.
    """

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.open = threading.Event()

    def decode(self, text):
        self.wait()
        return super().decode(text)

    def wait(self):
        self.entered.set()
        assert self.open.wait(10)


@pytest.fixture
def renames():
    """
    What to call, in whatever thread it happens, before a file gets another name.
    """
    listeners = []

    def listen(event, _):
        if event == "os.rename":
            for listener in listeners:
                listener()

    # There is no way to take a hook away again: it is left with nobody to tell.
    sys.addaudithook(listen)
    yield listeners
    listeners.clear()


@pytest.fixture
def root(tmp_path):
    """
    The output.
    """
    return tmp_path / "out"


@pytest.fixture
async def storage(root):
    """
    The output, open; small files are written where they are committed.
    """
    async with local_storage(root, Durability.NONE) as storage:
        yield storage


def files_in(folder):
    """
    Return what is below *folder*, the lock aside, with its bytes.
    """
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".batchfetch.lock"
    }


class Writing:
    """
    A file under construction that *decoder* makes the bytes of, as `run/download.py` does it.
    """

    def __init__(self, storage, filename, decoder, announced=None):
        self.target = storage.open(filename, announced)
        self._decoder = decoder

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.target.abort()

    async def write(self, pieces):
        await self.target.write(map(self._decoder.decode, pieces))

    async def commit(self):
        image = self._decoder.flush()
        await self.target.commit()
        return image


async def save(storage, filename, *pieces):
    """
    Save an image that arrives as *pieces*, one after the other.
    """
    async with Writing(storage, filename, Plain()) as file:
        for piece in pieces:
            await file.write([piece])
        return await file.commit()


@pytest.mark.parametrize("durability", Durability)
@pytest.mark.parametrize("pieces", [[b"small"], [BUFFERFUL, b"more", BUFFERFUL, b"end"]])
async def test_committed_image_is_whole(root, durability, pieces):
    """
    What was written is there under its name, whatever its size and the durability asked for.
    """
    async with local_storage(root, durability) as storage:
        image = await save(storage, "a/b/image.png", *pieces)
    assert files_in(root) == {"a/b/image.png": b"".join(pieces)}
    assert image == Image(sum(map(len, pieces)), None)


@pytest.mark.parametrize("pieces", [[], [b"small"], [BUFFERFUL, b"more"]])
async def test_image_without_commit_leaves_no_trace(root, storage, pieces):
    """
    Leaving the block without a commit leaves neither file nor descriptor.
    """
    before = open_files()
    async with Writing(storage, "image.png", Plain()) as file:
        for piece in pieces:
            await file.write([piece])
    assert files_in(root) == {}
    assert open_files() == before


@pytest.mark.parametrize(
    "pieces",
    [[b"bad"], [b"bad end"], [BUFFERFUL, b"bad"], [BUFFERFUL, b"bad end"], [b"bad", BUFFERFUL]],
)
async def test_image_that_is_not_sound_leaves_no_trace(root, storage, pieces):
    """
    What the decoder refuses, wherever it does, leaves neither file nor descriptor.
    """
    before = open_files()
    with pytest.raises(MalformedBase64Error):
        await save(storage, "image.png", *pieces)
    assert files_in(root) == {}
    assert open_files() == before


async def test_committed_image_replaces_an_earlier_one(root, storage):
    """
    The earlier image stays until the new one is whole.
    """
    await save(storage, "image.png", b"earlier")
    with pytest.raises(MalformedBase64Error):
        await save(storage, "image.png", b"bad")
    assert files_in(root) == {"image.png": b"earlier"}
    await save(storage, "image.png", b"later")
    assert files_in(root) == {"image.png": b"later"}


async def test_nothing_is_opened_before_the_first_piece(root, storage):
    """
    An answer without an image touches no disk; the first of one opens a hidden part, no more.
    """
    before = open_files()
    async with Writing(storage, "deep/image.png", Plain()) as file:
        await file.write([])
        assert open_files() == before
        assert not (root / "deep").exists()
        await file.write([BUFFERFUL, b"x"])
        (part,) = (root / "deep").iterdir()
        assert PART_NAME.fullmatch(part.name)
        assert part.stat().st_size >= len(BUFFERFUL)


@pytest.mark.parametrize("pieces", [600, 3000])
async def test_more_pieces_than_one_write_takes(root, storage, pieces):
    """
    Any number of pieces arrives, in order.
    """
    numbers = [b"%08d" % number * 100 for number in range(pieces)]
    async with Writing(storage, "image.png", Plain()) as file:
        await file.write(numbers)
        await file.commit()
    assert files_in(root) == {"image.png": b"".join(numbers)}


async def test_decoder_that_yields_nothing(root, storage):
    """
    Pieces that come to no bytes are no write.
    """
    await save(storage, "image.png", b"", b"x", b"")
    assert files_in(root) == {"image.png": b"x"}


@pytest.mark.parametrize(
    "filename", ["ünïcode/文書.png", "a b/'quotes\"/$HOME.png", "e\u0301.png", ".hidden.png"]
)
async def test_names_are_taken_as_they_are(root, storage, filename):
    """
    Any plain name is a name.
    """
    await save(storage, filename, b"x")
    assert files_in(root) == {filename: b"x"}
    assert storage.folder.size_of(filename) == 1


async def test_modes_leave_it_to_the_umask(root):
    """
    Folders are 0777 and files 0666 less the umask.
    """
    before = os.umask(0o027)
    try:
        async with local_storage(root, Durability.NONE) as storage:
            await save(storage, "folder/image.png", b"x")
    finally:
        os.umask(before)
    modes = [
        stat.S_IMODE(path.stat().st_mode)
        for path in (root, root / "folder", root / "folder/image.png")
    ]
    assert modes == [0o750, 0o750, 0o640]


@pytest.mark.parametrize("pieces", [[b"small"], [BUFFERFUL, b"more"]])
async def test_link_at_the_image_s_place_is_replaced(root, storage, tmp_path, pieces):
    """
    A link that appears at the image's place during the run is replaced, not written through.
    """
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (root / "image.png").symlink_to(outside)
    await save(storage, "image.png", *pieces)
    assert outside.read_bytes() == b"precious"
    assert not (root / "image.png").is_symlink()


async def test_link_on_the_way_is_not_followed(root, storage, tmp_path):
    """
    A folder that is a link is no folder of the output.
    """
    (tmp_path / "elsewhere").mkdir()
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeNameError, match=r"folder/image\.png"):
        await save(storage, "folder/image.png", b"x")
    assert files_in(tmp_path / "elsewhere") == {}


async def test_links_in_a_circle(root, storage):
    """
    A link to itself is no folder either.
    """
    (root / "loop").symlink_to("loop")
    with pytest.raises(UnsafeNameError):
        await save(storage, "loop/image.png", b"x")
    with pytest.raises(UnsafeNameError):
        storage.folder.size_of("loop/image.png")


async def test_folder_swapped_for_a_link_under_a_write(root, storage, tmp_path):
    """
    Bytes keep going to the folder that was opened; a link put in its place gets none.
    """
    (tmp_path / "elsewhere").mkdir()
    async with Writing(storage, "folder/image.png", Plain()) as file:
        await file.write([BUFFERFUL])
        (root / "folder").rename(root / "moved")
        (root / "folder").symlink_to(tmp_path / "elsewhere")
        await file.write([BUFFERFUL])
        await file.commit()
    assert files_in(tmp_path / "elsewhere") == {}
    assert files_in(root) == {"moved/image.png": BUFFERFUL * 2}


@pytest.mark.parametrize(
    "filename", ["../up.png", "a/../../up.png", "/abs.png", "a//b.png", "", ".", ".."]
)
async def test_way_that_does_not_lead_down(root, storage, tmp_path, filename):
    """
    A name that would leave the output is refused, whoever made it.
    """
    with pytest.raises(UnsafeNameError, match="not a place below the output"):
        await save(storage, filename, b"x")
    with pytest.raises(UnsafeNameError, match="not a place below the output"):
        storage.folder.size_of(filename)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("filename", "code"),
    [
        ("x" * 300 + ".png", errno.ENAMETOOLONG),
        ("y" * 300 + "/image.png", errno.ENAMETOOLONG),
        ("taken.png", errno.EISDIR),
        ("file/image.png", errno.ENOTDIR),
    ],
)
async def test_place_that_cannot_be_one(root, storage, filename, code):
    """
    Where no plain file can stand, that one image is refused, and the disk is not blamed.
    """
    (root / "taken.png").mkdir()
    (root / "file").write_bytes(b"")
    with pytest.raises(UnsafeNameError, match=os.strerror(code)):
        await save(storage, filename, b"x")
    assert files_in(root) == {"file": b""}


async def test_size_of(root, storage):
    """
    A plain file has a size, a missing one none, anything else is refused.
    """
    await save(storage, "folder/image.png", b"12345")
    await save(storage, "image.png", b"123")
    (root / "link.png").symlink_to("folder/image.png")
    os.mkfifo(root / "pipe.png")
    assert storage.folder.size_of("folder/image.png") == 5
    assert storage.folder.size_of("image.png") == 3
    assert storage.folder.size_of("none.png") is None
    assert storage.folder.size_of("folder/none.png") is None
    assert storage.folder.size_of("none/none.png") is None
    for filename in ("folder", "link.png", "pipe.png"):
        with pytest.raises(UnsafeNameError, match="no plain file"):
            storage.folder.size_of(filename)
    for filename in ("x" * 300, "x" * 300 + "/image.png"):
        with pytest.raises(UnsafeNameError, match=os.strerror(errno.ENAMETOOLONG)):
            storage.folder.size_of(filename)


async def test_read(root, storage):
    """
    A file is read in pieces, and no link in its place is.
    """
    await save(storage, "image.png", BUFFERFUL, b"1234567")
    (root / "link.png").symlink_to("image.png")
    before = open_files()
    pieces = [piece async for piece in storage.read("image.png")]
    assert b"".join(pieces) == BUFFERFUL + b"1234567"
    assert len(pieces) > 1
    for name in ("link.png", "../up.png"):
        with pytest.raises(UnsafeNameError):
            _ = [piece async for piece in storage.read(name)]
    assert open_files() == before


async def test_stat(root, storage):
    """
    What is under many names is told in their order; what cannot be used is a value, no exception.
    """
    await save(storage, "folder/image.png", b"12345")
    (root / "link.png").symlink_to("folder/image.png")
    found = await storage.stat(["none.png", "folder/image.png", "link.png", "../up.png"])
    assert found[:2] == [None, 5]
    assert [type(each) for each in found[2:]] == [UnsafeNameError, UnsafeNameError]
    assert await storage.stat([]) == []


async def test_output_that_is_not_to_be_made(root):
    """
    A missing output can be looked at without being made: nothing is there.
    """
    with FileExecutor() as files:
        async with open_storage(root, Durability.NONE, files, make=False) as storage:
            assert await storage.stat(["a.png", "b.png"]) == [None, None]
    assert not root.exists()


async def test_output_that_vanishes(root, storage):
    """
    An output that is removed under the run is the disk's failure, in a sentence.
    """
    root.rename(root.with_name("moved"))
    (root.with_name("moved") / ".batchfetch.lock").unlink()
    root.with_name("moved").rmdir()
    with pytest.raises(StorageError, match=r"image\.png: No such file .* was removed during"):
        await save(storage, "image.png", b"x")


@pytest.mark.parametrize("place", ["file", "file/below", "loop", "x" * 300])
async def test_output_that_can_be_none(tmp_path, place):
    """
    An output that cannot be opened is the disk's failure, and leaves nothing open.
    """
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    before = open_files()
    with pytest.raises(StorageError, match="cannot write "):
        async with local_storage(tmp_path / place, Durability.FILE):
            pass
    assert open_files() == before


async def test_lock_that_is_a_link(root, tmp_path):
    """
    A link where the lock should be is not followed, and stops the run.
    """
    root.mkdir()
    (root / ".batchfetch.lock").symlink_to(tmp_path / "made")
    with pytest.raises(StorageError, match=r"\.batchfetch\.lock"):
        async with local_storage(root, Durability.FILE):
            pass
    assert not (tmp_path / "made").exists()


async def test_one_run_at_a_time(root):
    """
    A second one is told so while the first holds the folder, and let in afterwards.
    """
    async with local_storage(root, Durability.NONE):
        with pytest.raises(
            OutputLockedError, match=rf"another run \(.*\) is writing to {re.escape(str(root))}"
        ):
            async with local_storage(root, Durability.NONE):
                pass
    async with local_storage(root, Durability.NONE):
        pass


HOLD = """
import sys
from pathlib import Path
from batchfetch.storage.folder import Folder
folder = Folder(Path(sys.argv[1]))
folder.lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_lock_dies_with_its_process(root):
    """
    The folder is free again as soon as the process that held it is killed.
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        folder = Folder(root)
        who = rf"another run \(process {holder.pid} on {re.escape(os.uname().nodename)}, since 2"
        with pytest.raises(OutputLockedError, match=who):
            folder.lock()
        folder.close()
        holder.kill()
        holder.wait()
        folder = Folder(root)
        folder.lock()
        folder.close()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"4711 host", b"x" * 4096])
async def test_lock_whose_holder_is_not_known(root, content):
    """
    A lock file with anything else in it keeps a second run out just the same.
    """
    async with local_storage(root, Durability.NONE):
        (root / ".batchfetch.lock").write_bytes(content)
        with pytest.raises(OutputLockedError, match="another run is writing to"):
            async with local_storage(root, Durability.NONE):
                pass


def test_lock_writes_into_no_file_outside(root, tmp_path):
    """
    A hard link in the lock's place is locked and left as it is.
    """
    root.mkdir()
    (tmp_path / "precious").write_text("precious")
    (root / ".batchfetch.lock").hardlink_to(tmp_path / "precious")
    folder = Folder(root)
    folder.lock()
    folder.close()
    assert (tmp_path / "precious").read_text() == "precious"


async def test_parts_of_a_dead_run_are_swept(root, caplog):
    """
    Hidden parts go, at any depth; what only looks a little like one stays.
    """
    kept = [".image.png.part", "image.png.01234567.part", ".x.0123456g.part", "folder/image.png"]
    swept = [".image.png.01234567.part", "folder/.deep/.a b.png.89abcdef.part"]
    for filename in (*kept, *swept):
        (root / filename).parent.mkdir(parents=True, exist_ok=True)
        (root / filename).write_bytes(b"x")
    outside = root.with_name("outside")
    outside.mkdir()
    (outside / ".image.png.01234567.part").write_bytes(b"x")
    (root / "link").symlink_to(outside)
    with caplog.at_level("INFO"):
        async with local_storage(root, Durability.FILE):
            pass
    assert sorted(files_in(root)) == sorted(kept)
    assert len(files_in(outside)) == 1
    assert "removed 2 unfinished files" in caplog.text


async def test_output_of_other_runs_is_left_alone(root, caplog):
    """
    A folder below with a lock of its own belongs to other runs, with all that is in it.
    """
    kept = [
        "ward7/.image.png.01234567.part",
        "ward7/folder/.batchfetch.01234567.part",
    ]
    for filename in (*kept, "ward7/.batchfetch.lock", "ward8/.batchfetch.01234567.part"):
        (root / filename).parent.mkdir(parents=True, exist_ok=True)
        (root / filename).write_bytes(b"")
    with caplog.at_level("INFO"):
        async with local_storage(root, Durability.NONE):
            pass
    assert sorted(files_in(root)) == sorted(kept)
    assert "removed 1 unfinished files" in caplog.text


async def test_folders_deeper_than_files_may_be_open(root):
    """
    What is so deep that no image of ours could be there is not looked at, and stops nothing.
    """
    root.mkdir()
    at = os.open(root, os.O_RDONLY)
    for _ in range(1300):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    deepest = "/".join(["d"] * 500)
    part = f"{deepest}/.batchfetch.01234567.part"
    (root / part).write_bytes(b"")
    try:
        async with local_storage(root, Durability.NONE):
            assert not (root / part).exists()
    finally:
        # Too deep for what tidies up behind the tests.
        await anyio.run_process(["rm", "-rf", str(root)])


def claim(number, name, owner):
    """
    Return the name of a claim.
    """
    return f".batchfetch.{number}.{digest(name)}{digest(owner)}.part"


async def test_claims_of_a_dead_run(root, caplog):
    """
    A claim holds from when its part has become the file, and goes when it is released.
    """
    void, holds = claim("1" * 16, "b.png", "b"), claim("2" * 16, "c.png", "Ä")
    for filename in (void, f".batchfetch.{'1' * 16}.part", "b.png", f"d/{holds}", "d/c.png"):
        (root / filename).parent.mkdir(parents=True, exist_ok=True)
        (root / filename).write_bytes(b"")
    with caplog.at_level("INFO"):
        async with local_storage(root, Durability.NONE) as storage:
            assert not storage.is_claimed("b.png")
            assert await storage.is_owned_by("b.png", "b") is None
            assert storage.is_claimed("d/c.png")
            assert not storage.is_claimed("c.png")
            assert await storage.is_owned_by("d/c.png", "Ä") is True
            assert await storage.is_owned_by("d/c.png", "ä") is False
            assert sorted(files_in(root)) == ["b.png", f"d/{holds}", "d/c.png"]
            await storage.release(["b.png", "d/c.png", "none.png"])
            assert not storage.is_claimed("d/c.png")
    assert sorted(files_in(root)) == ["b.png", "d/c.png"]
    assert "removed 1 unfinished files" in caplog.text


async def test_looking_touches_nothing(root):
    """
    A storage that is not to be made knows what a dead run left, and leaves it.
    """
    root.mkdir()
    left = sorted(["a.png", claim("2" * 16, "a.png", "a"), ".batchfetch.00000001.part"])
    for filename in left:
        (root / filename).write_bytes(b"")
    with FileExecutor() as files:
        async with open_storage(root, Durability.NONE, files, make=False) as storage:
            assert await storage.is_owned_by("a.png", "a") is True
    assert [name for name in sorted(files_in(root)) if "lock" not in name] == left


@pytest.mark.parametrize("pieces", [[b"small"], [BUFFERFUL, b"more"]])
async def test_claim_from_commit_to_release(root, storage, pieces):
    """
    A file with an owner is claimed until that is written elsewhere; an older claim gives way.
    """

    async def put(owner):
        target = storage.open("d/image.png", owner=owner)
        await target.write(pieces)
        await target.commit()

    await put("a")
    await put("b")
    (marker,) = [path.name for path in (root / "d").iterdir() if path.name != "image.png"]
    assert marker[len(".batchfetch.") + 16 :] == claim("", "image.png", "b")[len(".batchfetch.") :]
    assert await storage.is_owned_by("d/image.png", "b") is True
    await storage.release(["d/image.png"])
    assert files_in(root) == {"d/image.png": b"".join(pieces)}
    await put(None)
    assert not storage.is_claimed("d/image.png")


@pytest.mark.parametrize("pieces", [[b"small"], [BUFFERFUL, b"more"]])
async def test_claim_of_a_file_that_cannot_be_there(root, storage, pieces):
    """
    If the last step fails, neither part nor claim is left.
    """
    (root / "image.png").mkdir()
    target = storage.open("image.png", owner="a")
    await target.write(pieces)
    with pytest.raises(UnsafeNameError, match="Is a directory"):
        await target.commit()
    await target.abort()
    assert files_in(root) == {}
    assert not storage.is_claimed("image.png")


async def test_claim_in_a_folder_that_is_gone(root, storage):
    """
    To release a file whose folder was removed does no harm.
    """
    target = storage.open("d/image.png", owner="a")
    await target.write([b"x"])
    await target.commit()
    shutil.rmtree(root / "d")
    await storage.release(["d/image.png"])
    assert not storage.is_claimed("d/image.png")


async def test_second_run_sweeps_nothing(root, storage):
    """
    A run that finds the folder held leaves the parts of the one that holds it alone.
    """
    async with Writing(storage, "image.png", Plain()) as file:
        await file.write([BUFFERFUL])
        with pytest.raises(OutputLockedError):
            async with local_storage(root, Durability.NONE):
                pass
        await file.commit()
    assert files_in(root) == {"image.png": BUFFERFUL}


@pytest.mark.parametrize(
    ("announced", "pieces", "in_threads"),
    [
        (0, [b"x" * 1000, BUFFERFUL, b"x" * 1000], [False, False, True]),
        (1000, [b"x" * 500, b"x" * 500], [False, False]),
        (10_000_000, [b"x" * 1000, b"x" * 1000], [True, True]),
    ],
)
async def test_large_images_are_decoded_in_a_thread(storage, announced, pieces, in_threads):
    """
    What is known to be large is from its first byte, what turns out to be from there on.
    """

    class Watched(Plain):
        def decode(self, text):
            seen.append(threading.get_ident() != here)
            return super().decode(text)

    here, seen = threading.get_ident(), []
    async with Writing(storage, "image.png", Watched(), announced=announced) as file:
        for piece in pieces:
            await file.write([piece])
        await file.commit()
    assert seen == in_threads


async def cancelled_in(gate, work):
    """
    Run *work* and cancel it while a thread is held by *gate*.
    """
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.to_thread.run_sync(gate.entered.wait, 10)
        tasks.cancel_scope.cancel()
        gate.open.set()


@pytest.mark.parametrize("durability", Durability)
async def test_cancelled_in_the_middle_of_a_write(root, durability):
    """
    The thread that writes is waited for; then nothing is left, neither part nor descriptor.
    """
    gate = Gate()
    async with local_storage(root, durability) as storage:
        before = open_files()
        await cancelled_in(gate, lambda: save_through(storage, gate, BUFFERFUL))
        assert open_files() == before
        assert files_in(root) == {}


async def test_file_does_not_end_before_the_thread_that_writes(storage):
    """
    As long as a thread uses the pieces nobody takes them away, also not who is cancelled.
    """
    gate, ended = Gate(), []

    async def work():
        try:
            await save_through(storage, gate, BUFFERFUL)
        finally:
            ended.append(gate.open.is_set())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.to_thread.run_sync(gate.entered.wait, 10)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.1)
        gate.open.set()
    assert ended == [True]


@pytest.mark.parametrize("pieces", [[b"small"], [BUFFERFUL, b"end"]])
async def test_cancelled_in_the_middle_of_a_commit(root, pieces, renames):
    """
    A commit that has begun is seen through: the image is whole, and nothing else is left.
    """
    gate = Gate()
    renames.append(gate.wait)
    async with local_storage(root, Durability.FILE) as storage:
        before = open_files()
        await cancelled_in(gate, lambda: save(storage, "image.png", *pieces))
        assert open_files() == before
        assert files_in(root) == {"image.png": b"".join(pieces)}


async def save_through(storage, decoder, piece):
    """
    Save an image that *decoder* decodes.
    """
    async with Writing(storage, "image.png", decoder, announced=10_000_000) as file:
        await file.write([piece])
        await anyio.lowlevel.checkpoint()  # As wherever more is read from a connection.
        await file.commit()


async def test_no_descriptor_left(root, storage):
    """
    Without a descriptor for the image its question may be asked again; the disk is sound.
    """
    await storage.executor.run(lambda: None)  # The loop and the threads have theirs.
    with exhausted(), pytest.raises(OutOfDescriptorsError, match=r"image\.png"):
        await save(storage, "image.png", b"x")
    await save(storage, "image.png", b"x")
    assert files_in(root) == {"image.png": b"x"}


async def test_no_descriptor_left_for_the_part_itself(root, storage):
    """
    A part that cannot be opened does not keep its folder open.
    """
    before = open_files()
    # One is free: enough for the folder, too few for the part.
    with exhausted(but=1), pytest.raises(OSError, match="Too many open files"):
        Files(storage.folder, Claims(), Durability.NONE).begin("image.png")
    assert open_files() == before


async def test_part_that_cannot_be_closed(root, storage):
    """
    A failing close, as on a full network disk, is a sentence and keeps nothing open.
    """
    before = open_files()
    with pytest.raises(StorageError, match=r"image\.png: Bad file descriptor"):
        async with Writing(storage, "image.png", Plain()) as file:
            await file.write([BUFFERFUL])
            os.close(file.target._part.file)
    assert open_files() == before
    assert files_in(root) == {}


async def test_aborting_twice(root, storage):
    """
    A file may be aborted again; a descriptor that others got meanwhile stays open.
    """
    target = storage.open("image.png")
    await target.write([BUFFERFUL])
    await target.abort()
    others = os.dup(0), os.dup(0)
    await target.abort()
    assert set(map(str, others)) <= set(open_files())
    for descriptor in others:
        os.close(descriptor)
    assert files_in(root) == {}


async def test_part_that_is_gone_already(root, storage):
    """
    Somebody else's tidying is no failure.
    """
    async with Writing(storage, "image.png", Plain()) as file:
        await file.write([BUFFERFUL])
        (part,) = root.glob(".*.part")
        part.unlink()
    assert files_in(root) == {}


async def test_disk_that_takes_only_a_part(root, storage):
    """
    A write that is cut short goes on, and fails when nothing more is taken.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BUFFERFUL) // 2, hard))
    try:
        with pytest.raises(StorageError, match=r"image\.png: File too large; see to the disk"):
            await save(storage, "image.png", BUFFERFUL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(root) == {}


class Ticks:
    """
    A clock on which any work takes *step* seconds.
    """

    def __init__(self, step):
        self.step = step
        self._now = 0.0

    def __call__(self):
        self._now += self.step
        return self._now


@pytest.fixture
async def executors():
    """
    Make executors whose every work takes so many seconds.
    """
    made = []

    def executors(step=0.0):
        made.append(FileExecutor(clock=Ticks(step)))
        return made[-1]

    yield executors
    for each in made:
        each.cpu_pool.shutdown()


async def test_quick_small_files_take_no_thread(executors):
    """
    As long as writing is quick it is done right here.
    """
    quick = executors(100e-6)
    here = {await quick.inline(threading.get_ident) for _ in range(100)}
    assert here == {threading.get_ident()}


async def test_slow_small_files_take_a_thread_until_quick_again(executors):
    """
    Once writing is slow on average it is done in threads; when it is quick again, here.
    """
    clock = Ticks(0.002)
    adaptive = FileExecutor(clock=clock)
    here = threading.get_ident()
    slow = [await adaptive.inline(threading.get_ident) == here for _ in range(2000)]
    assert slow[0]
    assert sum(slow) <= 20  # A few in a row now and then, to see whether it has become quick.
    clock.step = 10e-6
    quick = [await adaptive.inline(threading.get_ident) == here for _ in range(1000)]
    assert not quick[0]
    assert all(quick[-50:])
    adaptive.cpu_pool.shutdown()


@pytest.mark.parametrize("durability", Durability)
@pytest.mark.parametrize("pieces", [[b"small"], [BUFFERFUL, b"end"]])
async def test_waiting_for_the_disk_takes_a_thread(root, durability, pieces, renames):
    """
    What is synced never keeps the event loop waiting; what is not is ended right there.
    """
    threads = []
    renames.append(lambda: threads.append(threading.get_ident()))
    async with local_storage(root, durability) as storage:
        await save(storage, "image.png", *pieces)
    (renamed,) = threads
    assert (renamed == threading.get_ident()) == (durability is Durability.NONE)


THREADS = """
import resource, sys
from pathlib import Path
from batchfetch.errors import StorageError
from batchfetch.storage.executor import _started_pool
status = Path("/proc/self/status").read_text()
in_use = int(status.split("VmSize:")[1].split()[0]) * 1024
room = in_use + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    pool = _started_pool(8)
except StorageError as exc:
    print(exc)
else:
    print(pool._max_workers)
    pool.shutdown()
"""


@pytest.mark.parametrize(
    ("mebibytes", "said"),
    [("1000", "8"), ("40", "[124]"), ("2", "no thread can be started; allow more .*")],
)
def test_as_many_threads_as_there_may_be(mebibytes, said):
    """
    Where few threads can be started fewer write; where none can, a sentence says so.
    """
    found = subprocess.run(
        [sys.executable, "-c", THREADS, mebibytes], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(said, found.stdout.strip())


@pytest.mark.parametrize("how", ["inline", "run"])
async def test_failing_work_fails_where_it_was_asked_for(executors, how):
    """
    What goes wrong in the work comes out, from a thread, too.
    """

    def fail():
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        await getattr(executors(), how)(fail)
