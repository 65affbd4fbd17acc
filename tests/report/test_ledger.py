"""
The ledger: what is settled, and what this run's manifest has named.
"""

import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.manifest import default_filename, image_filename
from batchfetch.models import Job, Outcome, OutcomeStatus
from batchfetch.report import load_report, read_owner
from batchfetch.report.ledger import Ledger, Settled, Standing
from batchfetch.report.lines import encode

COMPLETED = OutcomeStatus.COMPLETED


def job(task_id, name=None):
    """
    The job that a manifest's row would be.
    """
    return Job(task_id, image_filename(name) if name else default_filename(task_id), name=name)


def standings(*rows):
    """
    What each of *rows* is to those before it.
    """
    ledger = Ledger()
    return [ledger.admit(job(*row))[0].name for row in rows]


# What earlier runs made of a task.


def test_an_unknown_task_is_not_settled():
    """
    Nothing is known of a task without a line.
    """
    assert Ledger().lookup("a") is None
    assert Ledger().admit(job("a")) == (Standing.FRESH, None)


@pytest.mark.parametrize("status", [s for s in OutcomeStatus if s != "Invalid"])
def test_every_outcome_is_remembered(status):
    """
    The last outcome of a task comes back, also with its row of the manifest.
    """
    ledger = Ledger()
    ledger.note_previous("a", status, size=7)
    settled = Settled(status, 7 if status is OutcomeStatus.COMPLETED else 0)
    assert ledger.lookup("a") == settled
    assert ledger.admit(job("a")) == (Standing.FRESH, settled)


def test_an_unusable_row_says_nothing_of_its_task():
    """
    A row with a bad name does not undo what its task came to.
    """
    ledger = Ledger()
    ledger.note_previous("a", OutcomeStatus.INVALID)
    assert ledger.lookup("a") is None
    ledger.note_previous("a", COMPLETED, size=7, path="x.png")
    ledger.note_previous("a", OutcomeStatus.INVALID)
    assert ledger.lookup("a") == Settled(COMPLETED, 7)
    assert ledger.owner_of("x.png").is_task("a")


def test_the_last_line_counts():
    """
    A later outcome replaces an earlier one, and its size.
    """
    ledger = Ledger()
    ledger.note_previous("a", COMPLETED, size=7)
    ledger.note_previous("a", OutcomeStatus.FAILED)
    assert ledger.lookup("a") == Settled(OutcomeStatus.FAILED, 0)


def test_case_makes_no_other_task():
    """
    Ids are compared as the service compares them.
    """
    ledger = Ledger()
    ledger.note_previous("ABC-é", COMPLETED, size=7)
    assert ledger.lookup("abc-É") == Settled(COMPLETED, 7)


@pytest.mark.parametrize("size", [1, 2**31, 2**32 - 1, 2**32 + 5])
def test_sizes_are_compared_modulo_two_to_the_32(size):
    """
    An image of the recorded size is recognised, one of another size is not.
    """
    ledger = Ledger()
    ledger.note_previous("a", COMPLETED, size=size)
    lookup = ledger.lookup("a")
    assert lookup.has_size(size)
    assert not lookup.has_size(size + 1)


