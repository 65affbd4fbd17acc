"""
What a submission does with its sources, its report and its manifest.
"""

import base64
import json
import os
from math import inf
from pathlib import Path

import anyio
import pytest
from receiver import Receiver, no_answer, status
from replies import Ending, png_of
from submitting import TOKEN, images_at, lines_of, results_of, submit_all, submitting

from batchfetch.errors import OutputLockedError, SettingsError, StorageError
from batchfetch.manifest import Manifest
from batchfetch.models import Job
from batchfetch.report import require_report
from batchfetch.service import Credentials
from batchfetch.sources import SourceImage
from batchfetch.submission.api import open_submission
from batchfetch.submission.image import PIECE, Image, ImageBody, digest_of
from batchfetch.submission.intake import SubmitIntake
from batchfetch.submission.ledger import SubmitLedger
from batchfetch.submission.plan import plan_submission
from batchfetch.submit_settings import SubmitSettings, SubmitStatus

pytestmark = pytest.mark.anyio

SUBMITTED, UNCERTAIN = SubmitStatus.SUBMITTED, SubmitStatus.UNCERTAIN


@pytest.fixture
def scans(tmp_path):
    """
    Where the images are.
    """
    return tmp_path / "scans"


@pytest.fixture
def manifest(tmp_path):
    """
    Where the manifest goes.
    """
    return tmp_path / "manifest.jsonl"


@pytest.fixture
def report(tmp_path):
    """
    Where the report is, unless it is named.
    """
    return report_of(tmp_path / "manifest.jsonl")


@pytest.fixture
async def receiver():
    """
    A service that takes every image.
    """
    async with Receiver() as receiver:
        yield receiver


def report_of(manifest):
    """
    Return where the report of *manifest* is, unless it is named.
    """
    return manifest.with_name("manifest.report.jsonl")


async def test_a_nightly_run_sends_what_is_new(scans, manifest, receiver):
    """
    What was accepted is not sent again, and the manifest goes on.
    """
    images_at(scans, 3)
    await submit_all(scans, receiver.base_url)
    images_at(scans, 5)
    summary = await submit_all(scans, receiver.base_url)
    assert (summary.images, summary.already, summary.calls) == (5, 3, 2)
    assert (summary.outcomes, summary.exit_code) == ({SUBMITTED: 2}, 0)
    names = [line["name"] for line in lines_of(manifest)]  # Of each night as they were accepted.
    assert [*sorted(names[:3]), *sorted(names[3:])] == [f"{n:05}" for n in range(5)]


async def test_again_sends_it_again(scans, manifest, receiver):
    """
    `--again` does not look at what was accepted.
    """
    images_at(scans, 2)
    await submit_all(scans, receiver.base_url)
    summary = await submit_all(scans, receiver.base_url, again=True)
    assert (summary.already, summary.outcomes) == (0, {SUBMITTED: 2})
    assert set(receiver.images.values()) == {2}
    first, again = lines_of(manifest)[:2], lines_of(manifest)[2:]
    # So that fetch lets them have the names of the first ones.
    assert {line["name"]: line["resubmits"] for line in again} == {
        line["name"]: line["task_id"] for line in first
    }


async def test_again_and_again_resubmits_the_newest(scans, manifest, receiver):
    """
    Each repeats the one before it.
    """
    images_at(scans, 1)
    for _ in range(3):
        await submit_all(scans, receiver.base_url, again=True)
    first, second, third = lines_of(manifest)
    assert "resubmits" not in first
    assert second["resubmits"] == first["task_id"]
    assert third["resubmits"] == second["task_id"]


