"""
The recorder: into the report first, then out to whoever listens.
"""

import anyio
import anyio.lowlevel
import pytest

from batchfetch.errors import ReportError
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report.recorder import Recorder

pytestmark = pytest.mark.anyio


def outcomes(count):
    """
    Return so many outcomes, with images of ten bytes.
    """
    return [
        Outcome(task_id=str(number), status=OutcomeStatus.COMPLETED, bytes=10)
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
    Outcomes are counted by what became of the task, images by their bytes.
    """
    failed = Outcome(task_id="f", status=OutcomeStatus.FAILED)
    recorder = Recorder(report.write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await hand_over(recorder, [*outcomes(3), failed])
        assert sum([len(written) async for written in heard(recorder)]) == 4
    assert recorder.outcomes == {OutcomeStatus.COMPLETED: 3, OutcomeStatus.FAILED: 1}
    assert recorder.bytes == 30


async def test_slow_listener_holds_up_the_pollers(report):
    """
    While nobody takes the outcomes no more are written, and those who decide on more wait.
    """
    recorder = Recorder(report.write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        tasks.start_soon(hand_over, recorder, outcomes(5000))
        await anyio.wait_all_tasks_blocked()
        assert 256 <= recorder.outcomes.total() < 1000
        recorder.close_reader()
    assert recorder.outcomes.total() == 5000


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
        await written(outcomes)

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
