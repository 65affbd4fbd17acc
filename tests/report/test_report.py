"""
The report: written in whole lines, and read back whatever happened to it.
"""

import fcntl
import json
import logging
import os
import resource
import signal
import stat
import struct
import subprocess
import termios
import tracemalloc
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from command import wait_until
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.errors import OutputLockedError, ReportError, SettingsError
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report import load_report, open_report, read_lines
from batchfetch.report.ledger import Ledger, Settled
from batchfetch.report.lines import encode
from batchfetch.settings import Durability

pytestmark = pytest.mark.anyio

COMPLETED = OutcomeStatus.COMPLETED
FILE = Durability.FILE


def outcome(task_id="a", status=COMPLETED, **more):
    """
    An outcome without much in it.
    """
    return Outcome(task_id=task_id, status=status, **more)


def line_of(task_id):
    """
    The report's line of a task.
    """
    return encode(outcome(task_id))


def ids(path):
    """
    The task ids in the report at *path*.
    """
    return [line.task_id for _, line in read_lines(path)]


async def append(path, *task_ids, durability=FILE):
    """
    Open the report at *path* and write a line for each of *task_ids*, if any.
    """
    async with open_report(path, durability) as report:
        if task_ids:
            await report.write([outcome(task_id) for task_id in task_ids])


# A line.


def test_a_line_has_every_key_in_order():
    """
    All of the report's keys are there, null or not; what makes it a manifest comes before `extra`.
    """
    assert list(json.loads(encode(outcome()))) == [
        "task_id",
        "outcome",
        "reason",
        "detail",
        "messages",
        "warnings",
        "path",
        "bytes",
        "sha256",
        "calls",
        "task_status",
        "response_status_code",
        "first_call_at",
        "finished_at",
        "manifest",
        "line",
        "name",
        "submitted_at",
        "endpoint",
        "extra",
    ]


def test_times_are_utc():
    """
    Times end in Z.
    """
    at = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    line = json.loads(encode(outcome(first_call_at=at, finished_at=at)))
    assert line["first_call_at"] == line["finished_at"] == "2026-11-23T08:30:00Z"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb\0", "\u2028", '"\\', "é😀", "\x1b[2J"])
def test_text_cannot_end_a_line(text):
    """
    Whatever a text holds, the line has one end and gives the text back.
    """
    line = encode(outcome(messages=(text,), extra={text: text}))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["messages"] == [text]
    assert json.loads(line)["extra"] == {text: text}


def test_what_cannot_be_utf8_is_still_reported():
    """
    A lone surrogate costs itself, not the outcome.
    """
    line = json.loads(encode(outcome(detail="x\ud800y", extra={"k\udfff": ["\ud800"]})))
    assert line["detail"] == "x?y"
    assert list(line["extra"].values()) == [["?"]]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OUTCOMES = st.builds(
    Outcome,
    task_id=st.none() | TEXT,
    status=st.sampled_from(OutcomeStatus),
    detail=st.none() | TEXT,
    messages=st.lists(TEXT, max_size=3).map(tuple),
    path=st.none() | TEXT,
    bytes=st.none() | st.integers(0, 2**40),
    first_call_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    finished_at=st.datetimes(timezones=st.just(UTC)),
    extra=st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT), max_size=3),
)


@given(OUTCOMES)
def test_a_line_gives_the_outcome_back(before):
    """
    Written and read, an outcome is the same.
    """
    assert Outcome.model_validate_json(encode(before)) == before


# Writing.


async def test_outcomes_are_appended(tmp_path):
    """
    Each run's lines come after those that are there, one for each outcome.
    """
    path = tmp_path / "new" / "folder" / "report.jsonl"
    await append(path, "a")
    await append(path, "b", "c")
    assert ids(path) == ["a", "b", "c"]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("durability", Durability)
async def test_lines_are_there_as_soon_as_they_are_written(tmp_path, durability):
    """
    When a write returns, everybody can read the lines, however durable they are.
    """
    path = tmp_path / "report.jsonl"
    async with open_report(path, durability) as report:
        await report.write([outcome("a"), outcome("b")])
        assert ids(path) == ["a", "b"]