@pytest.mark.parametrize("again", [False, True])
async def test_name_that_the_manifest_has_is_not_paid_for(scans, manifest, receiver, again):
    """
    Another image under a name of an earlier night would not be fetched, and is not sent.
    """
    images_at(scans, 2)
    await submit_all(scans, receiver.base_url)
    owner = next(line["task_id"] for line in lines_of(manifest) if line["name"] == "00001")
    (scans / "00001.png").write_bytes(png_of("another"))
    settings = SubmitSettings(output=manifest, again=again)
    plan = await plan_submission([scans], settings)
    assert (plan.to_submit, plan.reasons) == (int(again), {"bad_name": 1})
    summary = await submit_all(scans, receiver.base_url, again=again)
    assert (summary.calls, summary.exit_code, summary.reasons) == (int(again), 3, {"bad_name": 1})
    refused = [each for each in results_of(report_of(manifest)) if each["outcome"] == "Invalid"]
    assert [each["source"] for each in refused] == [str(scans / "00001.png")]
    detail = str(refused[0]["detail"])
    assert f"{manifest} has another image called '00001', that of task {owner}" in detail
    # Without the report the others would be sent, and paid for, once more.
    assert f"choose another --output with --report {report_of(manifest)}," in detail
    # In a manifest of its own it has the name to itself.
    settings = {"output": manifest.with_name("other.jsonl"), "report": report_of(manifest)}
    summary = await submit_all(scans, receiver.base_url, **settings)
    assert (summary.calls, summary.exit_code) == (1, 0)


async def test_name_of_a_row_without_one(scans, manifest, receiver):
    """
    A row without a name has that of its id; letters' case and the suffix make no difference.
    """
    images_at(scans, 1)
    (scans / "00000.png").rename(scans / "Page.tif.png")
    manifest.write_text('{"task_id":"x","name":null}\n{"task_id":"PAGE.TIF"}\n')
    summary = await submit_all(scans, receiver.base_url)
    assert (summary.calls, summary.reasons) == (0, {"bad_name": 1})


@pytest.mark.parametrize(
    ("lines", "holder"),
    [
        ('{"Task ID":"x","Name":"00000"}', "x"),
        ('{"id":7,"name":" 00000.PNG "}', "7"),
        ('{"task_id":"{00000}"}', "00000"),
        ('{"task_id":"00000","name":"NULL"}', "00000"),
        ('\ufeff{"task_id":"x","name":"00000"}', "x"),
        ('{"task_id":"x-23456","name":"00000","endpoint":"deskew"}', "x-23456"),
        ('{"task_id":"two words","name":"00000"}', None),
        ('{"task_id":"x","name":"../00000"}', None),
        ('{"task_id":"x","name":"other"}', None),
        ('{"task_id":"x","name":"00000', None),
        ('{"task_id":"00000/"}', None),
    ],
)
async def test_names_of_the_manifest_are_those_of_fetch(scans, manifest, receiver, lines, holder):
    """
    Whatever was done to the manifest, an image is sent if fetch would take it, and else not.
    """
    images_at(scans, 1)
    manifest.write_text(f'{{"task_id":"first"}}\n{lines}\n')
    summary = await submit_all(scans, receiver.base_url)
    assert summary.calls == int(holder is None)
    if holder is not None:
        (result,) = results_of(report_of(manifest))
        assert f"that of task {holder}," in str(result["detail"])
    names = [row.filename.lower() for row in Manifest(manifest) if isinstance(row, Job)]
    assert len(set(names)) == len(names)


async def test_line_of_a_report_takes_its_own_task_s_name(scans, tmp_path, manifest, receiver):
    """
    What expired is resubmitted into the manifest that it is in, one after the other.
    """
    images_at(scans, 1)
    await submit_all(scans, receiver.base_url)
    for number in range(2):
        *_, newest = lines_of(manifest)
        table = tmp_path / f"report{number}.jsonl"
        row = {"outcome": "NotExist", "calls": 1, "source": str(scans / "00000.png")}
        extra = {"source": row.pop("source")}
        row |= {"task_id": newest["task_id"], "name": newest["name"], "extra": extra}
        table.write_text(json.dumps(row) + "\n")
        async with open_submission(
            [table],
            SubmitSettings(output=manifest, base_url=receiver.base_url),
            credentials=Credentials(access_token=TOKEN),
        ) as submission:
            await submission.run()
        assert submission.summary.outcomes == {SUBMITTED: 1}
        assert lines_of(manifest)[-1]["resubmits"] == newest["task_id"]


