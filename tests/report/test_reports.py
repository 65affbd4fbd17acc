"""
Several reports that are one: in which order they are read, and where their lines are.
"""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from descriptors import exhausted

from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report import (
    LastLines,
    Ledger,
    ReadBack,
    Reports,
    load_report,
    open_report,
    read_owner,
    read_successors,
    reports_of,
)
from batchfetch.report.lines import encode
from batchfetch.report.reports import OTHERS
from batchfetch.settings import Durability, Settings

COMPLETED, FAILED = OutcomeStatus.COMPLETED, OutcomeStatus.FAILED
NIGHT = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)


def line(task_id, second, status=FAILED, **fields):
    """
    Return a line that was finished so many seconds after the night began.
    """
    finished = NIGHT + timedelta(seconds=second)
    return encode(Outcome(task_id=task_id, status=status, finished_at=finished, **fields))


def image(task_id, second, path):
    """
    Return a line about an image at *path*.
    """
    return line(task_id, second, COMPLETED, path=path, bytes=7)


@pytest.fixture
def written(tmp_path):
    """
    Write reports, the first of which is the run's own; return them as one.
    """

    def written(*reports):
        paths = [tmp_path / f"report.{n}-of-9.jsonl" for n in range(1, len(reports) + 1)]
        for path, lines in zip(paths, reports, strict=True):
            path.write_bytes(b"".join(lines))
        return Reports(paths[0], paths[1:])

    return written


def ids(reports):
    return [line.task_id for _, line in reports.lines()]


def test_lines_come_in_the_order_of_time(written):
    """
    Also those of the same second, with and without a fraction.
    """
    reports = written(
        [line("a", 1), line("d", 4.5), line("f", 6)],
        [],
        [line("b", 2), line("c", 4), line("e", 5)],
    )
    assert ids(reports) == ["a", "b", "c", "d", "e", "f"]


