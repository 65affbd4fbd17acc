"""
Intake: a row meets what earlier runs left behind.
"""

import hashlib
import json
import os
import threading
from collections import deque
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import anyio
import pytest
from descriptors import exhausted
from replies import png_of
from wiring import local_storage

from batchfetch.errors import ManifestError, StorageError
from batchfetch.manifest import Manifest
from batchfetch.models import BadRow, Job, JobState, Outcome, OutcomeStatus
from batchfetch.report import Ledger, load_report
from batchfetch.report.lines import encode
from batchfetch.run.intake import Intake
from batchfetch.settings import Checksum, Durability, Settings
from batchfetch.storage import FileExecutor, LocalStorage

COMPLETED, ERROR, NOT_EXIST, TIMED_OUT, FAILED, INVALID = OutcomeStatus
IMAGE = png_of("t")


pytestmark = pytest.mark.anyio


@pytest.fixture
async def storage(tmp_path):
    """
    The output.
    """
    async with local_storage(tmp_path / "out", Durability.NONE) as storage:
        yield storage


@pytest.fixture
def folder(storage):
    """
    The output's folder.
    """
    return storage.folder


@pytest.fixture
def intake_of(storage):
    """
    Make an intake of rows.
    """

    def intake_of(rows, *, ledger=None, storage=storage, sleep=anyio.sleep, **settings):
        return Intake(
            rows,
            ledger or Ledger(),
            storage,
            Settings(**settings),
            inline=storage.executor.inline,
            sleep=sleep,
        )

    return intake_of


@pytest.fixture
def decide(intake_of):
    """
    Decide about rows one after the other; return the intake and what it decided, None for a row
    about which there is nothing to do.
    """

    async def decide(*rows, **options):
        feed = deque()
        intake = intake_of(iter(feed.popleft, None), **options)
        decisions = []
        for row in rows:
            feed.extend([row])
            decided = await intake.chunk()
            while intake.deferred:
                decided += await intake.chunk()
            decisions.append(decided[0] if decided else None)
        return intake, decisions

    return decide


def earlier(status, *, size=0, path=None, task_id="t"):
    """
    Return a ledger with one line about a task.
    """
    ledger = Ledger()
    ledger.note_previous(task_id, status, size=size, path=path)
    return ledger


def completed(task_id="t", path="t.png"):
    """
    Return a ledger with one line about a task whose image is at *path*.
    """
    return earlier(COMPLETED, size=len(IMAGE), path=path, task_id=task_id)


def put(folder, filename, content=IMAGE):
    """
    Put a file into the output.
    """
    place = folder.path / filename
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


async def test_row_that_is_new(decide):
    """
    A task nobody knows is asked about.
    """
    job = Job("t", "folder/t.png")
    intake, (decision,) = await decide(job)
    assert isinstance(decision, JobState)
    assert decision.job == job._replace(name="folder/t.png")
    assert (intake.tasks, intake.already.total(), intake.repeated) == (1, 0, 0)


async def test_bare_id(decide):
    """
    A bare id is a job whose image is called like it, made safe.
    """
    _, (decision,) = await decide("a/b")
    assert decision.job == Job("a/b", "a%2Fb.png")


async def test_job_with_a_name(decide):
    """
    A job's name is taken as a manifest's: made safe, and refused if it leads out.
    """
    naive = datetime(2026, 1, 31)  # noqa: DTZ001 - what people write
    jobs = [Job("a", name="page"), Job("b", name="../up"), Job("c", submitted_at=naive)]
    _, (named, refused, dated) = await decide(*jobs)
    assert (named.job.filename, named.job.name) == ("page.png", "page")
    assert (refused.status, refused.reason, refused.task_id) == (INVALID, "bad_name", "b")
    assert (dated.job.filename, dated.job.submitted_at) == ("c.png", naive.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("task_id", "known", "reason"),
    [
        ("", None, "bad_row"),
        ("x" * 300, "x" * 300, "bad_name"),
        ("x" * 600, None, "bad_row"),
        ("a\x00b", None, "bad_row"),
        ("a\nb", None, "bad_row"),
    ],
)
async def test_bare_id_that_cannot_be_used(decide, task_id, known, reason):
    """
    A bare id obeys the rules of a manifest's, and does not stop the run.
    """
    intake, (decision, other) = await decide(task_id, "other")
    assert (decision.task_id, decision.status, decision.reason) == (known, INVALID, reason)
    assert decision.detail
    assert isinstance(other, JobState)
    assert intake.tasks == 2


