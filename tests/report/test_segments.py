"""
Copies of the report's lines: how many there are, and what a report takes from them.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from batchfetch.report import Newest, SegmentLog

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def line(task_id, minutes=0, outcome="Completed", **more):
    """
    Return a line of a report.
    """
    finished = (NOON + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    fields = {"task_id": task_id, "outcome": outcome, "calls": 1, "finished_at": finished, **more}
    return json.dumps(fields).encode() + b"\n"


@pytest.fixture
def report(tmp_path):
    """
    The path of an empty report.
    """
    path = tmp_path / "report.jsonl"
    path.touch()
    return path


def add(report, *lines):
    """
    Append *lines*.
    """
    with report.open("ab") as file:
        file.writelines(lines)


def send(log, kept):
    """
    Put what is new into *kept*.
    """
    for name, data, end in log.unsent():
        kept[name] = data
        log.note(name, len(data), end)


def test_a_run_leaves_one_segment(report):
    """
    However often a run sends, its lines are in one segment, which grows.
    """
    kept = {}
    log = SegmentLog(report)
    for number in range(1000):
        add(report, line(f"t{number}"))
        send(log, kept)
    assert list(kept.values()) == [report.read_bytes()]


def test_a_hundred_nights(report):
    """
    There is a segment for each run, none is sent twice, and none is missing to the one who sent it.
    """
    kept = {}
    for night in range(100):
        log = SegmentLog(report)
        assert log.missing({name: len(data) for name, data in kept.items()}) == []
        for number in range(10):
            add(report, line(f"t{night}-{number}"))
            send(log, kept)
    assert len(kept) == 100
    assert b"".join(kept[name] for name in sorted(kept)) == report.read_bytes()


@pytest.mark.parametrize("size", [1_000, 300_000, 1_500_000, 5_000_000])
def test_long_lines_and_many(report, size):
    """
    Segments hold whole lines, all of them, and no more than 4 MiB unless a single line does.
    """
    kept = {}
    log = SegmentLog(report)
    for number in range(12):
        add(report, line(f"t{number}", extra={"text": "x" * size}), line("short"))
        if number % 3 == 2:
            send(log, kept)
    assert b"".join(kept[name] for name in sorted(kept)) == report.read_bytes()
    assert all(data.endswith(b"\n") for data in kept.values())
    assert max(map(len, kept.values())) <= max(4 * 1024 * 1024, size + 1000)
    assert len(kept) <= 2 + report.stat().st_size // 1_000_000


def test_a_line_that_is_being_written_waits(report):
    """
    What has no end yet is sent when it has.
    """
    kept = {}
    log = SegmentLog(report)
    whole = line("b")
    add(report, line("a"), whole[:-5])
    send(log, kept)
    assert list(kept.values()) == [line("a")]
    add(report, whole[-5:])
    send(log, kept)
    assert list(kept.values()) == [line("a") + whole]


def test_a_segment_that_has_grown_is_missing_again(report):
    """
    A segment is known by its size, too: a run that had lost its lock may have made it longer.
    """
    log = SegmentLog(report)
    log.note("s.jsonl", 100, 0)
    assert log.missing({"s.jsonl": 100}) == []
    assert log.missing({"s.jsonl": 120, "r.jsonl": 1}) == ["r.jsonl", "s.jsonl"]
    assert SegmentLog(report).missing({"s.jsonl": 100}) == []


def test_what_was_merged_is_not_sent(report):
    """
    A segment begins behind lines that came from others.
    """
    kept = {}
    log = SegmentLog(report)
    add(report, line("a"))
    send(log, kept)
    merged = line("b")
    add(report, merged)
    log.note("other.jsonl", len(merged), log.sent + len(merged))
    add(report, line("c"))
    send(log, kept)
    assert sorted(kept.values()) == [line("a"), line("c")]


def test_another_report_under_the_name(report):
    """
    What is noted of a report that was longer tells nothing of one that is shorter.
    """
    log = SegmentLog(report)
    add(report, line("a"), line("b"))
    send(log, {})
    report.write_bytes(line("c"))
    kept = {}
    send(SegmentLog(report), kept)
    assert list(kept.values()) == [line("c")]


def test_only_what_is_newer_is_taken(report):
    """
    Lines of a task that are older than the report's own, or the same, are left out.
    """
    add(report, line("A", 10), line("b", 10))
    newest = Newest(report)
    taken = newest.newer(line("a", 5) + line("b", 10) + line("b", 11) + line("c", 1))
    assert taken == line("b", 11) + line("c", 1)
    assert newest.newer(line("b", 11) + line("c", 0)) == b""


def test_lines_without_a_time(report):
    """
    A line that was written by hand counts where there is no other.
    """
    bare = b'{"task_id": "a", "outcome": "Error", "calls": 1}\n'
    newest = Newest(report)
    assert newest.newer(bare + b"no line\n" + b'{"task_id": "torn"') == bare
    assert newest.newer(bare) == b""
    assert newest.newer(line("a")) == line("a")
    assert newest.newer(bare) == b""


def test_rows_that_have_no_task(report):
    """
    Unusable rows are told apart by where they are.
    """
    rows = [
        line(None, outcome="Invalid", manifest="m.csv", line=number, reason="bad_row")
        for number in (2, 3)
    ]
    assert Newest(report).newer(b"".join([*rows, rows[0]])) == b"".join(rows)
