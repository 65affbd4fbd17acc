"""
A whole batch, from rows to report: against the stand-in, and on virtual time for its endings.
"""

import asyncio
import itertools
import json
import os
import resource
import sys
import threading
from contextlib import asynccontextmanager
from math import inf

import anyio
import pytest
import replies
from command import images_in, parts_in
from descriptors import open_files
from origin import Origin, serving
from replies import png_of
from scripted import ScriptedTransport, Unsent, pending, ready, says, status
from virtual import VirtualLoop
from wiring import downloader, local_storage

from batchfetch import (
    BadRow,
    Credentials,
    CredentialsError,
    Job,
    Manifest,
    ManifestError,
    OutcomeStatus,
    OutputLockedError,
    ReportError,
    Settings,
    SettingsError,
    StorageError,
    Summary,
    UnavailableError,
    fetch,
    open_batch,
)
from batchfetch.errors import ConnectionLostError, UnreachableError, UntrustedServerError
from batchfetch.report import open_report
from batchfetch.report.ledger import Ledger
from batchfetch.report.recorder import Recorder
from batchfetch.run.batch import Batch
from batchfetch.run.fetcher import LocalFetcher, Parts
from batchfetch.run.intake import Intake
from batchfetch.sandbox import SandboxSettings, open_sandbox
from batchfetch.scheduling import LocalPace
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.service import TokenSource
from batchfetch.tuning import IO_THREADS

pytestmark = pytest.mark.anyio

TOKEN = Credentials(access_token="a-token")
PAIR = Credentials(client_id="an-id", client_secret="a-secret")
FOREVER = 1e6
AWAY = Unsent(ConnectionLostError("refused"))

on_virtual_time = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": VirtualLoop})], ids=["virtual"]
)


@pytest.fixture
def out(tmp_path):
    """
    Where images go.
    """
    return tmp_path / "out"