async def test_row_that_cannot_be_used(decide):
    """
    An unusable row is an Invalid outcome with its place, every time it is met.
    """
    row = BadRow("bad_row", "there is no id", None, "m.csv", 7, {"extra": 1})
    intake, (decision, again) = await decide(row, row)
    assert (decision.status, decision.reason) == (INVALID, "bad_row")
    assert (decision.manifest, decision.line, decision.extra) == ("m.csv", 7, {"extra": 1})
    assert again.status is INVALID
    assert intake.tasks == 2


async def test_id_that_occurs_twice(decide):
    """
    The same id, in whatever case, is one task.
    """
    intake, (first, second, third) = await decide("t", "T", Job("t", "other.png"))
    assert isinstance(first, JobState)
    assert second is third is None
    assert (intake.tasks, intake.repeated) == (1, 2)


async def test_name_that_is_taken(decide):
    """
    Of two ids with one name the second is Invalid, and its detail names it.
    """
    intake, (first, second) = await decide(Job("a", "same.png"), Job("b", "SAME.png"))
    assert isinstance(first, JobState)
    assert (second.task_id, second.status, second.reason) == ("b", INVALID, "bad_name")
    assert "SAME.png is the name of an earlier row's image" in second.detail
    assert intake.tasks == 2


@pytest.mark.parametrize("status", [ERROR, NOT_EXIST])
async def test_what_the_service_said_for_good(decide, status):
    """
    What the service said for good is left alone, unless it is to be tried again.
    """
    intake, (decision,) = await decide("t", ledger=earlier(status))
    assert decision is None
    assert intake.already == {status: 1}
    intake, (decision,) = await decide("t", ledger=earlier(status), retry=frozenset({status}))
    assert isinstance(decision, JobState)
    assert intake.already.total() == 0


@pytest.mark.parametrize("status", [TIMED_OUT, FAILED])
async def test_what_may_have_changed(decide, status):
    """
    Other outcomes are tried again, unless told otherwise.
    """
    _, (decision,) = await decide("t", ledger=earlier(status))
    assert isinstance(decision, JobState)
    intake, (decision,) = await decide("t", ledger=earlier(status), retry=frozenset())
    assert decision is None
    assert intake.already == {status: 1}


@pytest.mark.parametrize("retry", [frozenset(), frozenset({NOT_EXIST})])
async def test_unusable_rows_are_judged_anew(decide, retry):
    """
    A row that was Invalid is looked at again, whatever is to be tried again.
    """
    _, (decision,) = await decide("t", ledger=earlier(INVALID), retry=retry)
    assert isinstance(decision, JobState)


@pytest.mark.parametrize("status", [ERROR, NOT_EXIST, FAILED])
async def test_overwrite_does_not_ask_in_vain(decide, status):
    """
    `overwrite` is about images: what has none goes by `retry` all the same.
    """
    _, (decision,) = await decide("t", ledger=earlier(status), overwrite=True)
    assert (decision is None) == (status is not FAILED)


async def test_image_of_an_earlier_run(decide, folder):
    """
    A completed task whose image is there, with the size reported, is settled.
    """
    put(folder, "t.png")
    intake, (decision,) = await decide("t", ledger=completed())
    assert decision is None
    assert intake.already == {COMPLETED: 1}