def test_one_report_stays_in_its_order(written):
    """
    A clock that was set back, a time that cannot be read, and none at all do not move its lines.
    """
    untimed = json.loads(line("c", 0)) | {"finished_at": "yesterday"}
    lines = [line("a", 9), line("b", 3), json.dumps(untimed).encode() + b"\n", line("d", 10)]
    assert ids(written(lines)) == ["a", "b", "c", "d"]
    assert ids(written(lines, [line("x", 9.5)])) == ["a", "b", "c", "x", "d"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_last_line_of_all_reports_counts(written, turned):
    """
    The order of the reports does not matter, and neither does how many lines a task has.
    """
    one = [image("a", 1, "a.png"), line("b", 2), line("a", 8), image("c", 9, "x.png")]
    other = [line("a", 3), image("b", 4, "b.png"), image("d", 5, "x.png")]
    reports = written(other, one) if turned else written(one, other)
    ledger = Ledger()
    load_report(reports, ledger)
    assert ledger.lookup("a").status is FAILED
    assert ledger.lookup("b").status is COMPLETED
    assert ledger.owner_of("a.png").is_task("a")
    assert ledger.owner_of("x.png").is_task("c")
    assert read_owner(reports, ledger.owner_of("x.png")) == "c"
    assert LastLines(reports).outcome_of("a").finished_at == NIGHT + timedelta(seconds=8)
    assert {outcome.task_id for outcome in LastLines(reports)} == {"a", "b", "c", "d"}


def test_every_owner_is_found_again(written):
    """
    Wherever its line is, in whichever report.
    """
    everybody = [[f"Task-{r}-{n}-{'x' * (n * 7 % 90)}" for n in range(100)] for r in range(5)]
    reports = written(
        *(
            [image(task_id, n, f"n/{task_id}.png") for n, task_id in enumerate(some)]
            for some in everybody
        )
    )
    ledger = Ledger()
    load_report(reports, ledger)
    for task_id in (task_id for some in everybody for task_id in some):
        assert read_owner(reports, ledger.owner_of(f"n/{task_id}.png")) == task_id


def test_successors_are_found(tmp_path):
    """
    Which tasks were submitted in place of which, in all reports; other columns and lines that
    cannot be read are none.
    """
    rows = [
        *([("a", "O"), ("B", "a")], [("c", "o"), ("d", 7), ("e", None), (None, "o")]),
    ]
    paths = [tmp_path / "report.1-of-2.jsonl", tmp_path / "report.2-of-2.jsonl"]
    for path, part in zip(paths, rows, strict=True):
        lines = [
            {"task_id": new, "outcome": FAILED, "calls": 1, "extra": {"resubmits": old}}
            for new, old in part
        ]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        path.write_text(f'{text}{{"task_id": "f", "resubmits"\n')
    found = read_successors(Reports(paths[0], paths[1:]))
    assert found == {"o": ["a", "c"], "a": ["b"]}


def test_a_report_that_grows_is_read_up_to_where_it_was(written, caplog):
    """
    What another run appends meanwhile is no matter for this one, not even in the middle of a line.
    """
    reports = written([line("a", 1)], [line("b", 2), line("c", 3)[:-20]])
    (other,) = reports.others
    with other.open("ab") as file:
        file.write(line("c", 3)[-20:] + line("d", 4))
    assert ids(reports) == ["a", "b"]
    assert caplog.records == []
    assert ids(Reports(other)) == ["b", "c", "d"]


def test_a_damaged_line_is_warned_of(written, caplog):
    """
    In the middle of another's report, too; a report that has gone says nothing.
    """
    reports = written([line("a", 1)], [b"{}\n", line("b", 2)], [line("c", 3)])
    reports.others[1].unlink()
    reports = Reports(reports.locate(0)[0], reports.others)
    assert ids(reports) == ["a", "b"]
    (record,) = caplog.records
    assert f"{reports.others[0]}, line 1 is no outcome" in record.getMessage()


def test_more_reports_than_files_may_be_open(written):
    """
    Two hundred of them are read side by side, with two files open.
    """
    everything = [[line(f"{r}-{n}", n * 200 + r) for n in range(3)] for r in range(200)]
    reports = written(*everything)
    with exhausted(but=2):
        found = ids(reports)
    assert found == [f"{r}-{n}" for n in range(3) for r in range(200)]


def test_several_reports_take_no_more_memory_than_one(written):
    """
    The ledger of lines in eight reports is as large as that of the same lines in one.
    """
    lines = [line(f"task-{number}", number) for number in range(16_000)]

    def kept(reports):
        tracemalloc.start()
        ledger = Ledger()
        load_report(reports, ledger)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert ledger.lookup("task-15999").status is FAILED
        return size

    kept(written(lines))  # What is made once only.
    one = kept(written(lines))
    assert kept(written(*(lines[start::8] for start in range(8)))) < one * 1.1


@pytest.mark.anyio
async def test_outcomes_of_any_report_are_read_back(written, tmp_path):
    """
    In the order in which they are asked for: this run's own, and those of earlier ones in all.
    """
    reports = written([line("a", 1)], [line("b", 2), line("c", 3)])
    places = {found.task_id: place for place, found in reports.lines()}
    assert [places[name] >= OTHERS for name in "abc"] == [False, True, True]
    async with open_report(reports.locate(0)[0], Durability.NONE) as writer:
        (start,) = await writer.write([Outcome(task_id="d", status=FAILED)])
        read = ReadBack(reports, writer.read).read
        order = [places["c"], start, places["b"], places["a"]]
        assert [outcome.task_id for outcome in await read(order)] == ["c", "d", "b", "a"]


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        ({"shard": "2/3"}, "report.2-of-3.jsonl"),
        ({"shard": "7/9"}, "report.7-of-9.jsonl"),
        ({}, "report.jsonl"),
    ],
)
def test_which_reports_are_one(tmp_path, settings, own):
    """
    The one without a part and those of all parts, of whatever number; logs of runs, other reports
    and links that may have been planted are not among them.
    """
    there = ["report.jsonl", "report.2-of-3.jsonl", "report.1-of-2.jsonl"]
    others = ["report.2-of-3.runs.jsonl", "other.1-of-2.jsonl", "report.x-of-2.jsonl"]
    for name in (*there, *others):
        (tmp_path / name).write_bytes(line("a", 1))
    (tmp_path / "report.3-of-3.jsonl").symlink_to(tmp_path / "report.jsonl")
    reports = reports_of(Settings(output=tmp_path, **settings))
    assert reports.locate(0)[0] == tmp_path / own
    assert sorted(path.name for path in reports.others) == sorted({*there} - {own})
    given = reports_of(Settings(output="elsewhere", report=tmp_path / "report.jsonl", **settings))
    assert {path.name for path in given.others} == {*there, "report.3-of-3.jsonl"} - {own}


def test_an_output_that_is_not_there_has_no_reports(tmp_path):
    """
    Nor one that is no folder.
    """
    for output in (tmp_path / "out", tmp_path / "file" / "out"):
        (tmp_path / "file").touch()
        assert reports_of(Settings(output=output, shard="1/2")).others == []
