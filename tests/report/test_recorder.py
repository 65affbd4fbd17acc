"""
The recorder: into the report first, then out to whoever listens.
"""

import gc

import anyio
import anyio.lowlevel
import pytest

from batchfetch.errors import ReportError
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report import LastLines, open_report
from batchfetch.report.lines import encode
from batchfetch.report.recorder import Recorder
from batchfetch.settings import Durability

pytestmark = pytest.mark.anyio


def outcomes(count):
    """
    Return so many outcomes, with images of ten bytes.
    """
    return [
        Outcome(task_id=str(number), status=OutcomeStatus.COMPLETED, bytes=10, calls=1)
        for number in range(count)
    ]


class Report:
    """
    Keeps what is written, write by write; waits for `opened` before each.
    """

    def __init__(self):
        self.writes = []
        self.opened = anyio.Event()

    async def write(self, outcomes):
        await self.opened.wait()
        self.writes.append([outcome.task_id for outcome in outcomes])
        return ()


@pytest.fixture
async def report():
    """
    A report that is open.
    """
    report = Report()
    report.opened.set()
    return report


async def heard(recorder):
    """
    Yield what is written, as it comes.
    """
    while written := await recorder.written():
        yield written


async def hand_over(recorder, outcomes):
    """
    Record all of them, then close.
    """
    for outcome in outcomes:
        await recorder.record(outcome)
    recorder.close()


async def test_outcomes_come_out_in_order_once_written(report):
    """
    Whoever listens gets every outcome, in the order of the report, and after it is in there.
    """
    recorder = Recorder(report.write)
    listened = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        tasks.start_soon(hand_over, recorder, outcomes(1000))
        async for written in heard(recorder):
            together = [outcome.task_id for outcome in written]
            in_report = [task_id for write in report.writes for task_id in write]
            assert together == in_report[len(listened) : len(listened) + len(together)]
            listened += together
    assert listened == [str(number) for number in range(1000)]
    assert sum(report.writes, []) == listened  # noqa: RUF017 - few