@pytest.mark.parametrize("content", [None, b"", IMAGE[:-1], IMAGE + b"\0"])
async def test_image_that_is_gone_or_has_another_size(decide, folder, content):
    """
    A completed task whose image is not what was reported is asked about again.
    """
    if content is not None:
        put(folder, "t.png", content)
    intake, (decision,) = await decide("t", ledger=completed())
    assert isinstance(decision, JobState)
    assert intake.already.total() == 0


async def test_overwrite_asks_again(decide, folder):
    """
    With `overwrite` neither report nor image settles a task.
    """
    put(folder, "t.png")
    _, (decision,) = await decide("t", ledger=completed(), overwrite=True)
    assert isinstance(decision, JobState)
    _, (decision,) = await decide("t", overwrite=True)
    assert isinstance(decision, JobState)


@pytest.mark.parametrize("status", [None, FAILED, TIMED_OUT])
@pytest.mark.parametrize(("task_id", "filename"), [("t", "t.png"), ("é/t", "é%2Ft.png")])
async def test_image_named_by_its_task_is_adopted(decide, folder, status, task_id, filename):
    """
    A sound image under a task's id, without its line in the report, is Completed without a call.
    """
    put(folder, filename)
    job = Job(task_id, manifest="m.csv", line=3)
    ledger = earlier(status, task_id=task_id) if status else None
    intake, (decision,) = await decide(job, ledger=ledger)
    assert isinstance(decision, Outcome)
    assert (decision.status, decision.calls, decision.path) == (COMPLETED, 0, filename)
    assert decision.bytes == len(IMAGE)
    assert decision.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert (decision.manifest, decision.line) == ("m.csv", 3)
    assert intake.tasks == 1


@pytest.mark.parametrize("content", [IMAGE, b"text"])
async def test_file_that_no_line_accounts_for(decide, folder, content):
    """
    A file under another name may be anybody's: its row is Invalid and says what to do.
    """
    put(folder, "page1.png", content)
    _, (decision,) = await decide(Job("t", "page1.png"))
    assert (decision.status, decision.reason) == (INVALID, "bad_name")
    assert decision.detail == (
        "page1.png is a file that the report does not account for; use another name, --adopt to"
        " count it as this task's, or --replace to overwrite it"
    )
    _, (decision,) = await decide(Job("t", "page1.png"), replace=True)
    assert isinstance(decision, JobState)


async def test_adopt_is_for_sound_images(decide, folder):
    """
    With `adopt` an image under another name counts, and what is none does not.
    """
    put(folder, "page1.png")
    put(folder, "page2.png", b"text")
    jobs = [Job("t", "page1.png"), Job("u", "page2.png")]
    _, (first, second) = await decide(*jobs, adopt=True)
    assert (first.status, first.calls, first.path) == (COMPLETED, 0, "page1.png")
    assert (second.status, second.reason) == (INVALID, "bad_name")
    _, (first, second) = await decide(*jobs, adopt=True, replace=True)
    assert first.status is COMPLETED
    assert isinstance(second, JobState)


@pytest.mark.parametrize("status", [COMPLETED, FAILED])
async def test_adopt_takes_a_task_s_own_image_as_it_is(decide, folder, status):
    """
    With `adopt` an image that was worked on since, or whose task has failed since, counts.
    """
    put(folder, "page1.png")

    def ledger():
        ledger = earlier(COMPLETED, size=7, path="page1.png")
        if status is FAILED:
            ledger.note_previous("t", FAILED)
        return ledger

    _, (decision,) = await decide(Job("t", "page1.png"), ledger=ledger())
    assert isinstance(decision, JobState)
    _, (decision,) = await decide(Job("t", "page1.png"), ledger=ledger(), adopt=True)
    assert (decision.status, decision.bytes) == (COMPLETED, len(IMAGE))


