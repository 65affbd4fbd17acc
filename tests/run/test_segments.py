"""
Copies of the report beside the images: when they are sent, and what a run does without them.
"""

from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from batchfetch.errors import StorageError
from batchfetch.report import open_report
from batchfetch.run.segments import kept_report
from batchfetch.settings import Durability

pytestmark = pytest.mark.anyio

LINE = b'{"task_id": "%s", "outcome": "Error", "calls": 1}\n'


class Keeper:
    """
    A storage that keeps segments in memory; *answer* is called before each is kept.
    """

    def __init__(self):
        self.kept = {}
        self.sends = 0
        self.answer = anyio.lowlevel.checkpoint

    async def segments(self):
        """
        See `ReportKeeper.segments`.
        """
        return {name: len(data) for name, data in self.kept.items()}

    async def read_segment(self, name):
        """
        See `ReportKeeper.read_segment`.
        """
        return self.kept[name]

    async def write_segment(self, name, data):
        """
        See `ReportKeeper.write_segment`.
        """
        self.sends += 1
        await self.answer()
        self.kept[name] = data


@pytest.fixture
def keeper():
    """
    A keeper without segments.
    """
    return Keeper()


@asynccontextmanager
async def kept(keeper, path, **seconds):
    """
    Keep the report at *path*; yields what writes a line to it.
    """
    async with open_report(path, Durability.NONE) as report:

        async def append(task_id):
            await report.append(LINE % task_id.encode())

        async with kept_report(keeper, report, path, **seconds):
            yield append


async def test_lines_are_sent_from_time_to_time(tmp_path, keeper):
    """
    New lines are kept while the run is on, in one segment, and nothing is sent where none is new.
    """
    path = tmp_path / "r.jsonl"
    async with kept(keeper, path, every=0.01) as append:
        for number in range(5):
            await append(f"t{number}")
            with anyio.fail_after(30):
                while b"".join(keeper.kept.values()) != path.read_bytes():  # noqa: ASYNC110
                    await anyio.sleep(0.01)
        sends = keeper.sends
        await anyio.sleep(0.2)
    assert keeper.sends == sends
    assert len(keeper.kept) == 1


async def test_the_last_lines_are_sent_when_a_run_is_cancelled(tmp_path, keeper):
    """
    A run that is stopped sends what it has decided.
    """
    path = tmp_path / "r.jsonl"
    with anyio.CancelScope() as scope:
        async with kept(keeper, path) as append:
            await append("a")
            scope.cancel()
            await anyio.sleep(10)
    assert list(keeper.kept.values()) == [LINE % b"a"]


async def test_a_keeper_that_does_not_answer_holds_no_failed_run_up(tmp_path, keeper, caplog):
    """
    After an error the last lines are tried for a while only; the next run sends them.
    """
    path = tmp_path / "r.jsonl"
    keeper.answer = anyio.sleep_forever
    with pytest.raises(StorageError, match="gone"):
        async with kept(keeper, path, last=0.1) as append:
            await append("a")
            raise StorageError("gone")
    assert "new lines of" in caplog.text
    assert "not kept with the images yet: the store did not answer" in caplog.text
    keeper.answer = anyio.lowlevel.checkpoint
    async with kept(keeper, path):
        assert list(keeper.kept.values()) == [LINE % b"a"]


async def test_a_keeper_that_fails_ends_no_run(tmp_path, keeper, caplog):
    """
    What cannot be kept now is kept next time.
    """
    path = tmp_path / "r.jsonl"

    async def fail():
        raise StorageError("no room")

    async with kept(keeper, path, every=0.01) as append:
        keeper.answer = fail
        await append("a")
        with anyio.fail_after(30):
            while "no room" not in caplog.text:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        keeper.answer = anyio.lowlevel.checkpoint
    assert list(keeper.kept.values()) == [LINE % b"a"]


async def test_a_segment_is_read_once(tmp_path, keeper):
    """
    A hundred segments of other machines are read by the first run here, and by no later one.
    """
    path = tmp_path / "r.jsonl"
    keeper.kept = {f"{number:03}.jsonl": LINE % (b"t%d" % number) for number in range(100)}
    for _ in range(2):
        async with kept(keeper, path):
            pass
        assert len(path.read_bytes().splitlines()) == 100
        keeper.read_segment = None
    assert keeper.sends == 0