async def test_a_new_report_heeds_the_umask(tmp_path):
    """
    Reports are 0666 less the umask.
    """
    path = tmp_path / "report.jsonl"
    before = os.umask(0o027)
    try:
        await append(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_one_run_at_a_time(tmp_path):
    """
    A report that is open cannot be opened; afterwards it can.
    """
    path = tmp_path / "report.jsonl"
    async with open_report(path, FILE):
        with pytest.raises(OutputLockedError, match="another run is writing the report"):
            await append(path, "b")
    await append(path, "c")
    assert ids(path) == ["c"]


async def test_a_report_in_a_place_that_cannot_be_is_told(tmp_path):
    """
    What cannot be opened is an error with its path and the system's reason.
    """
    (tmp_path / "file").touch()
    for path, words in [
        (tmp_path, "Is a directory"),
        (tmp_path / "file" / "r", "directory|exists"),
    ]:
        with pytest.raises(ReportError, match=f"the report {path} cannot be opened: .*({words})"):
            await append(path, "a")


async def test_an_error_of_the_block_is_left_alone(tmp_path):
    """
    What goes wrong while the report is open is not taken for the report's fault.
    """
    with pytest.raises(ConnectionResetError):
        async with open_report(tmp_path / "report.jsonl", FILE):
            raise ConnectionResetError


async def test_a_cancelled_write_is_seen_through(tmp_path):
    """
    Lines that are being written are written whole, whoever stops waiting.
    """
    path = tmp_path / "report.jsonl"
    async with open_report(path, FILE) as report:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await report.write([outcome("a")])
        assert ids(path) == ["a"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has none")
async def test_a_full_disk_is_told():
    """
    A write that fails is an error with the path and the system's reason.
    """
    async with open_report(Path("/dev/full"), FILE) as report:
        with pytest.raises(ReportError, match="the report /dev/full cannot be written: No space"):
            await report.write([outcome("a")])


@contextmanager
def room_up_to(size):
    """
    No file of this process grows beyond *size* bytes in the block: a disk that is full.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    inherited = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, inherited)


async def write_with_room_up_to(size, report, outcomes):
    """
    Write *outcomes* while the disk is full at *size* bytes, then what that left, with room again.
    """
    with room_up_to(size), pytest.raises(ReportError, match="cannot be written: ") as caught:
        await report.write(outcomes)
    written = caught.value.written
    return written, await report.write(outcomes[written:])


@pytest.mark.parametrize("durability", Durability)
async def test_a_write_that_broke_off_is_continued_and_nothing_is_written_twice(
    tmp_path, durability
):
    """
    Wherever the room ends, the lines that fit stay and no torn one; the rest follows, once each.
    """
    given = [outcome(name, messages=(name * 20,)) for name in ("first", "second", "third")]
    whole = b"".join(map(encode, given))
    ends = [0, *accumulate(map(len, map(encode, given)))]
    for size in range(len(whole)):
        path = tmp_path / "report.jsonl"
        async with open_report(path, durability) as report:
            written, starts = await write_with_room_up_to(size, report, given)
            assert written == sum(end <= size for end in ends[1:])
            assert list(starts) == ends[written:-1]
        assert path.read_bytes() == whole
        path.unlink()


@pytest.fixture
def append_only(tmp_path):
    """
    An empty file that can only be appended to.
    """
    path = tmp_path / "report.jsonl"
    path.touch()
    try:
        subprocess.run(["chattr", "+a", path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this file system, or this user, can make no file append-only")
    yield path
    subprocess.run(["chattr", "-a", path], check=True)


async def test_a_line_that_cannot_be_cut_off_is_finished(append_only):
    """
    In an append-only file what was written of a line stays, and only its rest is written later.
    """
    given = [outcome("a"), outcome("b")]
    whole = b"".join(map(encode, given))
    size = len(whole) - 9
    async with open_report(append_only, FILE) as report:
        with room_up_to(size), pytest.raises(ReportError) as caught:
            await report.write(given)
        assert caught.value.written == 1
        assert append_only.read_bytes() == whole[:size]
        starts = await report.write(given[1:])
        assert list(starts) == [len(encode(given[0]))]
        assert await report.read([0, *starts]) == given
    assert append_only.read_bytes() == whole


async def test_a_torn_line_without_room_for_its_end_is_told(tmp_path):
    """
    A last line without its end cannot be mended on a full disk; it stays, and is mended later.
    """
    path = tmp_path / "report.jsonl"
    torn = line_of("a") + line_of("b")[:-1]
    path.write_bytes(torn)
    with (
        room_up_to(len(torn)),
        pytest.raises(ReportError, match="cannot be opened: File too large"),
    ):
        await append(path, "c")
    assert path.read_bytes() == torn
    await append(path, "c")
    assert ids(path) == ["a", "b", "c"]


async def test_a_pipe_gets_nothing_twice_though_its_reader_left(tmp_path):
    """
    What a pipe has taken counts as written, and the next reader gets the rest, from that byte on.
    """
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    given = [outcome(str(number), detail="x" * 3000) for number in range(50)]
    refused = []
    async with open_report(path, FILE) as report:

        async def write():
            with pytest.raises(ReportError, match="Broken pipe") as caught:
                await report.write(given)
            refused.append(caught.value.written)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            # All that a pipe holds, and less than all there is: the rest waits for room.
            await to_thread.run_sync(wait_until, lambda: unread_bytes(reader) >= 60_000)
            os.close(reader)
        received = bytearray()
        async with anyio.create_task_group() as tasks:
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            tasks.start_soon(report.write, given[refused[0] :])
            whole = b"".join(map(encode, given))
            while len(received) < len(whole):
                with suppress(BlockingIOError):
                    received += os.read(reader, 2**16)
                await anyio.sleep(0.001)
        os.close(reader)
    assert 0 < refused[0] < 50
    assert received == whole


def unread_bytes(pipe):
    """
    Return how many bytes wait in *pipe*.
    """
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


async def test_a_pipe_is_written_to_as_it_is(tmp_path):
    """
    A report can go to another process; there is nothing to repair, read or sync.
    """
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await append(path, "a", durability=Durability.FULL)
        assert json.loads(os.read(reader, 10_000))["task_id"] == "a"
    finally:
        os.close(reader)
    assert ids(path) == []


async def test_a_pipe_that_nobody_reads_is_told(tmp_path):
    """
    A pipe without a reader is an error, not a wait without end.
    """
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ReportError, match="No such device"):
        await append(path, "a")


# The torn end of a dead run.


@pytest.mark.parametrize("cut", [1, 2, 30, -2])
async def test_a_torn_line_is_cut_off(tmp_path, caplog, cut):
    """
    The beginning of a line goes, with its number in a warning; what follows is a line of its own.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("a") + line_of("b") + line_of("torn")[:cut])
    await append(path, "c")
    assert path.read_bytes().startswith(line_of("a")[:30])
    assert ids(path) == ["a", "b", "c"]
    (message,) = caplog.messages
    assert message.startswith(f"{path}, line 3 was torn")


async def test_a_whole_line_without_its_end_is_kept(tmp_path, caplog):
    """
    If only the line's end is missing it is added, in silence.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("a") + line_of("b")[:-1])
    await append(path, "c")
    assert ids(path) == ["a", "b", "c"]
    assert not caplog.messages


async def test_zeros_left_by_a_power_cut_are_cut_off(tmp_path):
    """
    Room that was made for a line and never filled is given back.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("a") + b"\0" * 100_000)
    await append(path, "b")
    assert ids(path) == ["a", "b"]
    assert b"\0" not in path.read_bytes()