async def test_adopted_without_a_checksum(decide, folder):
    """
    Without checksums an adopted image has none either.
    """
    put(folder, "t.png")
    _, (decision,) = await decide("t", checksum=Checksum.NONE)
    assert decision.sha256 is None


@pytest.mark.parametrize(
    "content", [b"", b"text", IMAGE[:-1], IMAGE + b"\0", IMAGE[:60] + b"\xff" + IMAGE[61:]]
)
async def test_file_that_is_no_sound_image_is_replaced(decide, folder, content):
    """
    Half an image, or anything else, is not adopted.
    """
    put(folder, "t.png", content)
    _, (decision,) = await decide("t")
    assert isinstance(decision, JobState)


async def test_image_too_large_is_not_adopted(decide, folder):
    """
    The largest size allowed holds for images found, too.
    """
    put(folder, "t.png")
    _, (decision,) = await decide("t", max_image_bytes=len(IMAGE) - 1)
    assert isinstance(decision, JobState)


@pytest.mark.parametrize("path", ["o.png", "named.png"])
@pytest.mark.parametrize("later", [None, NOT_EXIST, FAILED])
@pytest.mark.parametrize("adopt", [False, True])
async def test_image_of_another_task_stays(decide, folder, tmp_path, path, later, adopt):
    """
    An image that the report gives to one task is not another's, whatever became of the one since.
    """
    put(folder, path)
    report = tmp_path / "report.jsonl"
    lines = [Outcome(task_id="o", status=COMPLETED, path=path, bytes=len(IMAGE))]
    if later is not None:
        lines.append(Outcome(task_id="o", status=later))
    report.write_bytes(b"".join(map(encode, lines)))

    async def decided(**options):
        ledger = Ledger()
        load_report(report, ledger)
        _, (decision,) = await decide(Job("t", path), ledger=ledger, report=report, **options)
        return decision

    decision = await decided(adopt=adopt)
    assert (decision.status, decision.reason) == (INVALID, "bad_name")
    assert decision.detail == (
        f"{path} is the image of task o; use another name, or --replace to overwrite it"
    )
    assert isinstance(await decided(replace=True), JobState)
    assert isinstance(await decided(overwrite=True), JobState)


async def test_place_of_an_image_that_is_gone(decide, folder):
    """
    A task may take the name of one whose image is not there, or that never had one.
    """
    ledger = completed("o", "page1.png")
    ledger.note_previous("p", FAILED)
    _, decisions = await decide(Job("t", "page1.png"), Job("u", "p.png"), ledger=ledger)
    assert all(isinstance(decision, JobState) for decision in decisions)
    assert not list(folder.path.glob("*.png"))


async def test_image_that_another_task_has_replaced(decide, folder):
    """
    A task whose image another one has replaced is not settled, of equal size or not.
    """
    put(folder, "page1.png")
    ledger = completed("a", "page1.png")
    ledger.note_previous("b", COMPLETED, size=len(IMAGE), path="page1.png")
    _, (first, second) = await decide(Job("a", "page1.png"), Job("b", "page1.png"), ledger=ledger)
    assert (first.status, first.reason) == (INVALID, "bad_name")
    assert second is None


@pytest.mark.parametrize("resubmits", ["O", "p", 7])
async def test_resubmitted_task_takes_the_old_one_s_place(decide, folder, resubmits):
    """
    A row that says which task it was submitted for again may replace that one's image only.
    """
    put(folder, "page1.png")
    job = Job("t", "page1.png", extra={"resubmits": resubmits})
    _, (decision,) = await decide(job, ledger=completed("o", "page1.png"))
    assert isinstance(decision, JobState) == (resubmits == "O")