@pytest.mark.parametrize("again", [False, True])
async def test_what_a_dead_run_left_is_told_once(scans, report, receiver, again):
    """
    An image that was on its way is one Uncertain line and one image, with `--again` too.
    """
    images_at(scans, 2)
    await submit_all(scans, receiver.base_url)
    lines = [line for line in report.read_text().splitlines() if '"intent"' in line]
    results = [line for line in lines if '"outcome"' in line]
    # As if the run had been killed before the answer to the last one.
    report.write_text("".join(f"{line}\n" for line in lines if line != results[-1]))
    summary = await submit_all(scans, receiver.base_url, again=again)
    assert (summary.images, summary.outcomes[UNCERTAIN]) == (2, 1)
    assert (summary.already, summary.outcomes.get(SUBMITTED, 0)) == (not again, int(again))
    assert [each["outcome"] for each in results_of(report)].count("Uncertain") == 1


async def test_another_endpoint_is_another_submission(scans, manifest, receiver):
    """
    The same bytes for another endpoint are sent, if their manifest has no image by their name.
    """
    images_at(scans, 1)
    await submit_all(scans, receiver.base_url)
    summary = await submit_all(scans, receiver.base_url, endpoint="binarize")
    assert summary.reasons == {"bad_name": 1}
    other = {"output": manifest.with_name("other.jsonl"), "report": report_of(manifest)}
    summary = await submit_all(scans, receiver.base_url, endpoint="binarize", **other)
    assert summary.outcomes == {SUBMITTED: 1}
    paths = [each.path for each in receiver.submitted]
    assert paths == ["/v5.0/ocr/DeskewImage", "/v5.0/ocr/BinarizeImage"]


async def test_another_report_is_another_ledger(scans, tmp_path, receiver):
    """
    The guard is the report's: without it the same images are sent.
    """
    images_at(scans, 1)
    await submit_all(scans, receiver.base_url)
    await submit_all(scans, receiver.base_url, output=tmp_path / "other.jsonl")
    assert set(receiver.images.values()) == {2}


async def test_equal_images_are_sent_once(scans, receiver):
    """
    Of images with the same bytes one is sent, while it is on its way and afterwards.
    """
    images_at(scans, 1)
    for number in range(20):
        (scans / f"copy{number}.png").write_bytes((scans / "00000.png").read_bytes())
    receiver.delay = 0.1
    summary = await submit_all(scans, receiver.base_url)
    assert (summary.images, summary.already, summary.calls) == (21, 20, 1)
    assert summary.exit_code == 0


@pytest.mark.parametrize("act", [no_answer(Ending.CLOSE)])
async def test_equal_images_of_an_uncertain_one_are_uncertain(scans, receiver, act):
    """
    When the answer to one is lost, the other one is not sent in its place.
    """
    images_at(scans, 1)
    (scans / "copy.png").write_bytes((scans / "00000.png").read_bytes())
    receiver.acts = [act]
    summary = await submit_all(scans, receiver.base_url)
    assert (summary.outcomes, receiver.posts) == ({UNCERTAIN: 2}, 1)


async def test_equal_images_of_a_failed_one_are_tried(scans, receiver):
    """
    When one fails, the other one is sent.
    """
    images_at(scans, 1)
    (scans / "copy.png").write_bytes((scans / "00000.png").read_bytes())
    receiver.acts = [status(400)]
    summary = await submit_all(scans, receiver.base_url)
    assert summary.outcomes == {SUBMITTED: 1, SubmitStatus.FAILED: 1}
    assert summary.images == 2


