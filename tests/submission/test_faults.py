"""
What fails before, in and after the body of a submission, and what is done about it.
"""

import anyio
import pytest
from receiver import Act, Receiver, half_answer, no_answer, status
from replies import Ending, http, raw
from submitting import images_at, lines_of, open_intents, results_of, submit_all, submitting

from batchfetch.errors import CredentialsError, UnavailableError
from batchfetch.service import Credentials
from batchfetch.submit_settings import SubmitStatus

pytestmark = pytest.mark.anyio

CLOSE, RESET, HANG = Ending.CLOSE, Ending.RESET, Ending.HANG
RENEWABLE = Credentials(client_id="id", client_secret="secret")


@pytest.fixture
def scans(tmp_path):
    """
    Where the images are.
    """
    return tmp_path / "scans"


def report_of(folder):
    return folder.parent / "manifest.report.jsonl"


def manifest_of(folder):
    return folder.parent / "manifest.jsonl"


def runs_of(folder):
    return lines_of(folder.parent / "manifest.report.runs.jsonl")


async def test_all_is_accepted(scans):
    """
    Every image arrives whole and once, has a result, and a line of the manifest.
    """
    hashes = images_at(scans, 20)
    async with Receiver() as receiver:
        summary = await submit_all(scans, receiver.base_url)
    assert receiver.images == dict.fromkeys(hashes.values(), 1)
    assert (summary.outcomes, summary.calls) == ({SubmitStatus.SUBMITTED: 20}, 20)
    assert (summary.exit_code, summary.images, summary.left) == (0, 20, 0)
    given = {each.sha256: each.task_id for each in receiver.submitted}
    manifest = lines_of(manifest_of(scans))
    assert {line["name"]: line["task_id"] for line in manifest} == {
        name: given[sha256] for name, sha256 in hashes.items()
    }
    for line in manifest:
        assert line["source"] == str(scans / f"{line['name']}.png")
        assert line["source_sha256"] == hashes[line["name"]]
        assert line["endpoint"] == "deskew"
        assert line["submitted_at"].endswith("Z")
    assert open_intents(report_of(scans)) == []


@pytest.mark.parametrize("reads", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("ending", [CLOSE, RESET])
async def test_a_fault_before_the_last_byte_is_sent_again(scans, reads, ending):
    """
    What cannot have arrived whole was not accepted: it is tried again, and accepted once.
    """
    hashes = images_at(scans, 3, padding=40_000_000)  # More than the system takes ahead.
    acts = [Act(reads=reads, ending=ending)] * 2
    async with Receiver(acts) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1)
    assert receiver.images == dict.fromkeys(hashes.values(), 1)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 3}
    assert summary.calls == 5
    assert open_intents(report_of(scans)) == []


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(no_answer(CLOSE), id="closed"),
        pytest.param(no_answer(RESET), id="reset"),
        pytest.param(half_answer(CLOSE), id="half, closed"),
        pytest.param(half_answer(RESET), id="half, reset"),
        pytest.param(Act(reply=raw(b"HTTP/1.1 200", ending=CLOSE)), id="half a head"),
        pytest.param(Act(reply=raw(b"nonsense\r\n\r\n", ending=CLOSE)), id="no HTTP"),
        pytest.param(Act(reply=http(b"")), id="empty"),
        pytest.param(Act(reply=http(b"<html>")), id="a page"),
        pytest.param(Act(reply=http(b'{"id": "x"}')), id="an object"),
        pytest.param(Act(reply=http(b'"two words"')), id="two words"),
        pytest.param(Act(reply=http(b"null")), id="null"),
        pytest.param(Act(reply=http(b"false")), id="a value that is no text"),
        pytest.param(Act(reply=http(b'"NULL"')), id="a word for no value"),
        pytest.param(Act(reply=http(b"'id'")), id="quotes that a manifest takes off"),
        pytest.param(Act(reply=http(b"x" * 100_000)), id="too long"),
        pytest.param(status(204), id="204"),
        pytest.param(status(502), id="502"),
        pytest.param(status(504), id="504"),
        pytest.param(status(520), id="520"),
    ],
)
async def test_a_lost_answer_is_uncertain_and_never_sent_again(scans, act):
    """
    Whatever is lost after the last byte may have been accepted; only `--retry Uncertain` sends it.
    """
    hashes = images_at(scans, 3)
    async with Receiver([act]) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1)
        assert summary.outcomes == {SubmitStatus.SUBMITTED: 2, SubmitStatus.UNCERTAIN: 1}
        assert (summary.reasons, summary.exit_code) == ({"answer_lost": 1}, 3)
        assert receiver.images == dict.fromkeys(hashes.values(), 1)
        # Later runs leave it alone, and say so each time.
        for _ in range(2):
            summary = await submit_all(scans, receiver.base_url)
            assert summary.outcomes == {SubmitStatus.UNCERTAIN: 1}
            assert (summary.already, summary.calls, summary.exit_code) == (2, 0, 3)
        assert receiver.posts == 3
        summary = await submit_all(scans, receiver.base_url, retry="uncertain")
        assert (summary.outcomes, summary.exit_code) == ({SubmitStatus.SUBMITTED: 1}, 0)
        summary = await submit_all(scans, receiver.base_url)
        assert (summary.already, summary.calls, summary.exit_code) == (3, 0, 0)
    assert len(lines_of(manifest_of(scans))) == 3
    assert receiver.posts == 4