@pytest.mark.parametrize("name", ["page1.png", "folder/Page1.PNG", None])
@pytest.mark.parametrize("status", [None, NOT_EXIST, FAILED, COMPLETED])
async def test_resubmitted_task_takes_the_place_of_an_earlier_row(decide, folder, name, status):
    """
    So does one in the same manifest, whatever became of the old task; and so on.  A second one that
    resubmits the same task has no place.
    """
    path = name or "O.png"
    ledger = Ledger()
    if status is COMPLETED:
        put(folder, path)
        ledger = completed("O", path)
    elif status is not None:
        ledger = earlier(status, task_id="O")
    rows = [Job("O", name)]
    rows += [Job(new, path, extra={"resubmits": old}) for new, old in ("ao", "ba", "ca")]
    intake, decisions = await decide(*rows, ledger=ledger)
    settled = status in {NOT_EXIST, COMPLETED}
    assert isinstance(decisions[0], JobState) != settled
    assert intake.already.total() == settled
    asked = [each.job.task_id for each in decisions[1:] if isinstance(each, JobState)]
    assert asked == ["a", "b"]
    assert (decisions[-1].task_id, decisions[-1].reason) == ("c", "bad_name")


@pytest.mark.parametrize(
    ("rows", "resubmits"),
    [
        ([Job("o", "page1")], "p"),
        ([Job("o", "page1"), Job("p", "page2")], "p"),
        ([Job("o", "page1"), Job("p")], "p"),
        ([Job("page1"), Job("p")], "p"),
        ([Job("o", "page1")], "t"),
        ([Job("page1")], "t"),
        ([Job("o", "page1")], 7),
        ([Job("o", "page1")], None),
    ],
)
async def test_resubmitted_task_takes_no_other_row_s_place(decide, rows, resubmits):
    """
    The task that it says it repeats has to be that of the row that has the name.
    """
    job = Job("t", "page1", extra={"resubmits": resubmits})
    _, decisions = await decide(*rows, job)
    assert all(isinstance(each, JobState) for each in decisions[:-1])
    assert (decisions[-1].status, decisions[-1].reason) == (INVALID, "bad_name")


@pytest.mark.parametrize("holder", ["page1", "z"])
@pytest.mark.parametrize("status", [None, FAILED, COMPLETED])
async def test_task_without_a_place_hands_on_none(decide, holder, status):
    """
    What resubmits a task whose row was refused itself is refused, too.
    """
    ledger = Ledger() if status is None else earlier(status, path="page1.png", task_id="p")
    rows = [Job(holder, "page1"), Job("p", "page1")]
    _, decisions = await decide(*rows, Job("t", "page1", extra={"resubmits": "p"}), ledger=ledger)
    assert isinstance(decisions[0], JobState)
    assert [each.reason for each in decisions[1:]] == ["bad_name", "bad_name"]


@pytest.mark.parametrize("replace", [False, True])
async def test_task_with_another_place_hands_on_that_one_only(decide, replace):
    """
    The place of an earlier night is not that of the row.
    """
    rows = [Job("o", "page2"), Job("z", "page1"), Job("t", "page1", extra={"resubmits": "o"})]
    _, decisions = await decide(*rows, ledger=completed("o", "page1.png"), replace=replace)
    assert all(isinstance(each, JobState) for each in decisions[:-1])
    assert decisions[-1].reason == "bad_name"