async def test_somebody_elses_last_line_is_kept(tmp_path):
    """
    What does not begin like a line of ours is not ours to cut.
    """
    path = tmp_path / "notes.txt"
    first = line_of("a")
    path.write_bytes(first + b"dear diary")
    await append(path, "b")
    assert path.read_bytes().startswith(first + b"dear diary\n")
    assert ids(path) == ["a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        b"task_id,name\na,page1\n",
        b"a\n",
        b"a",
        b'{"task_id":"a","name":"page1"}\n',
        b'{"task_id":"a","name":"page1"}',
        b'{"id":"a","outcome":"submitted"}\n',
        b'{"task_id":"a","outcome":"Completed"}\n',
        b"dear diary\n" + line_of("torn")[:-9],
        b"\n\n{}\n",
        b"\xff\xfea\0",
    ],
)
async def test_what_is_no_report_stays_as_it_is(tmp_path, data):
    """
    A file with lines of which none is a report's, a manifest say, is refused and not touched.
    """
    path = tmp_path / "manifest.csv"
    path.write_bytes(data)
    words = r"manifest\.csv has lines and none of them is a report's, .*choose another --report"
    with pytest.raises(SettingsError, match=words):
        await append(path, "a")
    with pytest.raises(SettingsError, match=words):
        load_report(path, Ledger())
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf\r\n \n", b"\0" * 9])
async def test_what_may_become_a_report(tmp_path, data):
    """
    Nothing at all, and what power cuts and editors leave of nothing, is a report without lines.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(data)
    load_report(path, Ledger())
    await append(path, "a")
    assert ids(path) == ["a"]


@pytest.mark.parametrize("cut", range(1, 300, 7))
async def test_a_first_night_that_died_in_its_first_line(tmp_path, cut):
    """
    Wherever the first line of a report is torn, it is still a report.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("a")[:cut])
    load_report(path, Ledger())
    await append(path, "b")
    assert ids(path)[-1] == "b"


async def test_a_long_torn_line_is_found(tmp_path):
    """
    The last line end is found however far from the end it is.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("a") + b'{"task_id":"' + b"x" * 200_000)
    await append(path, "b")
    assert ids(path) == ["a", "b"]


async def test_a_report_of_one_torn_line_is_emptied(tmp_path):
    """
    A report that died in its first line begins anew.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("torn")[:-9])
    await append(path, "a")
    assert ids(path) == ["a"]


# Reading.


def test_no_report_has_no_lines(tmp_path):
    """
    A report that is not there, or is a folder, is empty.
    """
    assert ids(tmp_path / "none.jsonl") == []
    assert ids(tmp_path) == []


