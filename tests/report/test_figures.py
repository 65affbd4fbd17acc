"""
Figures: what they count, over which lines, and what they do with lines that are damaged.
"""

import json
import logging
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.errors import ReportError
from batchfetch.models import OutcomeStatus
from batchfetch.report.digest import Digest, Source
from batchfetch.report.runs import runs_path
from batchfetch.report.spread import spread_of
from batchfetch.report.tables import csv_lines
from batchfetch.report.timeline import Timeline

BEGIN = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)


def at(seconds):
    """
    The instant so many seconds after the beginning, as the report writes it.
    """
    return (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def line(task_id="a", outcome="Completed", *, asked=0, ended=1, calls=1, **more):
    """
    A line of the report as a dictionary.
    """
    size = 1000 if outcome == "Completed" else None
    return {
        "task_id": task_id,
        "outcome": outcome,
        "calls": calls,
        "bytes": size,
        "first_call_at": None if asked is None else at(asked),
        "finished_at": at(ended),
        **more,
    }


@pytest.fixture
def write(tmp_path):
    """
    Write lines, dictionaries or text, to a new report and return it as a source.
    """
    numbers = count(1)

    def write(*lines, runs=()):
        path = tmp_path / f"{next(numbers)}.jsonl"
        texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
        path.write_text("".join(f"{text}\n" for text in texts))
        if runs:
            runs_path(path).write_text("".join(f"{json.dumps(run)}\n" for run in runs))
        return Source(path, str(path))

    return write


def figures_of(*sources, price=None, **how):
    """
    The figures of these reports.
    """
    return Digest(sources, **how).figures(price_per_call=price)


def logged(began, ended=None, **summary):
    """
    A run's last line in the log of runs.
    """
    run = {"run": f"{began}", "began_at": at(began), "manifests": ["m.csv"]}
    return run if ended is None else {**run, "ended_at": at(ended), "summary": summary}


# Tasks


def test_the_last_line_of_each_task_counts(write):
    """
    What a later run has mended is not counted as failed; case makes no other task of an id.
    """
    source = write(
        line("a", "Failed", reason="http_500"),
        line("b", "Failed", reason="timeout"),
        line("A", ended=9),
    )
    figures = figures_of(source)
    assert figures.outcomes == {"Completed": 1, "Failed": 1}
    assert figures.reasons == {"timeout": 1}
    assert (figures.tasks, figures.lines, figures.images, figures.bytes) == (2, 3, 1, 1000)


def test_every_line_can_be_counted(write):
    """
    With `--all` a task counts as often as it was decided.
    """
    source = write(line("a", "Failed", reason="timeout"), line("a", ended=9))
    figures = figures_of(source, every_line=True)
    assert figures.outcomes == {"Completed": 1, "Failed": 1}


def test_some_outcomes_can_be_chosen(write):
    """
    With `--only` the others are no tasks; calls were made all the same.
    """
    source = write(line("a"), line("b", "Failed", reason="timeout"), line("c", "Error"))
    only = frozenset({OutcomeStatus.FAILED, OutcomeStatus.ERROR})
    figures = figures_of(source, only=only)
    assert figures.outcomes == {"Error": 1, "Failed": 1}
    assert (figures.images, figures.calls) == (0, 3)


def again(task_id, replaced, outcome="Completed", **more):
    """
    A line about a task that was submitted in the place of another one.
    """
    return line(task_id, outcome, extra={"resubmits": replaced}, **more)


def test_tasks_submitted_again(write):
    """
    How many they were, and what became of their images: the last task of a chain counts.
    """
    source = write(
        line("a", "NotExist", reason="expired"),
        line("b", "NotExist", reason="expired"),
        line("c", "NotExist", reason="expired"),
        line("d"),
        again("a2", "A"),
        again("b2", "b", "Error", reason="service_error"),
        again("b3", "b2", "NotExist", reason="expired"),
        again("e2", "e"),
    )
    figures = figures_of(source)
    assert (figures.tasks, figures.outcomes["NotExist"]) == (8, 4)
    assert figures.resubmitted.tasks == 4
    assert figures.resubmitted.outcomes == {"Completed": 2, "NotExist": 1}
    expired, error = figures.troubles
    assert (expired.tasks, expired.resubmitted, expired.example.task_id) == (4, 2, "c")
    assert (error.tasks, error.resubmitted) == (1, 1)


def test_chains_over_several_reports(write):
    """
    A task and the one in its place may be in two reports; the chosen outcomes do not matter.
    """
    first = write(line("a", "NotExist", reason="expired"))
    second = write(again("a2", "a"))
    only = frozenset({OutcomeStatus.NOT_EXIST})
    figures = figures_of(second, first, only=only)
    assert figures.resubmitted.outcomes == {"Completed": 1}
    assert figures.troubles[0].resubmitted == 1


def test_without_chains_there_are_none(write):
    """
    Columns of that name that hold no id, and counting every line, give no chain.
    """
    source = write(line("a", extra={"resubmits": 7}), again("b", ""))
    assert figures_of(source).resubmitted.tasks == 0
    assert figures_of(write(again("b", "a")), every_line=True).resubmitted.tasks == 0


def test_rows_without_an_id_are_told_apart(write):
    """
    An unusable row is one task, as often as it was read, and another row is another.
    """
    rows = [(1, 7), (2, 7), (3, 8)]
    source = write(
        *(
            line(None, "Invalid", ended=ended, reason="bad_row", manifest="m", line=number, calls=0)
            for ended, number in rows
        )
    )
    assert figures_of(source).tasks == 2


def test_several_reports_are_one(write):
    """
    Of a task in two reports the line counts that was finished last, in whatever order they come.
    """
    old = write(line("a", "Failed", reason="timeout", ended=5), line("b", ended=5))
    new = write(line("a", ended=99), line("c", ended=99))
    for sources in ((old, new), (new, old)):
        figures = figures_of(*sources)
        assert figures.outcomes == {"Completed": 3}
        assert figures.reports == [source.name for source in sources]
        assert figures.calls == 4


def test_each_reason_has_an_example(write):
    """
    It is the first task of that reason, with what the report, or else the service, says of it.
    """
    source = write(
        line("a", "Failed", reason="http_500", detail="HTTP 500", manifest="m.csv", line=2),
        line("b", "Failed", reason="http_500"),
        line("c", "Error", reason="service_error", messages=["too", "dark"]),
    )
    first, second = figures_of(source).troubles
    assert (first.outcome, first.reason, first.tasks) == ("Failed", "http_500", 2)
    assert first.example.model_dump() == {
        "task_id": "a",
        "detail": "HTTP 500",
        "report": source.name,
        "manifest": "m.csv",
        "line": 2,
    }
    assert (second.tasks, second.example.detail) == (1, "too; dark")


def test_what_was_adopted_is_in_no_average(write):
    """
    An image that was there already took no call, no bytes and no time.
    """
    source = write(
        line("a", calls=3, ended=4),
        line("b", calls=0, asked=None, warnings=["dark"], bytes=5000),
    )
    figures = figures_of(source)
    assert (figures.outcomes, figures.images, figures.adopted) == ({"Completed": 2}, 1, 1)
    assert (figures.bytes, figures.calls_per_image, figures.with_warnings) == (1000, 3.0, 1)
    assert figures.time_to_image.from_first_call.images == 1


def test_a_column_groups_tasks(write):
    """
    The largest group comes first; tasks without a value are a group, too.
    """
    source = write(
        line("a", extra={"customer": "x"}),
        line("b", "Failed", reason="timeout", extra={"customer": "y"}, calls=2),
        line("c", extra={"customer": "y"}),
        line("d", calls=0, extra={}),
    )
    groups = figures_of(source, group_by="customer").groups
    assert groups.column == "customer"
    assert [(group.value, group.tasks, group.calls) for group in groups.groups] == [
        ("y", 2, 3),
        ("x", 1, 1),
        (None, 1, 0),
    ]
    assert groups.groups[0].outcomes == {"Completed": 1, "Failed": 1}
    assert (groups.groups[2].images, groups.groups[2].adopted, groups.groups[2].bytes) == (0, 1, 0)
    source = write(line("a", endpoint="deskew", extra={"box": {"number": 7}}))
    for column, value in (("endpoint", "deskew"), ("box", '{"number": 7}')):
        assert figures_of(source, group_by=column).groups.groups[0].value == value


# Calls and runs


def test_calls_are_those_that_runs_counted(write):
    """
    A run that ended has counted calls about tasks that it could not decide, too; of one that was
    killed, and of lines of no logged run, there are the calls of their lines.
    """
    source = write(
        line("old", ended=-100, calls=4),
        line("a", ended=5, calls=2),
        line("b", ended=105, calls=1),
        runs=[
            logged(0, 10, calls=7, asked_too_early=3, exit_code=4, stopped_by="max-calls", left=9),
            logged(100),
        ],
    )
    figures = figures_of(source, price=0.5)
    assert figures.calls == 4 + 7 + 1
    assert (figures.asked_too_early, figures.cost) == (3, 6.0)
    first, second = figures.runs
    assert (first.calls, first.exit_code, first.stopped_by, first.left) == (7, 4, "max-calls", 9)
    assert (first.seconds, first.outcomes, first.manifests) == (10, {"Completed": 1}, ("m.csv",))
    assert (second.calls, second.ended_at, second.exit_code, second.seconds) == (
        1,
        None,
        None,
        None,
    )


def test_without_a_log_of_runs_the_lines_are_counted(write):
    """
    What only runs know is null then.
    """
    figures = figures_of(write(line("a", calls=2), line("b", calls=3)))
    assert (figures.calls, figures.asked_too_early, figures.cost, figures.runs) == (
        5,
        None,
        None,
        [],
    )


def test_runs_of_all_reports_are_in_the_order_in_which_they_began(write):
    """
    There are the last twenty, whichever report they wrote.
    """
    one = write(line(ended=5), runs=[logged(100 * n, 100 * n + 10, calls=1) for n in range(15)])
    two = write(
        line(ended=55), runs=[logged(100 * n + 50, 100 * n + 60, calls=1) for n in range(15)]
    )
    figures = figures_of(one, two)
    begins = [run.began_at for run in figures.runs]
    assert len(begins) == 20
    assert begins == sorted(begins)
    assert figures.calls == 30


def test_a_run_says_how_long_nothing_was_decided(write):
    """
    The longest time between two outcomes, and when it began.
    """
    source = write(
        *(line(f"{ended}", ended=ended) for ended in (1, 3, 2, 600)), runs=[logged(0, 700, calls=4)]
    )
    silence = figures_of(source).runs[0].longest_silence
    assert (silence.began_at, silence.seconds) == (BEGIN + timedelta(seconds=3), 597)


# Times


def test_times_count_from_both_beginnings(write):
    """
    From the first call for every image, from the submission for those that have one.
    """
    source = write(line("a", asked=10, ended=12, submitted_at=at(0)), line("b", asked=10, ended=14))
    times = figures_of(source).time_to_image
    assert (times.from_first_call.images, times.from_first_call.longest) == (2, 4)
    assert (times.from_submission.images, times.from_submission.median) == (1, 12)


def test_a_time_that_cannot_be_read_or_be_is_none(write):
    """
    Lines edited by hand, and a clock that was set back, cost an image its time and nothing else.
    """
    source = write(
        line("a") | {"first_call_at": "yesterday"},
        line("b") | {"finished_at": None},
        line("c", asked=10, ended=1),
        line("d", submitted_at="never"),
        line("e") | {"finished_at": "2026-11-24T02:30:07"},
        line("f") | {"finished_at": "9999-12-31T23:59:59Z"},
        line("g") | {"first_call_at": "0001-01-01T00:00:00+14:00"},
    )
    figures = figures_of(source)
    assert figures.images == 7
    assert figures.time_to_image.from_submission is None
    assert figures.time_to_image.from_first_call.images == 2
    assert figures.time_to_image.from_first_call.longest == 7


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_a_spread_is_that_of_the_numbers(numbers):
    """
    Median and percentile are among the numbers, with as many below them as they say.
    """
    spread = spread_of(numbers)
    at_most = lambda limit: sum(number <= limit + 0.0005 for number in numbers) / len(numbers)  # noqa: E731
    assert at_most(spread.median) >= 0.5
    assert at_most(spread.p95) >= 0.95
    assert spread.median <= spread.p95 <= spread.longest == round(max(numbers), 3)
    assert sum(spread.histogram.values()) == spread.images == len(numbers)


def test_a_histogram_has_its_limits_in_its_classes():
    """
    A class is up to its limit; what is longer than all is in the last one.
    """
    spread = spread_of([0.5, 0.6, 1, 5, 86400, 86401])
    found = {limit: number for limit, number in spread.histogram.items() if number}
    assert found == {"0.5": 1, "1": 2, "5": 1, "86400": 1, "inf": 1}
    assert spread_of([]) is None


# Damage


@pytest.mark.parametrize(
    "damaged",
    [
        '{"task_id":"b","outco',
        "not a line",
        '{"task_id":"b","outcome":"Submitted","calls":1}',
        '{"task_id":"b","outcome":"Completed"}',
        '{"task_id":"b","outcome":"Completed","calls":-1}',
        '{"task_id":"b","outcome":"Completed","calls":99999999999}',
        '["task_id"]',
        "\0\0{",
    ],
)
def test_a_damaged_line_is_told_and_skipped(write, damaged, caplog):
    """
    A torn or foreign line costs itself only; the warning names file and line.
    """
    source = write(line("a"), damaged, line("c"))
    with caplog.at_level(logging.WARNING, "batchfetch"):
        figures = figures_of(source)
    assert (figures.tasks, figures.lines, figures.unusable_lines) == (2, 2, 1)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{source.name}, line 2 is no outcome and was skipped: ")


def test_many_damaged_lines_are_counted(write, caplog):
    """
    A file of another kind does not fill the screen.
    """
    with caplog.at_level(logging.WARNING, "batchfetch"):
        figures = figures_of(write(*["x"] * 50, line("a")))
    assert (figures.tasks, figures.unusable_lines) == (1, 50)
    assert len(caplog.records) == 4
    assert caplog.records[-1].getMessage().endswith("50 lines are no outcomes and were skipped")


def test_an_image_larger_than_any_is_counted(write):
    """
    A number that no disk could hold is no reason to stop.
    """
    assert figures_of(write(line("a") | {"bytes": 2**80})).images == 1


# Over time


def counted(timeline):
    """
    Images, other outcomes and calls of a whole timeline.
    """
    steps = timeline.steps()
    return tuple(sum(column) for column in list(zip(*steps, strict=True))[1:])


def test_a_timeline_loses_nothing_when_its_steps_widen():
    """
    However long the time, the steps are few, equally wide, and have everything in them.
    """
    timeline = Timeline()
    for second in range(0, 100_000, 7):
        timeline.add(second - 3.0, float(second), calls=3, is_image=bool(second % 2))
    assert len(timeline.steps()) <= 1024
    assert timeline.width == 128
    assert counted(timeline) == (7143, 7143, 3 * 14286)
    assert (timeline.first, timeline.last) == (-3.0, 99_995.0)


def test_a_first_call_is_where_it_was():
    """
    The first call of a task counts when it was made, the others when it was decided.
    """
    timeline = Timeline()
    timeline.add(100.0, 200.0, calls=3, is_image=True)
    assert timeline.steps() == [(100.0, 0, 0, 1), (200.0, 1, 0, 2)]


def test_timelines_of_the_same_time_are_one():
    """
    Merged, they have the wider steps of the two, and the sum.
    """
    one, other = Timeline(), Timeline()
    one.add(0.0, 5.0, calls=1, is_image=True)
    for second in range(2000):
        other.add(float(second), float(second), calls=1, is_image=False)
    one.merge(other)
    assert one.width == other.width == 2
    assert counted(one) == (1, 2000, 2001)
    assert (one.first, one.last) == (0.0, 1999.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-40],
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda text: text[1:],
        lambda text: f"1{text}",
    ],
    ids=["an end short", "half", "empty", "a byte less before", "a byte more before"],
)
def test_a_report_that_is_changed_between_two_readings_is_an_error(write, change):
    """
    What has been counted is read again for a table: if it is not there any more, the error names
    the report, and no table is made of pieces of lines.
    """
    source = write(line("a"), line("b"), line("c"))
    digest = Digest([source])
    source.path.write_text(change(source.path.read_text()))
    with pytest.raises(ReportError, match=f"{source.name} was changed by another program"):
        list(csv_lines(digest.lines(), digest.columns))
    source.path.unlink()
    with pytest.raises(ReportError, match=f"{source.name} was removed by another program"):
        list(csv_lines(digest.lines(), digest.columns))