@pytest.mark.parametrize("status", [COMPLETED, FAILED])
@pytest.mark.parametrize(("resubmits", "is_done"), [("O", True), ("p", False), (None, False)])
async def test_task_in_whose_place_another_one_s_image_is(
    intake_of, folder, tmp_path, status, resubmits, is_done
):
    """
    It is done with if that one was submitted in its place.
    """
    put(folder, "page1.png")
    report = tmp_path / "report.jsonl"
    lines = [
        {"task_id": "o", "outcome": status, "calls": 1},
        {"task_id": "n", "outcome": COMPLETED, "calls": 1, "path": "page1.png"}
        | {"bytes": len(IMAGE), "extra": {"resubmits": resubmits}},
    ]
    report.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    ledger = Ledger()
    load_report(report, ledger)
    intake = intake_of([Job("o", "page1.png")], ledger=ledger, report=report)
    decisions = []
    while not intake.all_read:
        decisions += await intake.chunk()
    if is_done:
        assert (decisions, intake.already) == ([], {COMPLETED: 1})
    else:
        assert [each.reason for each in decisions] == ["bad_name"]
        assert "the image of task n" in decisions[0].detail


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
async def test_owner_behind_a_row_with_its_name(decide, folder, replace, is_there):
    """
    The owner of an image keeps it also if another row with its name comes first.
    """
    if is_there:
        put(folder, "page1.png")
    jobs = [Job("b", "page1.png"), Job("a", "page1.png")]
    intake, (first, second) = await decide(
        *jobs, ledger=completed("a", "page1.png"), replace=replace
    )
    if is_there and not replace:
        assert (first.status, first.reason) == (INVALID, "bad_name")
        assert second is None
        assert intake.already == {COMPLETED: 1}
    else:
        assert isinstance(first, JobState)
        assert (second.status, second.detail) == (
            INVALID,
            "page1.png is the name of an earlier row's image",
        )


# What a run that died left behind.


async def fetched(storage, name, owner):
    """
    Put an image in place as a run does that dies before it can report it.
    """
    target = storage.open(name, owner=owner)
    await target.write([IMAGE])
    await target.commit()


async def test_image_that_a_dead_run_had_put_in_place(decide, tmp_path):
    """
    A claimed image is the claiming task's, and no other task's, also if the report has an owner.
    """
    root = tmp_path / "claimed"
    async with local_storage(root, Durability.NONE) as dead:
        await fetched(dead, "n/page1.png", "t")
    for earlier_run in (Ledger, partial(completed, "o", "n/page1.png")):
        async with local_storage(root, Durability.NONE) as storage:
            found = {}
            for task_id in ("o", "p", "t"):
                _, (found[task_id],) = await decide(
                    Job(task_id, "n/page1.png"), storage=storage, ledger=earlier_run()
                )
        for task_id in ("o", "p"):
            assert (found[task_id].status, found[task_id].reason) == (INVALID, "bad_name")
            assert "a task that a run has fetched and not reported" in found[task_id].detail
        assert (found["t"].status, found["t"].calls) == (COMPLETED, 0)
    async with local_storage(root, Durability.NONE) as storage:
        await storage.release(["n/page1.png"])
        assert not storage.is_claimed("n/page1.png")
    assert [path.name for path in (root / "n").iterdir()] == ["page1.png"]


async def test_claim_whose_line_is_written(decide, tmp_path):
    """
    A run that died behind the line and before it removed the claim has settled its task.
    """
    root = tmp_path / "claimed"
    async with local_storage(root, Durability.NONE) as dead:
        await fetched(dead, "page1.png", "t")
    async with local_storage(root, Durability.NONE) as storage:
        intake, (decision,) = await decide(
            Job("t", "page1.png"), storage=storage, ledger=completed("t", "page1.png")
        )
        assert decision is None
        assert intake.already == {COMPLETED: 1}
    assert {path.name for path in root.iterdir()} == {"page1.png", ".batchfetch.lock"}


@pytest.mark.parametrize("overwrite", [False, True])
async def test_place_that_is_no_plain_file(decide, folder, tmp_path, overwrite):
    """
    A link, a folder or a way out at an image's place makes its row Invalid, and no other.
    """
    (folder.path / "link.png").symlink_to(tmp_path / "elsewhere")
    (folder.path / "folder.png").mkdir()
    (folder.path / "way").symlink_to(tmp_path)
    places = ["link.png", "folder.png", "way/t.png", "../up.png"]
    jobs = [Job(str(number), place) for number, place in enumerate(places)]
    _, (*decisions, last) = await decide(*jobs, "fine", overwrite=overwrite)
    assert [(found.status, found.reason) for found in decisions] == [(INVALID, "bad_name")] * 4
    assert isinstance(last, JobState)


