"""
Intake: a row meets what earlier runs left behind.
"""

import hashlib
import os
import threading
from contextlib import ExitStack

import pytest
from descriptors import exhausted
from replies import png_of

from batchfetch.errors import ManifestError, StorageError
from batchfetch.manifest import Manifest
from batchfetch.models import BadRow, Job, JobState, Outcome, OutcomeStatus
from batchfetch.report.ledger import Ledger
from batchfetch.run.intake import Intake
from batchfetch.settings import Checksum, Settings
from batchfetch.storage import Folder

COMPLETED, ERROR, NOT_EXIST, TIMED_OUT, FAILED, INVALID = OutcomeStatus
IMAGE = png_of("t")


@pytest.fixture
def folder(tmp_path):
    """
    The output.
    """
    folder = Folder(tmp_path / "out")
    yield folder
    folder.close()


@pytest.fixture
def decide(folder):
    """
    Decide about rows one after the other; return the intake and what it decided.
    """

    def decide(*rows, ledger=None, folder=folder, **settings):
        intake = Intake(rows, ledger or Ledger(), folder, Settings(**settings))
        return intake, [intake.decide(row) for row in rows]

    return decide


def earlier(status, *, size=0, path=None, task_id="t"):
    """
    Return a ledger with one line about a task.
    """
    ledger = Ledger()
    ledger.note_previous(task_id, status, size=size, path=path)
    return ledger


def put(folder, filename, content=IMAGE):
    """
    Put a file into the output.
    """
    place = folder.path / filename
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def test_row_that_is_new(decide):
    """
    A task nobody knows is asked about.
    """
    job = Job("t", "folder/t.png")
    intake, (decision,) = decide(job)
    assert isinstance(decision, JobState)
    assert decision.job is job
    assert (intake.tasks, intake.already.total(), intake.repeated) == (1, 0, 0)


def test_bare_id(decide):
    """
    A bare id is a job whose image is called like it, made safe.
    """
    _, (decision,) = decide("a/b")
    assert decision.job == Job("a/b", "a%2Fb.png")


@pytest.mark.parametrize("task_id", ["", "x" * 300, "a\x00b", "a\nb"])
def test_bare_id_that_makes_no_name(decide, task_id):
    """
    A bare id that no file can be called by is Invalid, and does not stop the run.
    """
    intake, (decision, other) = decide(task_id, "other")
    assert (decision.task_id, decision.status, decision.reason) == (task_id, INVALID, "bad_name")
    assert decision.detail
    assert isinstance(other, JobState)
    assert intake.tasks == 2


def test_row_that_cannot_be_used(decide):
    """
    An unusable row is an Invalid outcome with its place, every time it is met.
    """
    row = BadRow("bad_row", "there is no id", None, "m.csv", 7, {"extra": 1})
    intake, (decision, again) = decide(row, row)
    assert (decision.status, decision.reason) == (INVALID, "bad_row")
    assert (decision.manifest, decision.line, decision.extra) == ("m.csv", 7, {"extra": 1})
    assert again.status is INVALID
    assert intake.tasks == 2


def test_id_that_occurs_twice(decide):
    """
    The same id, in whatever case, is one task.
    """
    intake, (first, second, third) = decide("t", "T", Job("t", "other.png"))
    assert isinstance(first, JobState)
    assert second is third is None
    assert (intake.tasks, intake.repeated) == (1, 2)


def test_name_that_is_taken(decide):
    """
    Of two ids with one name the second is Invalid, and its detail names it.
    """
    intake, (first, second) = decide(Job("a", "same.png"), Job("b", "SAME.png"))
    assert isinstance(first, JobState)
    assert (second.task_id, second.status, second.reason) == ("b", INVALID, "bad_name")
    assert "SAME.png is the name of an earlier row's image" in second.detail
    assert intake.tasks == 2


@pytest.mark.parametrize("status", [ERROR, NOT_EXIST])
def test_what_the_service_said_for_good(decide, status):
    """
    What the service said for good is left alone, unless it is to be tried again.
    """
    intake, (decision,) = decide("t", ledger=earlier(status))
    assert decision is None
    assert intake.already == {status: 1}
    intake, (decision,) = decide("t", ledger=earlier(status), retry=frozenset({status}))
    assert isinstance(decision, JobState)
    assert intake.already.total() == 0