async def test_equal_images_are_judged_one_after_the_other(scans, manifest):
    """
    When each of many equal images fails, those that wait are not looked at anew every time.
    """

    class Watched(SourceImage):
        looks = 0

        @property
        def key(self):
            Watched.looks += 1

        @key.setter
        def key(self, _):
            pass

    async def looks_at(count):
        Watched.looks = 0
        copies = [Watched(scans / "00000.png", f"copy{n}") for n in range(count)]
        intake = SubmitIntake(copies, SubmitLedger(), SubmitSettings(output=manifest))
        decisions, sent = [], 0
        while not intake.all_read:
            decisions += await intake.next()
        while decisions:
            (sending,) = decisions
            sent += 1
            decisions = intake.decided(sending.image, SubmitStatus.FAILED)
        assert sent == count
        return Watched.looks

    images_at(scans, 1)
    assert await looks_at(200) < 11 * await looks_at(20)


@pytest.mark.parametrize(
    "size", [1, 2, 3, 4, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 2]
)
async def test_the_body_is_what_its_length_says(tmp_path, size):
    """
    Whatever the size of an image, the body is JSON with its base64, as long as announced.
    """
    path = tmp_path / "image"
    data = bytes(number * 7 % 251 for number in range(min(size, 1000))) * (size // 1000 + 1)
    path.write_bytes(data[:size])
    body = ImageBody(Image(SourceImage(path, "image"), "deskew", digest_of(path)))
    pieces = [piece async for piece in body]
    body.close()
    text = b"".join(pieces)
    assert len(text) == body.length
    assert base64.b64decode(json.loads(text)["image"], validate=True) == data[:size]
    assert max(map(len, pieces)) <= PIECE // 3 * 4 + 20


@pytest.mark.parametrize("change", ["grown", "shrunk", "rewritten", "emptied", "gone"])
async def test_a_file_that_changes_is_not_sent_as_something_else(scans, receiver, report, change):
    """
    What is in a file that was written to after it was hashed is not sent; the next run does that.
    """
    images_at(scans, 2, padding=2_000_000)
    victim = scans / "00001.png"
    before = victim.read_bytes()
    after = {
        "grown": before + b"more",
        "shrunk": before[:-1],
        "rewritten": before[:-1] + bytes([before[-1] ^ 1]),
        "emptied": b"",
        "gone": None,
    }[change]
    receiver.answers = 0

    def spoil():
        if after is None:
            victim.unlink()
        else:
            victim.write_bytes(after)

    async with (
        submitting(scans, receiver.base_url, concurrency=1) as submission,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(submission.run)
        await receiver.arrived.wait()
        while submission.progress.images < 2:  # noqa: ASYNC110 - until both are hashed
            await anyio.sleep(0.01)
        spoil()
        receiver.answers = inf
    summary = submission.summary
    assert summary.outcomes == {SUBMITTED: 1, SubmitStatus.FAILED: 1}
    assert summary.reasons == ({"unreadable": 1} if change == "gone" else {"changed": 1})
    assert len(receiver.submitted) == 1
    failed = next(r for r in results_of(report) if r["outcome"] == "Failed")
    assert str(victim) in failed["detail"]
    if change in {"grown", "rewritten"}:
        summary = await submit_all(scans, receiver.base_url)
        assert (summary.already, summary.outcomes) == (1, {SUBMITTED: 1})


async def test_a_table_carries_its_columns_on(tmp_path, scans, manifest, receiver):
    """
    The columns of a table with `source` are in the manifest, and its row in the report.
    """
    images_at(scans, 1)
    table = tmp_path / "table.csv"
    table.write_text(f"source,name,customer,endpoint\n{scans}/00000.png,night/one,4711,dewarp\n")
    settings = SubmitSettings(output=manifest, base_url=receiver.base_url)
    async with open_submission(
        [table], settings, credentials=Credentials(access_token=TOKEN)
    ) as submission:
        await submission.run()
    (line,) = lines_of(manifest)
    assert (line["name"], line["customer"], line["endpoint"]) == ("night/one", "4711", "dewarp")
    assert receiver.submitted[0].path == "/v5.0/ocr/DewarpImage"


async def test_what_is_no_image_is_invalid_or_skipped(scans, tmp_path, receiver, report):
    """
    A file that was named and is no image has a line; one that a search finds is counted.
    """
    images_at(scans, 1)
    (scans / "notes.txt").write_text("no image")
    summary = await submit_all(scans, receiver.base_url)
    assert (summary.images, summary.skipped, summary.exit_code) == (1, 1, 0)
    summary = await submit_all(scans / "notes.txt", receiver.base_url, output=tmp_path / "m.jsonl")
    assert (summary.outcomes, summary.exit_code) == ({SubmitStatus.INVALID: 1}, 3)
    (line,) = results_of(tmp_path / "m.report.jsonl")
    assert (line["source"], line["reason"]) == (str(scans / "notes.txt"), "not_image")


async def test_a_limit_of_calls(scans, receiver):
    """
    The run stops before one call more, and the next goes on.
    """
    images_at(scans, 9)
    summary = await submit_all(scans, receiver.base_url, max_calls=4)
    assert (summary.exit_code, summary.calls, summary.left) == (4, 4, 5)
    assert summary.stopped_by == "max-calls"
    summary = await submit_all(scans, receiver.base_url, max_calls=5)
    assert (summary.exit_code, summary.already, summary.calls) == (0, 4, 5)


async def test_a_limit_of_time(scans, receiver):
    """
    When the time has passed nothing new is sent.
    """
    images_at(scans, 50)
    receiver.answers = 1
    async with (
        submitting(scans, receiver.base_url, max_runtime=3, concurrency=2) as submission,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(submission.run)
        while submission.summary.stopped_by is None:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.01)
        receiver.answers = inf
    summary = submission.summary
    assert (summary.exit_code, summary.stopped_by) == (4, "max-runtime")
    assert 0 < summary.outcomes[SUBMITTED] < 50
    assert set(receiver.images.values()) == {1}
    assert summary.outcomes[SUBMITTED] == receiver.posts


async def test_a_plan_touches_nothing(scans, receiver, tmp_path):
    """
    It counts what would be sent and what it would take, and writes nothing.
    """
    images_at(scans, 4, padding=100)
    (scans / "copy.png").write_bytes((scans / "00000.png").read_bytes())
    (scans / "notes.txt").write_text("no image")
    settings = SubmitSettings(output=tmp_path / "manifest.jsonl", price_per_call=0.5)
    before = sorted(tmp_path.rglob("*"))
    plan = await plan_submission([scans], settings)
    assert sorted(tmp_path.rglob("*")) == before
    assert (plan.images, plan.to_submit, plan.already, plan.skipped) == (5, 4, 1, 1)
    assert (plan.least_calls, plan.least_cost) == (4, 2.0)
    assert plan.bytes == sum(len(png_of(f"scans{n}", 100)) for n in range(4))
    receiver.acts = [no_answer(Ending.CLOSE)]
    await submit_all(scans, receiver.base_url, concurrency=1)
    plan = await plan_submission([scans], settings)
    assert (plan.to_submit, plan.uncertain, plan.already) == (0, 2, 3)
    plan = await plan_submission([scans], settings.model_copy(update={"again": True}))
    assert plan.to_submit == 3


async def test_one_run_at_a_time(scans, tmp_path, receiver):
    """
    Neither the report nor the manifest is written by two runs at once.
    """
    images_at(scans, 1)
    async with submitting(scans, receiver.base_url):
        with pytest.raises(OutputLockedError, match="writing the report"):
            await submit_all(scans, receiver.base_url)
        with pytest.raises(OutputLockedError, match="writing the manifest"):
            await submit_all(scans, receiver.base_url, report=tmp_path / "other.jsonl")
    assert receiver.posts == 0


FETCHED = {"task_id": "x", "outcome": "Failed", "reason": "http_500", "calls": 1, "name": None}


@pytest.mark.parametrize(
    "text", ["hello\n", f"{json.dumps(FETCHED)}\n", '{"a": 1}\n', "a,b\n1,2\n"]
)
async def test_a_report_of_another_kind_stays_as_it_is(scans, report, receiver, text):
    """
    A file that is no report of a submission is refused, that of `fetch` too.
    """
    images_at(scans, 1)
    report.write_text(text)
    with pytest.raises(SettingsError, match="none of them is a report's"):
        await submit_all(scans, receiver.base_url)
    assert (report.read_text(), receiver.posts) == (text, 0)


@pytest.mark.parametrize(
    "data",
    [
        *(b"hello\n", b"\x89PNG\r\n\x1a\n\0\0", b"id,name\n1,2\n", b"no end"),
        f"{json.dumps(FETCHED)}\n".encode(),
    ],
)
async def test_a_manifest_of_another_kind_stays_as_it_is(scans, manifest, report, receiver, data):
    """
    A file that is no manifest in JSON Lines is refused, and so is a report; a plan says the same.
    """
    images_at(scans, 1)
    manifest.write_bytes(data)
    with pytest.raises(SettingsError, match="stays as it is"):
        await submit_all(scans, receiver.base_url)
    with pytest.raises(SettingsError, match="stays as it is"):
        await plan_submission([scans], SubmitSettings(output=manifest))
    assert (manifest.read_bytes(), receiver.posts) == (data, 0)
    assert not report.exists()


async def test_a_manifest_that_is_a_folder(scans, receiver):
    """
    It is refused for what it is, although the folder is the source as well.
    """
    images_at(scans, 1)
    with pytest.raises(SettingsError, match="scans is a folder; name a file with --output"):
        await submit_all(scans, receiver.base_url, output=scans)
    assert receiver.posts == 0


async def test_a_manifest_that_is_there_is_appended_to(scans, manifest, receiver):
    """
    Lines of a manifest that somebody else wrote stay, the last of them without its end, too.
    """
    images_at(scans, 1)
    manifest.write_text('{"task_id": "one"}\n{"task_id": "two"}')
    await submit_all(scans, receiver.base_url)
    assert [line["task_id"] for line in lines_of(manifest)][:2] == ["one", "two"]
    assert len(lines_of(manifest)) == 3


async def test_what_a_run_appends_to_is_no_source(scans, manifest, receiver):
    """
    A manifest that is both would never end.
    """
    images_at(scans, 1)
    await submit_all(scans, receiver.base_url)
    with pytest.raises(SettingsError, match="is the manifest of this run"):
        await submit_all(manifest, receiver.base_url)


@pytest.mark.parametrize("kind", ["pipe", "/dev/full", "/dev/stdout", "/dev/fd/1"])
async def test_a_manifest_that_has_nothing_beside_it(scans, tmp_path, receiver, kind):
    """
    A pipe or a device has no room for a report beside it: that has to be named.
    """
    images_at(scans, 1)
    output = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(output)
    with pytest.raises(SettingsError, match=r"is no plain file.* name one with --report"):
        await submit_all(scans, receiver.base_url, output=output)
    assert receiver.posts == 0


async def test_a_full_disk_under_the_manifest(scans, receiver, report):
    """
    Without a manifest the run stops with 6, and what was in flight is in the report.
    """
    images_at(scans, 50)
    async with submitting(
        scans, receiver.base_url, output=Path("/dev/full"), report=report, concurrency=2
    ) as submission:
        with pytest.raises(StorageError, match="/dev/full"):
            await submission.run()
    assert submission.summary.exit_code == 6
    assert receiver.posts == len(results_of(report)) < 10
    summary = await submit_all(scans, receiver.base_url)
    assert summary.exit_code == 0
    assert set(receiver.images.values()) == {1}
    assert len(lines_of(scans.parent / "manifest.jsonl")) == 50


async def test_a_full_disk_under_the_report(scans, receiver):
    """
    Without a report nothing is sent.
    """
    images_at(scans, 5)
    async with submitting(scans, receiver.base_url, report=Path("/dev/full")) as submission:
        with pytest.raises(StorageError, match="/dev/full"):
            await submission.run()
    assert (submission.summary.exit_code, receiver.posts) == (6, 0)


@pytest.mark.parametrize("durability", ["none", "file", "full"])
async def test_every_durability_writes_the_same(scans, manifest, receiver, durability):
    """
    What is synced differs, and what is written does not.
    """
    images_at(scans, 5)
    summary = await submit_all(scans, receiver.base_url, durability=durability)
    assert (summary.exit_code, len(lines_of(manifest))) == (0, 5)


async def test_a_missing_manifest_is_not_made_up(scans, manifest, receiver):
    """
    A manifest that was taken away after a run that ended is the user's business.
    """
    images_at(scans, 2)
    await submit_all(scans, receiver.base_url)
    manifest.unlink()
    images_at(scans, 3)
    await submit_all(scans, receiver.base_url)
    assert [line["name"] for line in lines_of(manifest)] == ["00002"]


async def test_its_report_is_a_manifest(scans, report, receiver):
    """
    `fetch` takes the tasks of a submission's report; what has none is no row.
    """
    images_at(scans, 4)
    receiver.acts = [no_answer(Ending.CLOSE), status(503)]
    await submit_all(scans, receiver.base_url, concurrency=1)
    assert sum("outcome" not in line for line in lines_of(report)) > 4
    rows = list(Manifest(report))
    accepted = [line["task_id"] for line in results_of(report) if line["task_id"]]
    assert [row.task_id for row in rows] == accepted
    assert {row.name for row in rows} == {"00001", "00002", "00003"}
    assert all(row.submitted_at is not None for row in rows)


async def test_fetch_takes_no_report_of_a_submission_for_its_own(scans, report, receiver):
    """
    Not even one of failures alone, whose lines have all that a report of `fetch` needs.
    """
    images_at(scans, 2)
    receiver.acts = [status(400)] * 2
    await submit_all(scans, receiver.base_url)
    text = report.read_text()
    with pytest.raises(SettingsError, match="none of them is a report's"):
        require_report(report)
    assert report.read_text() == text


async def test_each_task_is_submitted_again_once(scans, tmp_path, receiver):
    """
    A row of a report of `fetch` is known by its old task, whatever its bytes were sent as before.
    """
    hashes = images_at(scans, 3)
    await submit_all(scans, receiver.base_url, output=tmp_path / "first.jsonl")
    fetched = tmp_path / "report.jsonl"
    rows = [
        {
            "task_id": f"old-{name}",
            "outcome": "NotExist",
            "reason": "expired",
            "calls": 1,
            "name": f"night/{name}",
            "extra": {"source": str(scans / f"{name}.png"), "customer": 7},
        }
        for name in hashes
    ]
    fetched.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    how = {"output": tmp_path / "again.jsonl", "only": "NotExist", "concurrency": 1}
    receiver.acts = [no_answer(Ending.CLOSE)]
    summary = await submit_all(fetched, receiver.base_url, **how)
    assert summary.outcomes == {SUBMITTED: 2, UNCERTAIN: 1}
    lines = lines_of(tmp_path / "again.jsonl")
    assert [line["resubmits"] for line in lines] == ["old-00001", "old-00002"]
    assert [line["name"] for line in lines] == ["night/00001", "night/00002"]
    assert all(line["customer"] == 7 for line in lines)
    # Once: what is uncertain included.
    summary = await submit_all(fetched, receiver.base_url, **how)
    assert (summary.already, summary.outcomes, summary.calls) == (2, {UNCERTAIN: 1}, 0)
    summary = await submit_all(fetched, receiver.base_url, **how, retry="Uncertain")
    assert (summary.already, summary.outcomes) == (2, {SUBMITTED: 1})
    summary = await submit_all(fetched, receiver.base_url, **how)
    assert (summary.already, summary.exit_code) == (3, 0)
    # The same image, expired a second time, is another task.
    rows[0]["task_id"] = lines_of(tmp_path / "again.jsonl")[-1]["task_id"]
    fetched.write_text(f"{json.dumps(rows[0])}\n")
    summary = await submit_all(fetched, receiver.base_url, **how)
    assert summary.outcomes == {SUBMITTED: 1}
    # And in the folder it comes from it is known by its bytes.
    how = {"output": tmp_path / "again.jsonl"}
    assert (await submit_all(scans, receiver.base_url, **how)).already == 3