async def test_a_fault_after_the_last_byte_was_handed_over_is_uncertain(scans):
    """
    What the system has taken may arrive, however little the service had read when it was last seen.
    """
    hashes = images_at(scans, 2)
    async with Receiver([Act(reads=0.5, ending=CLOSE)]) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1)
        assert summary.outcomes == {SubmitStatus.SUBMITTED: 1, SubmitStatus.UNCERTAIN: 1}
        summary = await submit_all(scans, receiver.base_url)
    assert (summary.outcomes, receiver.posts) == ({SubmitStatus.UNCERTAIN: 1}, 2)
    assert receiver.images.keys() < set(hashes.values())


async def test_an_image_that_is_taken_no_further_is_sent_again(scans):
    """
    A service that stops reading is given up; what it has not got it cannot have accepted.
    """
    images_at(scans, 2, padding=20_000_000)
    short = {"connect_timeout": 2, "read_timeout": 2}
    async with Receiver([Act(reads=0.1, ending=HANG)]) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1, **short)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 2}
    ended = [line["ended"] for line in lines_of(report_of(scans)) if "ended" in line]
    assert ended == ["timeout"]


async def test_an_answer_that_does_not_come_is_lost(scans):
    """
    A service that has the image and says nothing is given up, and the image is Uncertain.
    """
    images_at(scans, 2)
    short = {"connect_timeout": 0.5, "read_timeout": 0.5}
    async with Receiver([no_answer(HANG)]) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1, **short)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 1, SubmitStatus.UNCERTAIN: 1}


async def test_a_slow_line_is_no_fault(scans):
    """
    An image may take as long as it keeps moving, however short the time-outs.
    """
    images_at(scans, 1, padding=24_000_000)
    short = {"connect_timeout": 2, "read_timeout": 2}
    async with Receiver() as receiver:
        receiver.slowness = 0.05
        summary = await submit_all(scans, receiver.base_url, **short)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 1}
    assert summary.seconds > 4


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
async def test_a_passing_answer_is_tried_again(scans, code):
    """
    A complete answer that says "not now" is one: the image was not accepted.
    """
    hashes = images_at(scans, 2)
    async with Receiver([status(code)] * 2) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1)
    assert (summary.outcomes, summary.exit_code) == ({SubmitStatus.SUBMITTED: 2}, 0)
    assert summary.calls == receiver.posts == 4
    assert set(receiver.images) == set(hashes.values())
    ended = [line["ended"] for line in lines_of(report_of(scans)) if "ended" in line]
    assert ended == [f"http_{code}"] * 2


async def test_attempts_end(scans):
    """
    After so many tries a passing fault is Failed; the next run tries again.
    """
    images_at(scans, 1)
    async with Receiver([status(500)] * 3) as receiver:
        retries = {"attempts": 3, "retries": None}
        summary = await submit_all(scans, receiver.base_url, **retries)
        assert (summary.outcomes, summary.calls) == ({SubmitStatus.FAILED: 1}, 3)
        assert (summary.reasons, summary.exit_code) == ({"http_500": 1}, 3)
        summary = await submit_all(scans, receiver.base_url, **retries)
        assert summary.outcomes == {SubmitStatus.SUBMITTED: 1}
    (failed, submitted) = results_of(report_of(scans))
    assert (failed["outcome"], failed["calls"], failed["task_id"]) == ("Failed", 3, None)
    assert (submitted["outcome"], submitted["calls"]) == ("Submitted", 1)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (status(400), "http_400"),
        (status(413), "http_413"),
        (status(415), "http_415"),
        (status(301, "Location: http://127.0.0.1:9/"), "redirect"),
    ],
)
async def test_another_refusal_is_failed(scans, act, reason):
    """
    A complete answer that says no decides about its image, and about no other.
    """
    images_at(scans, 3)
    async with Receiver([act]) as receiver:
        summary = await submit_all(scans, receiver.base_url, concurrency=1)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 2, SubmitStatus.FAILED: 1}
    assert (summary.reasons, summary.calls) == ({reason: 1}, 3)