@pytest.mark.parametrize("status", [TIMED_OUT, FAILED, INVALID])
def test_what_may_have_changed(decide, status):
    """
    Other outcomes are tried again, unless told otherwise.
    """
    _, (decision,) = decide("t", ledger=earlier(status))
    assert isinstance(decision, JobState)
    intake, (decision,) = decide("t", ledger=earlier(status), retry=frozenset())
    assert decision is None
    assert intake.already == {status: 1}


@pytest.mark.parametrize("status", [ERROR, NOT_EXIST, FAILED])
def test_overwrite_does_not_ask_in_vain(decide, status):
    """
    `overwrite` is about images: what has none goes by `retry` all the same.
    """
    _, (decision,) = decide("t", ledger=earlier(status), overwrite=True)
    assert (decision is None) == (status is not FAILED)


def test_image_of_an_earlier_run(decide, folder):
    """
    A completed task whose image is there, with the size reported, is settled.
    """
    put(folder, "t.png")
    intake, (decision,) = decide("t", ledger=earlier(COMPLETED, size=len(IMAGE)))
    assert decision is None
    assert intake.already == {COMPLETED: 1}


@pytest.mark.parametrize("content", [None, b"", IMAGE[:-1], IMAGE + b"\0"])
def test_image_that_is_gone_or_has_another_size(decide, folder, content):
    """
    A completed task whose image is not what was reported is asked about again.
    """
    if content is not None:
        put(folder, "t.png", content)
    intake, (decision,) = decide("t", ledger=earlier(COMPLETED, size=len(IMAGE)))
    assert isinstance(decision, JobState)
    assert intake.already.total() == 0


def test_overwrite_asks_again(decide, folder):
    """
    With `overwrite` neither report nor image settles a task.
    """
    put(folder, "t.png")
    _, (decision,) = decide("t", ledger=earlier(COMPLETED, size=len(IMAGE)), overwrite=True)
    assert isinstance(decision, JobState)
    _, (decision,) = decide("t", overwrite=True)
    assert isinstance(decision, JobState)


@pytest.mark.parametrize("status", [None, FAILED, TIMED_OUT])
@pytest.mark.parametrize("filename", ["t.png", "folder/named.png"])
def test_image_that_nobody_reported_is_adopted(decide, folder, status, filename):
    """
    A sound image at a task's place, without its line in the report, is Completed without a call.
    """
    put(folder, filename)
    job = Job("t", filename, manifest="m.csv", line=3)
    intake, (decision,) = decide(job, ledger=earlier(status) if status else None)
    assert isinstance(decision, Outcome)
    assert (decision.status, decision.calls, decision.path) == (COMPLETED, 0, filename)
    assert decision.bytes == len(IMAGE)
    assert decision.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert (decision.manifest, decision.line) == ("m.csv", 3)
    assert intake.tasks == 1


def test_adopted_without_a_checksum(decide, folder):
    """
    Without checksums an adopted image has none either.
    """
    put(folder, "t.png")
    _, (decision,) = decide("t", checksum=Checksum.NONE)
    assert decision.sha256 is None


@pytest.mark.parametrize(
    "content", [b"", b"text", IMAGE[:-1], IMAGE + b"\0", IMAGE[:60] + b"\xff" + IMAGE[61:]]
)
def test_file_that_is_no_sound_image_is_replaced(decide, folder, content):
    """
    Half an image, or anything else, is not adopted.
    """
    put(folder, "t.png", content)
    _, (decision,) = decide("t")
    assert isinstance(decision, JobState)


def test_image_too_large_is_not_adopted(decide, folder):
    """
    The largest size allowed holds for images found, too.
    """
    put(folder, "t.png")
    _, (decision,) = decide("t", max_image_bytes=len(IMAGE) - 1)
    assert isinstance(decision, JobState)


@pytest.mark.parametrize("path", ["t.png", "named.png"])
def test_image_of_another_task_is_not_adopted(decide, folder, path):
    """
    An image that the report gives to one task is not taken for another's.
    """
    put(folder, path)
    owner = path.removesuffix(".png")
    ledger = earlier(COMPLETED, size=len(IMAGE), path=path, task_id=owner)
    _, (decision,) = decide(Job("other", path), ledger=ledger)
    assert isinstance(decision, JobState)


