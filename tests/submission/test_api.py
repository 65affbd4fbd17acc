"""
Submitting from Python: what can be handed in, what is raised, and what a run that is left records.
"""

import anyio
import pytest
from receiver import Act, Receiver, no_answer, receiving, status
from replies import Ending
from submitting import HASTY, TOKEN, images_at, lines_of, open_intents, results_of, submitting

import batchfetch
from batchfetch import Credentials, ManifestError, SettingsError, SubmitSettings, SubmitStatus
from batchfetch.sources import SourceImage, Sources

SUBMITTED = {SubmitStatus.SUBMITTED: 1}


class Given(Sources):
    """
    Sources that are made up; an exception among them is raised.
    """

    def __init__(self, given):
        super().__init__([])
        self._given = given

    def check(self):
        """
        See `Sources.check`.
        """

    def __iter__(self):
        for source in self._given:
            if isinstance(source, Exception):
                raise source
            yield source


@pytest.fixture
def scans(tmp_path):
    """
    Where the images are.
    """
    return tmp_path / "scans"


def test_without_an_event_loop(scans, tmp_path):
    """
    `submit` returns the summary, and takes the settings by name.
    """
    images_at(scans, 2)
    with receiving(Receiver()) as receiver:
        summary = batchfetch.submit(
            scans,
            credentials=Credentials(access_token=TOKEN),
            output=tmp_path / "m.jsonl",
            base_url=receiver.base_url,
        )
    assert (summary.images, summary.exit_code) == (2, 0)
    assert len(lines_of(tmp_path / "m.jsonl")) == 2


@pytest.mark.anyio
async def test_in_an_event_loop(scans):
    """
    `submit` says which function is for a loop.
    """
    with pytest.raises(SettingsError, match="use open_submission"):
        batchfetch.submit(scans)


@pytest.mark.anyio
async def test_a_transport_that_cannot_submit(scans, tmp_path):
    """
    It is refused before anything is made.
    """

    class Asker:
        async def request_token(self, *_):
            return b""

    images_at(scans, 1)
    opened = batchfetch.open_submission(
        [scans],
        SubmitSettings(output=tmp_path / "m.jsonl"),
        credentials=Credentials(access_token=TOKEN),
        transport=Asker(),
    )
    with pytest.raises(SettingsError, match="cannot submit images"):
        async with opened:
            pass
    assert list(tmp_path.iterdir()) == [scans]


async def submit_given(sources, base_url, tmp_path):
    """
    Submit made-up sources; return the submission and what ended it.
    """
    settings = SubmitSettings(output=tmp_path / "manifest.jsonl", base_url=base_url)
    error = None
    async with batchfetch.open_submission(
        sources, settings, credentials=Credentials(access_token=TOKEN), retries=HASTY
    ) as submission:
        try:
            await submission.run()
        except batchfetch.BatchFetchError as exc:
            error = exc
    return submission, error


@pytest.mark.anyio
async def test_files_that_are_gone_or_emptied_by_their_turn(scans, tmp_path):
    """
    What was an image when it was found, and is none when it is read, is Invalid and stops nothing.
    """
    images_at(scans, 1)
    (scans / "empty.png").touch()
    paths = {name: scans / f"{name}.png" for name in ("gone", "empty", "00000")}
    sources = Given([SourceImage(path, name) for name, path in paths.items()])
    async with Receiver() as receiver:
        submission, error = await submit_given(sources, receiver.base_url, tmp_path)
    assert error is None
    assert submission.summary.outcomes == {**SUBMITTED, SubmitStatus.INVALID: 2}
    assert submission.summary.reasons == {"empty": 1, "unreadable": 1}
    invalid = {r["name"]: r for r in results_of(tmp_path / "manifest.report.jsonl")[:2]}
    assert invalid["gone"]["detail"] == f"{paths['gone']} cannot be read: No such file or directory"
    assert invalid["empty"]["source_sha256"] is None