async def test_an_early_answer_is_an_answer(scans):
    """
    A service that refuses a large image before it has all of it is not asked again.
    """
    images_at(scans, 1, padding=20_000_000)
    act = Act(reads=0.1, reply=http(b"", 413), ending=HANG)
    async with Receiver([act]) as receiver:
        summary = await submit_all(scans, receiver.base_url)
    assert (summary.outcomes, summary.reasons) == ({SubmitStatus.FAILED: 1}, {"http_413": 1})


async def test_a_dead_token_is_renewed(scans):
    """
    Two images that are refused show that the token is dead; with another both are accepted.
    """
    hashes = images_at(scans, 6)
    async with Receiver() as receiver:
        receiver.refused_tokens = {"granted-1"}
        summary = await submit_all(scans, receiver.base_url, credentials=RENEWABLE, concurrency=2)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 6}
    assert receiver.images == dict.fromkeys(hashes.values(), 1)
    assert receiver.tokens == 2


async def test_refused_credentials_end_the_run(scans):
    """
    A token that is refused and cannot be renewed ends the run; nothing is lost.
    """
    images_at(scans, 5)
    async with Receiver() as receiver:
        receiver.refused_tokens = {"t0p-s3cret-t0ken"}
        async with submitting(scans, receiver.base_url) as submission:
            with pytest.raises(CredentialsError):
                await submission.run()
        summary = submission.summary
        assert (summary.exit_code, summary.left, summary.stopped_by) == (5, 5, "credentials")
        assert open_intents(report_of(scans)) == []
        summary = await submit_all(scans, receiver.base_url, credentials=RENEWABLE)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 5}


async def test_a_service_that_cannot_be_reached_is_waited_for(scans):
    """
    While nothing can connect the run is held; when the service is back all is sent, once.
    """
    hashes = images_at(scans, 8)
    async with Receiver() as receiver:
        await receiver.go_away()
        async with submitting(scans, receiver.base_url, outage=0.5) as submission:
            with pytest.raises(UnavailableError):
                await submission.run()
        summary = submission.summary
        assert (summary.exit_code, summary.calls, summary.left) == (8, 0, 8)
        assert summary.stopped_by == "unreachable"
        (run,) = [run for run in runs_of(scans) if run["ended_at"]]
        (outage,) = run["interruptions"]
        assert outage["cause"] == "outage"
        assert "Connection refused" in outage["reason"]
        assert outage["seconds"] >= 0.5
        await receiver.listen()
        summary = await submit_all(scans, receiver.base_url)
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 8}
    assert receiver.images == dict.fromkeys(hashes.values(), 1)


async def test_a_service_that_turns_everything_away_ends_the_run(scans):
    """
    After thirty refusals in a row one more image is tried, and then no other.
    """
    images_at(scans, 60)
    async with (
        Receiver([status(404)] * 60) as receiver,
        submitting(scans, receiver.base_url, concurrency=4) as submission,
    ):
        with pytest.raises(UnavailableError):
            await submission.run()
    summary = submission.summary
    assert (summary.exit_code, summary.stopped_by) == (8, "refusals")
    assert 31 <= summary.calls <= 34
    assert summary.left == summary.images - summary.outcomes[SubmitStatus.FAILED] > 0


async def test_lost_answers_hold_the_run(scans):
    """
    When answer after answer is lost, the run is held instead of losing them all.
    """
    images_at(scans, 100)
    async with (
        Receiver([no_answer(CLOSE)] * 100) as receiver,
        submitting(scans, receiver.base_url, concurrency=4, outage=1, retries=None) as submission,
    ):
        with pytest.raises(UnavailableError):
            await submission.run()
    summary = submission.summary
    assert summary.exit_code == 8
    assert summary.outcomes[SubmitStatus.UNCERTAIN] == receiver.posts < 20
    assert max(receiver.images.values()) == 1


async def test_a_pause_that_the_service_asks_for_is_kept(scans):
    """
    A 429 with Retry-After pauses all images.
    """
    images_at(scans, 4)
    seen = []

    async def watch(submission):
        while not seen:
            await anyio.sleep(0.01)
            seen.extend(each for each in [submission.progress] if each.interruption is not None)

    async with (
        Receiver([status(429, "Retry-After: 1")]) as receiver,
        submitting(scans, receiver.base_url, concurrency=1) as submission,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(watch, submission)
        await submission.run()
    summary = submission.summary
    assert summary.outcomes == {SubmitStatus.SUBMITTED: 4}
    assert summary.seconds >= 1
    (progress,) = seen
    assert (progress.interruption.cause, progress.decided) == ("pause", 0)
    assert "429" in progress.interruption.reason
    assert submission.progress.interruption is None
    (pause,) = runs_of(scans)[-1]["interruptions"]
    assert (pause["cause"], pause["seconds"]) == ("pause", pytest.approx(1, abs=0.01))