@pytest.mark.parametrize("overwrite", [False, True])
def test_place_that_is_no_plain_file(decide, folder, tmp_path, overwrite):
    """
    A link, a folder or a way out at an image's place makes its row Invalid, and no other.
    """
    (folder.path / "link.png").symlink_to(tmp_path / "elsewhere")
    (folder.path / "folder.png").mkdir()
    (folder.path / "way").symlink_to(tmp_path)
    places = ["link.png", "folder.png", "way/t.png", "../up.png"]
    jobs = [Job(str(number), place) for number, place in enumerate(places)]
    _, (*decisions, last) = decide(*jobs, "fine", overwrite=overwrite)
    assert [(found.status, found.reason) for found in decisions] == [(INVALID, "bad_name")] * 4
    assert isinstance(last, JobState)


def test_descriptors_that_come_back(folder):
    """
    Where no descriptor is left for looking, the row waits until one is.
    """
    (folder.path / "sub").mkdir()
    limits = ExitStack()
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            limits.close()

    intake = Intake([], Ledger(), folder, Settings(), sleep=sleep)
    with limits:
        limits.enter_context(exhausted())
        assert isinstance(intake.decide(Job("t", "sub/t.png")), JobState)
    assert len(naps) == 3


def test_descriptors_that_do_not_come_back(folder):
    """
    After a while without any the run ends, and says what to do.
    """
    (folder.path / "sub").mkdir()
    naps = []
    intake = Intake([], Ledger(), folder, Settings(), sleep=naps.append)
    with exhausted(), pytest.raises(StorageError, match="ulimit -n"):
        intake.decide(Job("t", "sub/t.png"))
    assert 5 < sum(naps) < 60


def test_no_output_yet(decide):
    """
    Without an output nothing can be there: what was completed is asked about again.
    """
    _, (known, new) = decide("t", "u", ledger=earlier(COMPLETED, size=5), folder=None)
    assert isinstance(known, JobState)
    assert isinstance(new, JobState)


def test_slabs_are_bounded(folder):
    """
    A long manifest is read a slab at a time, in order, and no further than asked for.
    """
    rows = iter(map(str, range(10_000)))
    intake = Intake(rows, Ledger(), folder, Settings())
    first, second = intake.chunk(), intake.chunk()
    assert 1 <= len(first) <= 1000
    assert [state.job.task_id for state in (*first, *second)] == [
        str(number) for number in range(intake.tasks)
    ]
    assert next(rows) == str(intake.tasks)
    assert not intake.all_read


def test_slab_does_not_wait_for_a_full_one(folder):
    """
    Rows that come slowly are handed on before a slab is full.
    """
    pause = threading.Event()

    def rows():
        for number in range(10):
            pause.wait(0.06)
            yield str(number)

    intake = Intake(rows(), Ledger(), folder, Settings())
    assert len(intake.chunk()) == 1


def test_last_slab_says_so(folder):
    """
    After the last row all is read, and nothing more comes.
    """
    intake = Intake(["a", "b"], Ledger(), folder, Settings())
    assert len(intake.chunk()) == 2
    assert intake.all_read
    assert intake.chunk() == []


def test_manifest_that_breaks_off(folder):
    """
    The rows before the break are decided, then the break is told, again and again.
    """

    def rows():
        yield "a"
        raise ManifestError("line 2 cannot be read")

    intake = Intake(rows(), Ledger(), folder, Settings())
    assert [state.job.task_id for state in intake.chunk()] == ["a"]
    for _ in range(2):
        with pytest.raises(ManifestError, match="line 2"):
            intake.chunk()
    assert not intake.all_read


def test_ordinals_follow_the_manifest(decide):
    """
    Inquiries know their place in the manifest.
    """
    _, decisions = decide("a", "b", "c")
    ordinals = [decision.ordinal for decision in decisions]
    assert ordinals == sorted(set(ordinals))


def test_row_out_of_a_pipe_waits_for_no_other(tmp_path, folder):
    """
    What somebody writes row by row is decided row by row, though the pipe stays open.
    """
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDWR), "w") as writer:
        intake = Intake(Manifest(pipe), Ledger(), folder, Settings())
        for task_id in ("one", "two"):
            print(task_id, file=writer, flush=True)
            assert [state.job.task_id for state in intake.chunk()] == [task_id]