@pytest.mark.anyio
@pytest.mark.parametrize("refused", [0, 1, 2])
async def test_an_image_waits_for_the_tasks_that_repeat_it(scans, tmp_path, refused):
    """
    While tasks with its bytes are submitted again, an image of a folder is not sent as well; it is
    if these fail.
    """
    hashes = images_at(scans, 1)
    path = scans / "00000.png"
    tasks = [SourceImage(path, f"night/{n}", key=f"old-{n}") for n in range(2)]
    async with Receiver([status(400)] * refused) as receiver:
        receiver.delay = 0.1
        sources = Given([*tasks, SourceImage(path, "00000")])
        submission, error = await submit_given(sources, receiver.base_url, tmp_path)
        assert error is None
        assert receiver.images == dict.fromkeys(hashes.values(), 2 + (refused == 2))
    assert submission.summary.images == 3
    assert submission.summary.already == (refused < 2)


@pytest.mark.anyio
async def test_a_failed_task_leaves_another_one_with_its_bytes_uncertain(scans, tmp_path):
    """
    An image whose bytes may have been accepted is not sent because a later task with them failed.
    """
    hashes = images_at(scans, 1)
    path = scans / "00000.png"
    tasks = [SourceImage(path, f"night/{n}", key=f"old-{n}") for n in range(2)]
    async with Receiver([no_answer(Ending.CLOSE), status(400)]) as receiver:
        for task in tasks:
            await submit_given(Given([task]), receiver.base_url, tmp_path)
        image = Given([SourceImage(path, "00000")])
        submission, _ = await submit_given(image, receiver.base_url, tmp_path)
        assert receiver.images == dict.fromkeys(hashes.values(), 2)
    assert submission.summary.outcomes == {SubmitStatus.UNCERTAIN: 1}


@pytest.mark.anyio
async def test_an_uncertain_task_stays_uncertain_when_its_file_is_unreadable(scans, tmp_path):
    """
    An Invalid line sends nothing, so it does not settle what became of the image before.
    """
    images_at(scans, 1)
    path = scans / "00000.png"
    data = path.read_bytes()
    outcomes = []
    async with Receiver([no_answer(Ending.CLOSE)]) as receiver:
        for content in (data, b"", data):
            path.write_bytes(content)
            task = Given([SourceImage(path, "night/0", key="old")])
            submission, _ = await submit_given(task, receiver.base_url, tmp_path)
            outcomes += submission.summary.outcomes
        assert receiver.posts == 1
    assert outcomes == [SubmitStatus.UNCERTAIN, SubmitStatus.INVALID, SubmitStatus.UNCERTAIN]


@pytest.mark.anyio
async def test_a_table_that_breaks_off(scans, tmp_path):
    """
    What was read of it is submitted; then it is exit code 2.
    """
    images_at(scans, 1)
    sources = Given([SourceImage(scans / "00000.png", "a"), ManifestError("line 2 is garbled")])
    async with Receiver() as receiver:
        submission, error = await submit_given(sources, receiver.base_url, tmp_path)
    assert isinstance(error, ManifestError)
    assert (submission.summary.outcomes, submission.summary.exit_code) == (SUBMITTED, 2)


@pytest.mark.anyio
async def test_a_run_that_is_left_records_what_it_cuts_off(scans, tmp_path):
    """
    An image of which not all was sent was not accepted: the next run submits it.
    """
    images_at(scans, 1, padding=40_000_000)
    report = tmp_path / "manifest.report.jsonl"
    async with Receiver([Act(reads=0.1, ending=Ending.HANG)]) as receiver:
        async with submitting(scans, receiver.base_url) as submission:
            with anyio.move_on_after(60) as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(submission.run)
                    await receiver.begun.wait()
                    scope.cancel()
        assert open_intents(report) == []
        assert [line["ended"] for line in lines_of(report) if "ended" in line] == ["stopped"]
        assert submission.summary.left == 1
        async with submitting(scans, receiver.base_url) as submission:
            await submission.run()
    assert submission.summary.outcomes == SUBMITTED
    assert len(receiver.submitted) == 1