async def test_what_comes_together_is_written_together():
    """
    Outcomes that gather during a write go into the next one, all of them.
    """
    report = Report()
    recorder = Recorder(report.write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await recorder.record(outcomes(1)[0])
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(hand_over, recorder, outcomes(100))
        await anyio.wait_all_tasks_blocked()
        report.opened.set()
        assert sum([len(written) async for written in heard(recorder)]) == 101
    assert [len(write) for write in report.writes] == [1, 100]


async def test_what_is_written_is_counted(report):
    """
    Outcomes are counted by what became of the task and why, images fetched by their bytes.
    """
    failed = Outcome(task_id="f", status=OutcomeStatus.FAILED, reason="timeout", calls=5)
    adopted = Outcome(task_id="g", status=OutcomeStatus.COMPLETED, bytes=1000)
    recorder = Recorder(report.write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await hand_over(recorder, [*outcomes(3), failed, adopted])
        assert sum([len(written) async for written in heard(recorder)]) == 5
    assert recorder.outcomes == {OutcomeStatus.COMPLETED: 4, OutcomeStatus.FAILED: 1}
    assert recorder.reasons == {"timeout": 1}
    assert (recorder.adopted, recorder.bytes) == (1, 30)


def outcomes_alive():
    """
    Return how many outcomes are in memory.
    """
    # To ask an object for its class, as isinstance does, may import what a lazy one stands for.
    return sum(type(found) is Outcome for found in gc.get_objects())


async def record_numbered(recorder, count):
    """
    Record so many outcomes, made one by one, then close.
    """
    for number in range(count):
        await recorder.record(
            Outcome(task_id=str(number), status=OutcomeStatus.COMPLETED, extra={"page": number})
        )
    recorder.close()


@pytest.fixture
async def on_disk(tmp_path):
    """
    A recorder over a real report, and the report's path.
    """
    path = tmp_path / "report.jsonl"
    async with open_report(path, Durability.NONE) as writer:
        yield Recorder(writer.write, read=writer.read), path


async def test_writing_does_not_wait_for_the_reader(on_disk):
    """
    While nobody reads, 5000 outcomes are written, and no more than some hundreds stay in memory.
    """
    recorder, path = on_disk
    before = outcomes_alive()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await record_numbered(recorder, 5000)
    assert recorder.outcomes.total() == 5000
    assert path.read_bytes().count(b"\n") == 5000
    assert outcomes_alive() - before <= 256

    read = [outcome async for written in heard(recorder) for outcome in written]
    assert [outcome.task_id for outcome in read] == [str(number) for number in range(5000)]
    assert [outcome.extra["page"] for outcome in read] == list(range(5000))


async def test_reader_that_stops_in_the_middle_comes_back_to_the_next_outcome(on_disk):
    """
    A reader may rest, fall behind, be cancelled while it reads back, and still gets all in order.
    """
    recorder, _ = on_disk
    read = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        tasks.start_soon(record_numbered, recorder, 5000)
        read += await recorder.written()
    while written := await recorder.written():
        read += written
        with anyio.CancelScope() as scope:
            scope.cancel()
            read += await recorder.written()
    assert [outcome.task_id for outcome in read] == [str(number) for number in range(5000)]


async def test_outcomes_that_cannot_be_read_back_are_kept(report):
    """
    Behind a pipe there is nothing to read back: the reader gets all outcomes from memory.
    """
    recorder = Recorder(report.write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await record_numbered(recorder, 1000)
    read = [outcome async for written in heard(recorder) for outcome in written]
    assert [outcome.task_id for outcome in read] == [str(number) for number in range(1000)]


async def test_report_changed_by_another_program_is_an_error_of_the_reader(on_disk):
    """
    Outcomes are all written; what can no longer be read back is a sentence with the path.
    """
    recorder, path = on_disk
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await record_numbered(recorder, 1000)
    path.write_bytes(b"")
    assert len(await recorder.written()) == 256
    with pytest.raises(ReportError, match=rf"{path} was changed by another program"):
        await recorder.written()
    assert recorder.outcomes.total() == 1000


async def test_outcomes_of_earlier_runs_do_not_wait_for_the_reader_either(tmp_path):
    """
    They are read back from where their lines are, and cost no more memory.
    """
    path = tmp_path / "report.jsonl"
    path.write_bytes(b"".join(map(encode, outcomes(2000))))
    earlier = LastLines(path)
    async with open_report(path, Durability.NONE) as writer:
        recorder = Recorder(writer.write, read=writer.read, locate=earlier.place_of)
        before = outcomes_alive()
        for number in range(2000):
            recorder.pass_on(earlier.outcome_of(str(number)))
        assert outcomes_alive() - before <= 256
        recorder.close()
        await recorder.run()
        read = [outcome async for written in heard(recorder) for outcome in written]
    assert [outcome.task_id for outcome in read] == [str(number) for number in range(2000)]


async def test_outcome_is_handed_over_even_if_cancelled():
    """
    What was decided is written though its poller is given up while it waits for room.
    """
    report = Report()
    recorder = Recorder(report.write)
    recorder.close_reader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        async with anyio.create_task_group() as pollers:
            for outcome in outcomes(600):
                pollers.start_soon(recorder.record, outcome)
            await anyio.wait_all_tasks_blocked()
            pollers.cancel_scope.cancel()
            report.opened.set()
        recorder.close()
    assert recorder.outcomes.total() == 600


async def test_report_that_fails_ends_it_and_nobody_waits():
    """
    A write that fails comes out of `run`, is not counted, and lets go of everyone who waits.
    """
    opened = anyio.Event()

    async def write(_):
        await opened.wait()
        raise ReportError("the disk is full")

    recorder = Recorder(write)
    async with anyio.create_task_group() as pollers:

        async def run():
            with pytest.raises(ReportError, match="full"):
                await recorder.run()

        pollers.start_soon(run)
        for outcome in outcomes(1000):
            pollers.start_soon(recorder.record, outcome)
        await anyio.wait_all_tasks_blocked()
        opened.set()
    await recorder.flush_after_error()
    assert await recorder.written() == []
    assert recorder.outcomes.total() == recorder.bytes == 0
    recorder.close()


async def test_what_a_full_disk_refused_is_written_when_there_is_room(report):
    """
    A report that could not be written is tried once more at the end, with all that was left.
    """
    written = report.write
    full = [True]

    async def write(outcomes):
        if full[0]:
            raise ReportError("no space left")
        return await written(outcomes)

    recorder = Recorder(write)
    await hand_over(recorder, outcomes(3))
    with pytest.raises(ReportError):
        await recorder.run()
    await recorder.flush_after_error()
    assert recorder.outcomes.total() == 0
    full.clear()
    full.append(False)
    await recorder.flush_after_error()
    assert report.writes == [["0", "1", "2"]]
    assert recorder.outcomes == {OutcomeStatus.COMPLETED: 3}
    assert len(await recorder.written()) == 3


async def test_what_is_in_the_report_is_not_written_again(report):
    """
    Of a write that broke off the outcomes that are in are counted at once; the rest comes later.
    """
    given = []

    async def write(outcomes):
        given.append([outcome.task_id for outcome in outcomes])
        error = ReportError("no space left")
        error.written = 2
        if len(given) == 1:
            raise error
        return ()

    recorder = Recorder(write)
    await hand_over(recorder, outcomes(5))
    with pytest.raises(ReportError):
        await recorder.run()
    assert recorder.outcomes.total() == 2
    await recorder.flush_after_error()
    assert given == [["0", "1", "2", "3", "4"], ["2", "3", "4"]]
    assert recorder.outcomes.total() == 5
    assert [outcome.task_id for outcome in await recorder.written()] == ["0", "1", "2", "3", "4"]