@pytest.fixture
def running(out):
    """
    Start a batch over a scripted transport, wired as `open_batch` does it.
    """

    @asynccontextmanager
    async def running(rows, transport, *, report=None, attended=False, **settings):
        settings = Settings(output=out, **settings)
        retries = RetryPolicy(2, initial=0.01)
        async with (
            local_storage(out, settings.durability) as storage,
            open_report(settings.report_path, settings.durability) as writer,
        ):
            recorder = Recorder(report or writer.write)
            pace = LocalPace(
                slots=settings.concurrency, rate=settings.rate, max_calls=settings.max_calls
            )
            deadline = anyio.current_time() + (settings.max_runtime or inf)
            parts = Parts(
                downloader(transport, storage, settings),
                TokenSource(TOKEN, None),
                *(pace, retries, settings, recorder.record),
                attended=attended,
                deadline=deadline,
            )
            batch = Batch(
                Intake(rows, Ledger(), storage, settings, inline=storage.executor.inline),
                *(recorder, LocalFetcher(parts), settings),
                deadline=deadline,
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(batch.run)
                try:
                    yield batch
                finally:
                    batch.abandon()

    return running


def report_of(out):
    """
    Return the lines of the report.
    """
    text = (out / "report.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


async def drained(batch):
    """
    Iterate to the end; return the outcomes, and the error the iteration ended with, if any.
    """
    outcomes = []
    try:
        async for outcome in batch:
            outcomes.append(outcome)  # noqa: PERF401 - kept if the iteration ends with an error
    except (CredentialsError, StorageError, ManifestError, UnavailableError) as exc:
        return outcomes, exc
    return outcomes, None


async def test_quick_start(out):
    """
    Ids in; images, outcomes, a report and a summary out.
    """
    task_ids = ["sample-small", "sample-error", "sample-unknown", "one-more"]
    async with open_sandbox(SandboxSettings(processing_time=0)) as sandbox:
        settings = Settings(output=out, base_url=sandbox.url)
        async with open_batch(task_ids, settings, credentials=PAIR) as outcomes:
            found = {outcome.task_id: outcome async for outcome in outcomes}
        calls = sandbox.calls
    statuses = [found[task_id].status for task_id in task_ids]
    assert statuses == ["Completed", "Error", "NotExist", "Completed"]
    assert set(images_in(out)) == {"sample-small", "one-more"}
    assert {line["task_id"] for line in report_of(out)} == set(task_ids)
    summary = outcomes.summary
    assert summary == Summary(
        tasks=4,
        outcomes={
            OutcomeStatus.COMPLETED: 2,
            OutcomeStatus.ERROR: 1,
            OutcomeStatus.NOT_EXIST: 1,
        },
        reasons={"service_error": 1, "not_found": 1},
        adopted=0,
        already=0,
        left=0,
        calls=calls,
        calls_per_image=calls / 2,
        asked_too_early=summary.asked_too_early,
        cost=None,
        token_requests=1,
        bytes=sum(map(len, images_in(out).values())),
        seconds=summary.seconds,
        exit_code=3,
        stopped_by=None,
    )
    assert summary.calls == sum(outcome.calls for outcome in found.values())


async def test_what_is_adopted_counts_in_no_average(out):
    """
    An image in place is Completed and adopted; averages, bytes and cost are those of the others.
    """
    out.mkdir()
    (out / "adopted.png").write_bytes(png_of("adopted", 5000))
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url, price_per_call=0.1)
        rows = ["adopted", "a", "b", "b", BadRow("bad_row", "no id"), BadRow("bad_row", "no id")]
        async with open_batch(rows, settings, credentials=TOKEN) as batch:
            await drained(batch)
    summary = batch.summary
    assert summary.outcomes == {OutcomeStatus.COMPLETED: 3, OutcomeStatus.INVALID: 2}
    assert (summary.adopted, summary.calls, summary.calls_per_image) == (1, 2, 1.0)
    assert summary.bytes == batch.progress.bytes == len(png_of("a")) + len(png_of("b"))
    assert summary.cost == 0.2
    assert summary.reasons == {"bad_row": 2}


async def test_second_run_has_nothing_to_do(out):
    """
    What the first run settled costs the second no call, not even for a token.
    """
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        for expected in (3, 0):
            async with open_batch(["a", "b", "c"], settings, credentials=PAIR) as batch:
                await drained(batch)
            assert batch.summary.calls == expected
    assert len(origin.token_requests) == 1
    assert (batch.summary.already, batch.summary.exit_code) == (3, 0)
    assert len(report_of(out)) == 3


async def test_rows_of_every_kind(out):
    """
    Jobs, bare ids and unusable rows may be mixed; a repeated id is one task.
    """
    rows = [Job("a", "folder/named.png"), "b", BadRow("bad_row", "no id", line=3), "B", "c/d"]
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        async with open_batch(iter(rows), settings, credentials=TOKEN) as batch:
            await drained(batch)
    assert batch.summary.tasks == 4
    assert batch.summary.outcomes == {"Completed": 3, "Invalid": 1}
    assert set(images_in(out)) == {"folder/named", "b", "c%2Fd"}


async def test_no_rows(out):
    """
    An empty manifest is done at once, and well.
    """
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        async with open_batch([], settings, credentials=PAIR) as batch:
            assert await drained(batch) == ([], None)
    assert (batch.summary.tasks, batch.summary.exit_code) == (0, 0)
    assert origin.token_requests == []


def test_fetch(out, tmp_path):
    """
    The synchronous call runs a manifest to its end and returns what it came to.
    """
    (tmp_path / "m.txt").write_text("a\nb\n")
    with serving(Origin()) as origin:
        summary = fetch(tmp_path / "m.txt", credentials=TOKEN, output=out, base_url=origin.base_url)
    assert (summary.tasks, summary.calls, summary.exit_code) == (2, 2, 0)
    assert summary.bytes == len(png_of("a")) + len(png_of("b"))
    assert summary.stopped_by is None
    assert images_in(out) == {"a": png_of("a"), "b": png_of("b")}


def test_fetch_that_fails(out, tmp_path):
    """
    What ended the run comes out of `fetch`, too.
    """
    (tmp_path / "m.txt").write_text("a\n")
    refusing = Origin(tokens=[replies.status(401)])
    with serving(refusing) as origin, pytest.raises(CredentialsError, match="refuses the"):
        fetch(tmp_path / "m.txt", credentials=PAIR, output=out, base_url=origin.base_url)


@pytest.mark.parametrize("settings", [{"concurency": 3}, {"concurrency": 0}, {"rate": "fast"}])
def test_fetch_with_a_setting_that_makes_no_sense(tmp_path, settings):
    """
    A wrong setting is an error of ours, before anything is touched.
    """
    with pytest.raises(SettingsError, match=next(iter(settings))):
        fetch(tmp_path / "m.txt", credentials=TOKEN, output=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


async def test_credentials_of_the_environment(out, monkeypatch):
    """
    Without credentials those of the environment are used; without any nothing is touched.
    """
    for name in list(os.environ):
        if name.startswith(("BATCHFETCH_", "CREDENTIALS_")):
            monkeypatch.delenv(name)
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        with pytest.raises(SettingsError, match="no credentials"):
            async with open_batch(["a"], settings):
                pass
        assert not out.exists()
        monkeypatch.setenv("BATCHFETCH_ACCESS_TOKEN", "of-the-environment")
        async with open_batch(["a"], settings) as batch:
            await drained(batch)
    assert origin.calls[0].headers["authorization"] == "Bearer of-the-environment"


async def test_manifest_that_is_none(out, tmp_path):
    """
    A file that is no manifest stops it before anything is touched.
    """
    (tmp_path / "m.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError):
        async with open_batch(
            Manifest(tmp_path / "m.csv"), Settings(output=out), credentials=TOKEN
        ):
            pass
    assert not out.exists()


async def test_second_run_on_one_output(out):
    """
    While a run holds the output another is told so.
    """
    settings = Settings(output=out)
    async with open_batch([], settings, credentials=TOKEN):
        with pytest.raises(OutputLockedError):
            async with open_batch([], settings, credentials=TOKEN):
                pass


async def test_leaving_early(out):
    """
    Leaving the block gives up what is in flight, at once; what was decided is in the report.
    """
    before = open_files()
    threads = threading.active_count()
    async with Origin({"stuck": [replies.silence]}) as origin:
        listening = open_files()
        settings = Settings(output=out, base_url=origin.base_url)
        rows = ["stuck", *map(str, range(3000))]
        async with open_batch(rows, settings, credentials=TOKEN) as batch:
            async for _ in batch:
                break
        assert len(open_files()) <= len(listening) + settings.concurrency  # The origin's side.
    assert len(report_of(out)) == len(images_in(out)) == sum(batch.summary.outcomes.values()) >= 1
    assert parts_in(out) == []
    assert batch.summary.left > 0
    assert (batch.summary.stopped_by, batch.summary.exit_code) == ("abandoned", 4)
    await asyncio.sleep(0.01)  # Sockets are closed in the loop's next turn.
    assert len(open_files()) <= len(before) + 1
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("batchfetch")]
    assert ours == []
    # anyio keeps its own for a while, for whoever needs one next.
    assert threading.active_count() <= threads + IO_THREADS + 3


async def test_leaving_with_thousands_unread(out):
    """
    Outcomes that nobody reads do not hold up the end.
    """
    rows = (BadRow("bad_row", "no id", line=line) for line in range(5000))
    async with open_batch(rows, Settings(output=out), credentials=TOKEN) as batch:
        await anyio.wait_all_tasks_blocked()
    assert len(report_of(out)) == batch.summary.outcomes["Invalid"] > 0


async def test_error_of_the_caller(out):
    """
    An exception in the caller's block comes out as it is, and what was decided is in the report.
    """
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        with pytest.raises(KeyError, match="mine"):
            async with open_batch(map(str, range(2000)), settings, credentials=TOKEN) as batch:
                async for _ in batch:
                    raise KeyError("mine")
    assert len(report_of(out)) == len(images_in(out))
    assert parts_in(out) == []


async def test_cancelled_from_outside(out):
    """
    A caller who is cancelled ends the run, and what was decided is in the report.
    """
    async with Origin({"stuck": [replies.silence]}) as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        rows = ["stuck", *map(str, range(100))]
        with anyio.CancelScope() as scope:
            async with open_batch(rows, settings, credentials=TOKEN) as batch:
                async for _ in batch:
                    if sum(batch.progress.outcomes.values()) == 100:
                        scope.cancel()
    assert scope.cancelled_caught
    assert len(report_of(out)) == len(images_in(out)) == 100
    assert parts_in(out) == []


async def test_defect_comes_out_bare(out):
    """
    What batchfetch does not raise on purpose is not hidden, nor wrapped.
    """

    def rows():
        yield "a"
        raise ZeroDivisionError("a defect of the caller's iterator")

    with pytest.raises(ZeroDivisionError):
        async with open_batch(rows(), Settings(output=out), credentials=TOKEN) as batch:
            await drained(batch)


async def test_two_errors_stay_together(out):
    """
    When the caller's block and the run both fail neither error is lost.
    """

    def rows():
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_batch(rows(), Settings(output=out), credentials=TOKEN):
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError
    assert caught.group_contains(ZeroDivisionError)
    assert caught.group_contains(KeyError)


async def test_report_that_cannot_be_written(out):
    """
    A full disk under the report ends the run with that, however many outcomes wait.
    """
    rows = (BadRow("bad_row", "no id", line=line) for line in range(5000))
    settings = Settings(output=out, report="/dev/full")
    async with open_batch(rows, settings, credentials=TOKEN) as batch:
        outcomes, error = await drained(batch)
    assert isinstance(error, ReportError)
    assert outcomes == []
    assert (batch.summary.exit_code, batch.summary.stopped_by) == (6, "storage")
    assert batch.summary.outcomes == {}


async def test_few_open_files_mean_few_in_flight(out, caplog):
    """
    No more is asked at once than the open files allow, and the log says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url, concurrency=500)
        resource.setrlimit(resource.RLIMIT_NOFILE, (120, hard))
        try:
            async with open_batch(map(str, range(200)), settings, credentials=TOKEN) as batch:
                await drained(batch)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert origin.most_in_flight <= 32
    assert batch.summary.exit_code == 0
    assert "32 requests in flight instead of 500" in caplog.text


async def test_progress(out):
    """
    Where a run stands can be seen at any time.
    """
    async with Origin() as origin:
        settings = Settings(output=out, base_url=origin.base_url)
        rows = ["a", "b", BadRow("bad_row", "no id")]
        async with open_batch(rows, settings, credentials=TOKEN) as batch:
            assert batch.progress.decided == 0
            await drained(batch)
            done = batch.progress
    assert (done.tasks, done.all_read, done.decided, done.calls) == (3, True, 3, 2)
    assert (done.waiting, done.unfinished, done.in_flight, done.already) == (0, 0, 0, 0)
    assert done.bytes == batch.summary.bytes
    assert done.seconds == batch.progress.seconds  # It stands still once it is over.


def rows_then(error, *rows):
    """
    Yield rows, then fail.
    """
    yield from rows
    raise error


@on_virtual_time
@pytest.mark.parametrize(
    ("script", "settings", "code", "stopped_by"),
    [
        ({}, {}, 0, None),
        ({"a": [says("Error")]}, {}, 3, None),
        ({"a": [status(404)]}, {}, 3, None),
        ({"a": [pending]}, {"patience": 5}, 3, None),
        ({}, {"max_calls": 2}, 4, "max-calls"),
        ({}, {"max_calls": 3}, 0, None),
        ({}, {"max_runtime": 0.25}, 0, None),
        ({"a": [status(404)]}, {"max_calls": 3}, 3, None),
        ({"a": [pending]}, {"max_runtime": 5}, 4, "max-runtime"),
        ({"a": [status(429, 600.0)]}, {"max_runtime": 5}, 4, "max-runtime"),
        ({"a": [status(401)]}, {}, 3, None),
        ({"a": [status(401)], "b": [status(401)]}, {}, 5, "credentials"),
        ({"a": [StorageError("the disk is full")]}, {}, 6, "storage"),
    ],
)
async def test_endings(running, script, settings, code, stopped_by):
    """
    Every way to end has its exit code, and says what stopped it.
    """
    transport = ScriptedTransport(script, seconds=0.1)
    async with running(["a", "b", "c"], transport, concurrency=1, **settings) as batch:
        _, error = await drained(batch)
    assert (batch.summary.exit_code, batch.summary.stopped_by) == (code, stopped_by)
    assert isinstance(error, CredentialsError) == (code == 5)
    assert isinstance(error, StorageError) == (code == 6)
    assert batch.summary.tasks == 3
    assert batch.summary.left == 3 - sum(batch.summary.outcomes.values())


@on_virtual_time
@pytest.mark.parametrize(
    ("signals", "script", "settings", "code", "stopped_by"),
    [
        (["SIGINT"], {}, {}, 130, "SIGINT"),
        (["SIGTERM"], {}, {}, 143, "SIGTERM"),
        (["SIGTERM", "SIGINT"], {}, {}, 143, "SIGTERM"),
        (["enough"], {}, {}, 4, "enough"),
        (["SIGTERM"], {"b": [status(404)]}, {}, 143, "SIGTERM"),
        (["SIGTERM"], {}, {"max_calls": 2}, 143, "SIGTERM"),
        (["SIGTERM"], {}, {"max_runtime": 10}, 143, "SIGTERM"),
        (["SIGTERM"], {"b": [StorageError("full")]}, {}, 6, "SIGTERM"),
        (["SIGTERM"], {"b": [CredentialsError("no")]}, {}, 5, "SIGTERM"),
    ],
)
async def test_endings_by_the_caller(running, signals, script, settings, code, stopped_by):
    """
    A stop by the caller comes before limits and outcomes, and after what cannot go on.
    """
    transport = ScriptedTransport({"a": [pending]} | script, seconds=11.0)
    async with running(["a", "b", "c"], transport, **settings) as batch:
        await anyio.sleep(10.5)
        for signal in signals:
            batch.stop(signal)
        await drained(batch)
    assert (batch.summary.exit_code, batch.summary.stopped_by) == (code, stopped_by)


@on_virtual_time
async def test_credentials_come_before_the_disk(running):
    """
    When both fail it is the credentials that are to be seen to first.
    """
    transport = ScriptedTransport(
        {"a": [CredentialsError("refused")], "b": [StorageError("full")]}, seconds=1.0
    )
    async with running(["a", "b"], transport, concurrency=2) as batch:
        _, error = await drained(batch)
    assert str(error) == "refused"
    assert batch.summary.exit_code == 5


@on_virtual_time
async def test_manifest_that_breaks_off(running):
    """
    What was read of a manifest is fetched; then its error is told.
    """
    rows = rows_then(ManifestError("line 3 cannot be read"), "a", "b")
    async with running(rows, ScriptedTransport()) as batch:
        outcomes, error = await drained(batch)
    assert {outcome.task_id for outcome in outcomes} == {"a", "b"}
    assert str(error) == "line 3 cannot be read"
    assert batch.summary.exit_code == 2


@on_virtual_time
async def test_stop_with_everything_hanging(running, out):
    """
    What hangs gets a short grace; then the run is over, and nothing of it is left.
    """
    transport = ScriptedTransport(seconds=FOREVER)
    async with running(map(str, range(100)), transport, concurrency=8) as batch:
        await anyio.sleep(10)
        batch.stop("SIGTERM")
        stopped_at = anyio.current_time()
        assert await drained(batch) == ([], None)
        assert anyio.current_time() - stopped_at < 5
    assert transport.given_up == len(transport.calls) > 0
    assert batch.summary.left == 100
    assert parts_in(out) == []


@on_virtual_time
async def test_grace_is_for_what_is_nearly_there(running):
    """
    An answer that comes within the grace counts.
    """
    transport = ScriptedTransport(seconds=12.0)
    async with running(["a"], transport) as batch:
        await anyio.sleep(10)
        batch.stop("SIGTERM")
        outcomes, _ = await drained(batch)
    assert [outcome.status for outcome in outcomes] == ["Completed"]


@on_virtual_time
@pytest.mark.parametrize(
    ("attended", "first", "settings", "seconds"),
    [
        (False, AWAY, {}, 900),
        (False, AWAY, {"outage": "2h"}, 7200),
        (True, AWAY, {}, 60),
        (True, AWAY, {"outage": 20}, 20),
        (True, ready, {}, 900),
    ],
)
async def test_how_long_a_run_is_held(running, attended, first, settings, seconds):
    """
    As long as is set; while a person watches a minute at most, unless there was an answer before.
    """
    transport = ScriptedTransport({"a": [first]}, default=AWAY)
    tasks = ["a", *map(str, range(9))]
    async with running(tasks, transport, attended=attended, concurrency=1, **settings) as batch:
        _, error = await drained(batch)
    assert (batch.summary.exit_code, batch.summary.stopped_by) == (8, "unreachable")
    assert isinstance(error, UnreachableError)
    assert batch.summary.left == (9 if first is ready else 10)
    assert seconds <= batch.summary.seconds < seconds + 2


@on_virtual_time
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"b": [StorageError("full")]}, 6),
        ({"b": [CredentialsError("no")]}, 5),
        ({}, 8),
    ],
)
async def test_what_comes_before_an_outage(running, script, code):
    """
    Credentials and the disk come before a service that cannot be reached, signals after it.
    """
    blocked = Unsent(UntrustedServerError("not trusted"))
    transport = ScriptedTransport({"c": [blocked]} | script, default=pending, seconds=2.0)
    async with running(["a", "b", "c"], transport, concurrency=3) as batch:
        await anyio.sleep(1)
        batch.stop("SIGTERM")
        await drained(batch)
    assert (batch.summary.exit_code, batch.summary.stopped_by) == (code, "SIGTERM")


@on_virtual_time
async def test_max_runtime_with_everything_hanging(running):
    """
    A run ends a short grace after its time, whatever is in flight.
    """
    transport = ScriptedTransport(seconds=FOREVER)
    started = anyio.current_time()
    async with running(["a", "b"], transport, max_runtime=60) as batch:
        await drained(batch)
        assert 60 <= anyio.current_time() - started < 65
    assert (batch.summary.exit_code, batch.summary.stopped_by) == (4, "max-runtime")


@on_virtual_time
async def test_last_calls_of_a_budget_are_waited_for(running):
    """
    What was paid for out of the last of a budget may take its time.
    """
    transport = ScriptedTransport(seconds=500.0)
    async with running(map(str, range(10)), transport, max_calls=2) as batch:
        outcomes, _ = await drained(batch)
    assert len(outcomes) == len(transport.calls) == 2
    assert (batch.summary.left, batch.summary.stopped_by) == (8, "max-calls")


@on_virtual_time
async def test_progress_tells_what_was_never_asked(running):
    """
    A task that is unfinished, or to be tried again, was asked; a row without an id is never asked.
    """
    rows = [BadRow("bad_row", "no id"), *map(str, range(8))]
    script = {"0": [pending], "1": [status(500)], "2": [ready]}
    transport = ScriptedTransport(script, default=pending, seconds=1.0)
    async with running(rows, transport, concurrency=1) as batch:
        known = 0
        await anyio.sleep(0.1)  # Between two answers, when no outcome is just being written.
        while known < 8:
            await anyio.sleep(0.25)
            known = len({call.task_id for call in transport.calls})
            now = batch.progress
            assert now.waiting == 8 - known
            assert now.tasks == now.decided + now.waiting + now.unfinished + now.in_flight
        assert now.decided == 3  # The row without an id, one that failed, one that is done.
        batch.stop("SIGTERM")
        await drained(batch)
    assert batch.summary.left == batch.progress.unfinished == 6
    assert batch.progress.waiting == 0


@on_virtual_time
async def test_stop_counts_what_is_left(running):
    """
    A run that was stopped reads on to the manifest's end, so that the summary can tell.
    """
    transport = ScriptedTransport(seconds=1.0)
    rows = [*map(str, range(3000)), BadRow("bad_row", "no id"), "0"]
    async with running(rows, transport, concurrency=2) as batch:
        batch.stop("SIGTERM")
        await drained(batch)
    summary = batch.summary
    assert summary.tasks == 3001
    assert summary.left == 3001 - sum(summary.outcomes.values())
    assert summary.outcomes["Invalid"] == 1
    assert batch._fetcher._scheduler.waiting == 0  # Counted is not kept.


@pytest.fixture
def stuck():
    """
    One row, and then none for as long as the test takes.
    """
    go_on = threading.Event()

    def rows():
        yield "a"
        go_on.wait(20)
        yield "b"

    yield rows()
    go_on.set()


@on_virtual_time
async def test_stop_while_a_row_is_awaited(running, stuck):
    """
    A manifest that does not come to an end does not hold up the end of the run.
    """
    asyncio.get_running_loop().expect_stuck_thread()
    async with running(stuck, ScriptedTransport()) as batch:
        await anyio.sleep(10)
        batch.stop("SIGTERM")
        stopped_at = anyio.current_time()
        await drained(batch)
        assert anyio.current_time() - stopped_at < 5
    assert (batch.summary.exit_code, batch.summary.tasks) == (143, 1)


@on_virtual_time
async def test_leaving_while_a_row_is_awaited(running, stuck):
    """
    Who leaves early does not wait for the rest to be counted.
    """
    asyncio.get_running_loop().expect_stuck_thread()
    async with running(stuck, ScriptedTransport()):
        await anyio.sleep(10)
        left_at = anyio.current_time()
    assert anyio.current_time() == left_at


async def test_endless_manifest_with_a_limit(running):
    """
    An endless manifest ends with the run's limit, soon after it.
    """
    transport = ScriptedTransport()
    async with running(map(str, itertools.count()), transport, max_calls=50) as batch:
        outcomes, _ = await drained(batch)
    assert len(outcomes) == 50
    assert batch.summary.stopped_by == "max-calls"


class Endless:
    """
    Ids that are all at hand, and never come to an end.
    """

    def __init__(self):
        self.read = 0

    def __len__(self):
        return sys.maxsize

    def __iter__(self):
        while True:
            self.read += 1
            yield str(self.read)


async def test_endless_manifest_is_read_only_as_far_as_needed(running):
    """
    While the pollers wait for answers, the manifest is read so far ahead and no further.
    """
    rows = Endless()
    transport = ScriptedTransport(default=says("Error"), seconds=3600)
    async with running(rows, transport, concurrency=4) as batch:
        # Until so many are there, and none is on its way that was read.
        while batch.progress.waiting < 65_536 or batch.progress.tasks != rows.read:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)  # Time to read on, if it did.
        assert len(transport.calls) == 4
        assert batch.progress.tasks == rows.read < 65_536 + 512


@on_virtual_time
async def test_iteration_stays_over(running):
    """
    After its end a further iteration ends at once.
    """
    async with running(["a"], ScriptedTransport()) as batch:
        assert len((await drained(batch))[0]) == 1
        assert await drained(batch) == ([], None)


@on_virtual_time
async def test_outcomes_come_after_their_line(running):
    """
    Every outcome that is handed out is in the report already.
    """
    written = set()

    async def write(outcomes):
        await anyio.sleep(1)
        written.update(outcome.task_id for outcome in outcomes)

    async with running(map(str, range(50)), ScriptedTransport(), report=write) as batch:
        async for outcome in batch:
            assert outcome.task_id in written
    assert len(written) == 50


@on_virtual_time
async def test_ready_after_all(running, out):
    """
    Unfinished tasks are asked again until they are ready, and every image is the right one.
    """
    script = {str(number): [pending] * (number % 4) + [ready] for number in range(40)}
    async with running(map(str, range(40)), ScriptedTransport(script, seconds=0.2)) as batch:
        await drained(batch)
    assert batch.summary.exit_code == 0
    assert images_in(out) == {str(number): png_of(str(number)) for number in range(40)}