# What the manifest has named.


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a",), ("b",)], ["FRESH", "FRESH"]),
        ([("a",), ("a",), ("A",)], ["FRESH", "DUPLICATE", "DUPLICATE"]),
        ([("a", "x"), ("a", "y")], ["FRESH", "DUPLICATE"]),
        ([("a", "x"), ("b", "x")], ["FRESH", "NAME_TAKEN"]),
        ([("a", "x"), ("b", "X.PNG")], ["FRESH", "NAME_TAKEN"]),
        ([("a", "d/x"), ("b", "e/x"), ("c", "x")], ["FRESH", "FRESH", "FRESH"]),
        ([("a",), ("b", "a")], ["FRESH", "NAME_TAKEN"]),
        ([("b", "a"), ("a",)], ["FRESH", "NAME_TAKEN"]),
        ([("b", "A"), ("a",)], ["FRESH", "NAME_TAKEN"]),
        ([("a", "b"), ("b", "a")], ["FRESH", "FRESH"]),
        ([("a", "x"), ("b", "a")], ["FRESH", "FRESH"]),
        ([("a",), ("a.png",)], ["FRESH", "NAME_TAKEN"]),
        ([("a.png",), ("a",)], ["FRESH", "NAME_TAKEN"]),
        ([("a", "a"), ("b", "a")], ["FRESH", "NAME_TAKEN"]),
        ([("a/b",), ("c", "a%2Fb")], ["FRESH", "NAME_TAKEN"]),
        ([("a/b",), ("c", "a/b")], ["FRESH", "FRESH"]),
        ([("1", "é"), ("2", "e\u0301")], ["FRESH", "NAME_TAKEN"]),
        ([("1", "ß"), ("2", "SS")], ["FRESH", "NAME_TAKEN"]),
        ([("é",), ("e\u0301",)], ["FRESH", "NAME_TAKEN"]),
        # A row that lost its name has still been met, and has not taken another.
        ([("a", "x"), ("b", "x"), ("b", "y")], ["FRESH", "NAME_TAKEN", "DUPLICATE"]),
        ([("a", "b"), ("b",), ("c", "b")], ["FRESH", "NAME_TAKEN", "NAME_TAKEN"]),
        ([("a", "x"), ("b", "x"), ("c", "b")], ["FRESH", "NAME_TAKEN", "FRESH"]),
    ],
)
def test_rows_meet_those_before_them(rows, expected):
    """
    A task is fetched once, and a file is written by one task.
    """
    assert standings(*rows) == expected


def test_earlier_runs_take_no_row_from_this_one():
    """
    What is settled is not thereby a duplicate.
    """
    ledger = Ledger()
    ledger.note_previous("a", COMPLETED, size=7, path="x.png")
    assert ledger.admit(job("a", "x"))[0] is Standing.FRESH
    assert ledger.admit(job("b", "x"))[0] is Standing.NAME_TAKEN


def test_an_outcome_of_this_run_does_not_forget_the_row():
    """
    A task that was met and then settled is still met.
    """
    ledger = Ledger()
    ledger.admit(job("a", "x"))
    ledger.note_previous("a", COMPLETED, size=7, path="x.png")
    assert ledger.admit(job("a"))[0] is Standing.DUPLICATE
    assert ledger.admit(job("b", "x"))[0] is Standing.NAME_TAKEN


# Whose image is where.


@pytest.mark.parametrize(
    ("task_id", "path", "filename"),
    [
        ("a", "a.png", "a.png"),
        ("a", "A.png", "a.PNG"),
        ("a", "x/y.png", "x/y.png"),
        ("a", "é.png", "e\u0301.png"),
        ("a/b", "a%2Fb.png", "a%2Fb.png"),
    ],
)
def test_an_image_belongs_to_its_task(task_id, path, filename):
    """
    Where a report's line has put an image, the place is its task's and no other's.
    """
    ledger = Ledger()
    ledger.note_previous(task_id, COMPLETED, size=7, path=path)
    assert ledger.owner_of(filename).is_task(task_id)
    assert ledger.owner_of(filename).is_task(task_id.upper())
    assert not ledger.owner_of(filename).is_task("other")
    assert ledger.owner_of("other.png") is None


def test_a_task_without_image_owns_nothing():
    """
    A task that did not end Completed has no image, and a manifest alone puts none.
    """
    ledger = Ledger()
    ledger.note_previous("a", OutcomeStatus.FAILED)
    ledger.admit(job("b", "x"))
    assert ledger.owner_of("a.png") is None
    assert ledger.owner_of("x.png") is None


def test_an_image_outlives_later_outcomes():
    """
    What a task came to later does not take its image from it.
    """
    ledger = Ledger()
    ledger.note_previous("a", COMPLETED, size=7, path="a.png")
    ledger.note_previous("b", COMPLETED, size=7, path="x.png")
    ledger.note_previous("a", OutcomeStatus.NOT_EXIST)
    ledger.note_previous("b", OutcomeStatus.FAILED)
    assert ledger.owner_of("a.png").is_task("a")
    assert ledger.owner_of("x.png").is_task("b")