async def test_descriptors_that_come_back(folder, intake_of):
    """
    Where no descriptor is left for looking, the row waits until one is.
    """
    (folder.path / "sub").mkdir()
    limits = ExitStack()
    naps = []

    async def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            limits.close()

    intake = intake_of([Job("t", "sub/t.png")], sleep=sleep)
    with limits:
        limits.enter_context(exhausted())
        assert await intake.chunk() == []
        (decision,) = await intake.chunk()
    assert isinstance(decision, JobState)
    assert len(naps) == 3
    assert intake.all_read


async def test_descriptors_that_do_not_come_back(folder, intake_of):
    """
    After a while without any the run ends, and says what to do.
    """
    (folder.path / "sub").mkdir()
    naps = []

    async def sleep(seconds):
        naps.append(seconds)

    intake = intake_of([Job("t", "sub/t.png")], sleep=sleep)
    with exhausted(), pytest.raises(StorageError, match="ulimit -n"):
        for _ in range(2):
            await intake.chunk()
    assert 5 < sum(naps) < 60


async def test_no_output_yet(decide, tmp_path):
    """
    Without an output nothing can be there: what was completed is asked about again.
    """
    with FileExecutor() as files:
        nowhere = LocalStorage(None, files, Durability.NONE)
        _, (known, new) = await decide("t", "u", ledger=earlier(COMPLETED, size=5), storage=nowhere)
    assert isinstance(known, JobState)
    assert isinstance(new, JobState)


async def test_chunks_are_bounded(intake_of):
    """
    A long manifest is read a chunk at a time, in order, and no further than asked for.
    """
    rows = iter(map(str, range(10_000)))
    intake = intake_of(rows)
    first, second = await intake.chunk(), await intake.chunk()
    assert 1 <= len(first) <= 1000
    assert [state.job.task_id for state in (*first, *second)] == [
        str(number) for number in range(intake.tasks)
    ]
    assert next(rows) == str(intake.tasks)
    assert not intake.all_read


async def test_chunk_does_not_wait_for_a_full_one(intake_of):
    """
    Rows that come slowly are handed on before a chunk is full.
    """
    pause = threading.Event()

    def rows():
        for number in range(10):
            pause.wait(0.06)
            yield str(number)

    intake = intake_of(rows())
    assert len(await intake.chunk()) == 1


async def test_last_chunk_says_so(intake_of):
    """
    After the last row all is read, and nothing more comes.
    """
    intake = intake_of(["a", "b"])
    assert len(await intake.chunk()) == 2
    assert intake.all_read
    assert await intake.chunk() == []


async def test_manifest_that_breaks_off(intake_of):
    """
    The rows before the break are decided, then the break is told, again and again.
    """

    def rows():
        yield "a"
        raise ManifestError("line 2 cannot be read")

    intake = intake_of(rows())
    assert [state.job.task_id for state in await intake.chunk()] == ["a"]
    for _ in range(2):
        with pytest.raises(ManifestError, match="line 2"):
            await intake.chunk()
    assert not intake.all_read


async def test_ordinals_follow_the_manifest(decide):
    """
    Jobs know their place in the manifest.
    """
    _, decisions = await decide("a", "b", "c")
    ordinals = [decision.ordinal for decision in decisions]
    assert ordinals == sorted(set(ordinals))


async def test_row_out_of_a_pipe_waits_for_no_other(tmp_path, intake_of):
    """
    What somebody writes row by row is decided row by row, though the pipe stays open.
    """
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDWR), "w") as writer:
        intake = intake_of(Manifest(pipe))
        for task_id in ("one", "two"):
            print(task_id, file=writer, flush=True)
            assert [state.job.task_id for state in await intake.chunk()] == [task_id]
