"""
The public API's own sentences, and what it reads back.
"""

import anyio
import pytest
from command import LIMIT
from scripted import ScriptedTransport
from wiring import local_storage

import batchfetch
from batchfetch import (
    BatchFetchError,
    Credentials,
    Manifest,
    ReportError,
    Settings,
    SettingsError,
    fetch,
    open_batch,
    read_report,
)
from batchfetch.settings import Durability

TOKEN = Credentials(access_token="a-token")


@pytest.mark.anyio
async def test_text_is_no_jobs():
    """
    The name of a manifest is not read as ids of one letter each.
    """
    with pytest.raises(SettingsError, match=r"did you mean Manifest\('manifest\.csv'\)"):
        async with open_batch("manifest.csv", Settings(), credentials=TOKEN):
            pass
    with pytest.raises(SettingsError, match="7 is no jobs"):
        async with open_batch(7, Settings(), credentials=TOKEN):
            pass


@pytest.mark.anyio
async def test_fetch_in_a_running_loop_says_what_to_use():
    """
    As in a notebook.
    """
    with pytest.raises(SettingsError, match=r"use open_batch\(\) there"):
        fetch(jobs=["a"])


@pytest.mark.parametrize(("manifests", "jobs"), [((), None), (("a.csv",), ["a"])])
def test_fetch_takes_manifests_or_jobs(manifests, jobs):
    """
    One of them, and not both.
    """
    with pytest.raises(SettingsError, match="and not both"):
        fetch(*manifests, jobs=jobs)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Settings(concurrency="many"),
        lambda: Settings(conurrency=3),
        lambda: Credentials(client_id="a"),
        lambda: Manifest("no-such.csv").check(),
        lambda: fetch("no-such.csv", patience="soon"),
        lambda: read_report("no-such-folder"),
        lambda: read_report("x" * 300),
    ],
    ids=["value", "name", "credentials", "manifest", "fetch", "report", "report's name"],
)
def test_every_error_is_one_of_ours(mistake):
    """
    A caller needs to catch one class, and gets one sentence.
    """
    with pytest.raises(BatchFetchError) as caught:
        mistake()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.anyio
async def test_report_is_read_back(tmp_path):
    """
    The last line of each task, of unusable rows too, whatever was edited by hand between them.
    """
    settings = Settings(output=tmp_path / "out", durability="none")
    jobs = ["a", "two\nlines", "a", "c"]
    async with open_batch(
        jobs, settings, credentials=TOKEN, transport=ScriptedTransport()
    ) as batch:
        found = [outcome async for outcome in batch]
    with settings.report_path.open("a") as report:
        report.write('no outcome\n{"task_id":"d","outcome":"Error","calls":1,"messages":7}\n')
        report.write('{"task_id":"A","outcome":"Failed","reason":"timeout","calls":2}\n')
    last = {outcome.task_id: outcome for outcome in read_report(settings.output)}
    assert last.keys() == {None, "c", "A"}
    assert (last["A"].status, last["A"].reason) == ("Failed", "timeout")
    assert last["c"] in found
    with pytest.raises(ReportError, match="there is no report at"):
        read_report(tmp_path)


@pytest.mark.anyio
async def test_a_storage_of_the_caller_is_locked(tmp_path):
    """
    A folder that is handed in is held like any other storage.
    """
    async with local_storage(tmp_path / "out", Durability.NONE):
        with pytest.raises(batchfetch.OutputLockedError):
            async with open_batch(["a"], Settings(output=tmp_path / "out"), credentials=TOKEN):
                pass


@pytest.mark.anyio
async def test_a_run_does_not_wait_for_a_caller_who_does_not_read(tmp_path):
    """
    5000 tasks are asked, written and counted while not one outcome is taken; then all are there.
    """
    settings = Settings(output=tmp_path / "out", durability="none", checksum="none")
    jobs = [f"task{number}" for number in range(5000)]
    async with open_batch(
        jobs, settings, credentials=TOKEN, transport=ScriptedTransport()
    ) as batch:
        with anyio.fail_after(LIMIT):
            while batch.progress.decided < len(jobs):  # noqa: ASYNC110 - the batch tells nobody
                await anyio.sleep(0.01)
        assert settings.report_path.read_bytes().count(b"\n") == len(jobs)
        found = [outcome async for outcome in batch]
    assert sorted(outcome.task_id for outcome in found) == sorted(jobs)
    assert found == list(read_report(settings.output))


@pytest.mark.anyio
async def test_a_run_does_not_wait_for_a_caller_who_stops_in_the_middle(tmp_path):
    """
    With outcomes of earlier runs among them: what is left is decided and written all the same.
    """
    settings = Settings(output=tmp_path / "out", durability="none", checksum="none")
    jobs = [f"task{number}" for number in range(2000)]
    async with open_batch(
        jobs[::2], settings, credentials=TOKEN, transport=ScriptedTransport()
    ) as batch:
        _ = [outcome async for outcome in batch]
    async with open_batch(
        *(jobs, settings),
        credentials=TOKEN,
        transport=ScriptedTransport(),
        include_settled=True,
    ) as batch:
        found = [await anext(batch)]
        with anyio.fail_after(LIMIT):
            while batch.progress.decided < len(jobs):  # noqa: ASYNC110 - the batch tells nobody
                await anyio.sleep(0.01)
        found += [outcome async for outcome in batch]
    assert sorted(outcome.task_id for outcome in found) == sorted(jobs)
    assert (batch.summary.already, batch.summary.calls) == (1000, 1000)