@pytest.mark.parametrize(
    ("lines", "place", "owner"),
    [
        ([("a", "x.png"), ("b", "x.png")], "x.png", "b"),
        ([("a", "x.png"), ("b", "X.png"), ("a", "x.png")], "x.png", "a"),
        ([("a", "a.png"), ("b", "a.png")], "a.png", "b"),
        ([("b", "a.png"), ("a", "a.png")], "a.png", "a"),
        ([("a", "a.png"), ("b", "A.png"), ("a", "a.png")], "a.png", "a"),
        ([("a", "a.png"), ("a", "y.png")], "a.png", "a"),
        ([("a.png", "a.png"), ("a", "a.png")], "a.png", "a"),
        ([("a", "a.png"), ("a.png", "a.png")], "a.png", "a.png"),
    ],
)
def test_the_last_line_with_a_path_says_whose_it_is(lines, place, owner):
    """
    A file belongs to the task that was reported there last.
    """
    ledger = Ledger()
    for task_id, path in lines:
        ledger.note_previous(task_id, COMPLETED, size=7, path=path)
    assert ledger.owner_of(place).is_task(owner)
    assert [ledger.owner_of(place).is_task(task_id) for task_id, _ in lines].count(True) == [
        task_id for task_id, _ in lines
    ].count(owner)


def test_the_owner_is_found_by_name(tmp_path):
    """
    The report names the owner of a file, wherever its line stands.
    """
    path = tmp_path / "report.jsonl"
    ids = [f"Task-{number}-{'x' * (number % 90)}" for number in range(300)]
    path.write_bytes(
        b"".join(
            encode(Outcome(task_id=task_id, status=COMPLETED, path=f"n/{task_id}.png", bytes=7))
            for task_id in ids
        )
    )
    ledger = Ledger()
    load_report(path, ledger)
    for task_id in ids:
        assert read_owner(path, ledger.owner_of(f"n/{task_id}.png")) == task_id
    path.write_bytes(b"\n" * path.stat().st_size)
    assert read_owner(path, ledger.owner_of(f"n/{ids[3]}.png")) is None
    ledger.note_previous("Own", COMPLETED, size=7, path="Own.png")
    assert read_owner(path, ledger.owner_of("Own.png")) == "Own"


# As a set of text would do it.

IDS = st.sampled_from(["a", "A", "b", "a.png", "é", "e\u0301", "c/d"])
NAMES = st.none() | st.sampled_from(["a", "B", "x", "X.png", "é", "c%2fd", "d/a"])


def folded(name):
    """
    *name* as a file system that is blind to case and accents' writing sees it.
    """
    return unicodedata.normalize("NFC", name).casefold()


@pytest.mark.slow
@given(st.lists(st.tuples(IDS, NAMES)))
def test_standings_are_those_of_plain_sets(rows):
    """
    Any rows stand to each other as sets of ids and names say.
    """
    ids, names = set(), set()
    ledger = Ledger()
    for row in rows:
        new = job(*row)
        if new.task_id.casefold() in ids:
            expected = Standing.DUPLICATE
        elif folded(new.filename) in names:
            expected = Standing.NAME_TAKEN
        else:
            expected = Standing.FRESH
            names.add(folded(new.filename))
        ids.add(new.task_id.casefold())
        assert ledger.admit(new)[0] is expected


def test_many_tasks_are_told_apart():
    """
    Among a hundred thousand tasks each has its own outcome, and each image its size.
    """
    ledger = Ledger()
    statuses = [status for status in OutcomeStatus if status is not OutcomeStatus.INVALID]
    for number in range(100_000):
        ledger.note_previous(f"task-{number}", statuses[number % 5], size=number)
    for number in range(100_000):
        status = statuses[number % 5]
        size = number if status is OutcomeStatus.COMPLETED else 0
        assert ledger.lookup(f"task-{number}") == (status, size)
    assert ledger.lookup("task-100000") is None


def test_a_task_costs_less_than_its_id():
    """
    A settled task that is met again takes no text: less than 60 bytes, room to grow included.
    """
    tracemalloc.start()
    ledger = Ledger()
    for task_id in map(str, range(40_000)):
        ledger.note_previous(task_id, COMPLETED, size=5000, path=f"{task_id}.png")
        ledger.admit(Job(task_id, f"{task_id}.png"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / 40_000 < 60