def test_a_report_that_cannot_be_read_is_told(tmp_path):
    """
    A report that is there and cannot be opened is an error.
    """
    path = tmp_path / "loop"
    path.symlink_to(path)
    with pytest.raises(ReportError, match="loop cannot be read: "):
        ids(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + line_of("a"),
        line_of("a").replace(b"\n", b"\r\n"),
        b"\n  \n" + line_of("a") + b"\r\n",
        b"\0\0\0" + line_of("a"),
        b'  { "outcome" : "Completed" , "calls": 1, "task_id" : "a" }  ',
        b'{"task_id":"a","outcome":"Completed","calls":1,"new key":[1,{}]}',
    ],
)
def test_what_editors_and_file_systems_do_is_no_harm(tmp_path, caplog, data):
    """
    Marks, blanks, blank lines, zeros and other keys are read past in silence.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(data)
    found = [(line.task_id, line.status) for _, line in read_lines(path)]
    assert found == [("a", COMPLETED)]
    assert not caplog.messages


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"dear diary", "Invalid JSON"),
        (b'{"task_id":"a"', "Invalid JSON"),
        (b'{"task_id":"\xff","outcome":"Completed"}', "Invalid JSON"),
        (b"[]", "object"),
        (b'{"outcome":"Completed"}', "task_id: Field required"),
        (b'{"task_id":"a"}', "outcome: Field required"),
        (b'{"task_id":"a","outcome":"Fine"}', "outcome: Input should be 'Completed'"),
        (b'{"task_id":7,"outcome":"Completed"}', "task_id: "),
        (b'{"task_id":"a","outcome":"Completed","calls":1,"bytes":-1}', "bytes: "),
        (b'{"task_id":"a","outcome":"Completed"}', "calls: Field required"),
        (b'{"id":"a","outcome":"submitted"}', "task_id: Field required"),
        (b'{"x":' + b"[" * 100_000, "recursion"),
    ],
)
def test_a_line_that_is_no_outcome_is_skipped(tmp_path, caplog, line, words):
    """
    A foreign line costs itself and a warning with its number.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(line_of("a") + line + b"\n" + line_of("b"))
    assert ids(path) == ["a", "b"]
    (message,) = caplog.messages
    assert message.startswith(f"{path}, line 2 is no outcome and was skipped: ")
    assert words in message
    assert message.isprintable()


def test_many_foreign_lines_are_counted(tmp_path, caplog):
    """
    After ten warnings the rest is one number.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(b"?\n" * 500 + line_of("a"))
    assert ids(path) == ["a"]
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == f"{path}: 500 lines are no outcomes and were skipped"


def test_a_line_of_100_mb_is_not_held(tmp_path, caplog):
    """
    A line longer than any outcome is skipped in bounded memory.
    """
    path = tmp_path / "report.jsonl"
    with path.open("wb") as file:
        file.write(line_of("a"))
        for _ in range(100):
            file.write(b'{"x":"' + b"x" * 10**6)
        file.write(b"\n" + line_of("b"))
    tracemalloc.start()
    found = ids(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["a", "b"]
    assert "line 2" in caplog.text
    assert peak < 40 * 2**20


def test_the_ledger_gets_what_it_needs(tmp_path):
    """
    Outcomes, sizes and places are noted in the report's order; unusable rows are not.
    """
    path = tmp_path / "report.jsonl"
    outcomes = [
        outcome("a", OutcomeStatus.FAILED),
        outcome(None, OutcomeStatus.INVALID),
        outcome("b", path="x/y.png", bytes=70),
        outcome("a", OutcomeStatus.ERROR),
    ]
    path.write_bytes(b"".join(map(encode, outcomes)))
    ledger = Ledger()
    load_report(path, ledger)
    assert ledger.lookup("a") == Settled(OutcomeStatus.ERROR, 0)
    assert ledger.lookup("b") == Settled(COMPLETED, 70)
    assert ledger.owner_of("x/y.png").is_task("b")


# Whatever is there.


@pytest.fixture(autouse=True)
def _warnings(caplog):
    caplog.set_level(logging.WARNING, "batchfetch.report")


@given(data=st.binary(max_size=200), cut=st.integers(0, 300))
def test_any_bytes_before_it_leave_a_report_usable(tmp_path_factory, data, cut):
    """
    Whatever the file held, reading raises nothing and what is appended is found.
    """
    path = tmp_path_factory.mktemp("report") / "report.jsonl"
    first = line_of("first")
    path.write_bytes(first + data + line_of("x")[:cut])
    list(read_lines(path))
    anyio.run(append, path, "last")
    assert ids(path)[-1] == "last"
    kept = data[: data.rfind(b"\n") + 1]
    assert path.read_bytes().startswith(first + kept)
