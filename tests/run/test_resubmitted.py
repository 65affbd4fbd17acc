"""
Tasks and their successors in one manifest, night after night.
"""

import json

import pytest
from command import images_in, parts_in
from replies import png_of
from scripted import ScriptedTransport, pending, ready, says
from stores import moto, use

from batchfetch import Credentials, Job, OutcomeStatus, Settings, open_batch
from batchfetch.run.plan import plan
from batchfetch.scheduling.retry import RetryPolicy

pytestmark = pytest.mark.anyio

TOKEN = Credentials(access_token="a-token")
ERROR = says("Error", "Error")
UNKNOWN = says("NotExist", "TaskNotFound")


def rows(text):
    """
    Return rows named `page`; `a<o` is one of the task `a` that resubmits the task `o`.
    """
    if not isinstance(text, str):
        yield from text
        return
    for word in text.split():
        task_id, _, resubmits = word.partition("<")
        yield Job(task_id, "page", extra={"resubmits": resubmits} if resubmits else {})


@pytest.fixture
def night(tmp_path):
    """
    Fetch rows for a night; return the calls, in order, and the run's summary.
    """

    async def night(text, script=None, **settings):
        transport = ScriptedTransport(script)
        settings = Settings(output=tmp_path, **settings)
        planned = await plan(rows(text), settings)
        async with open_batch(
            rows(text),
            settings,
            credentials=TOKEN,
            transport=transport,
            retries=RetryPolicy(2, initial=0.01),
        ) as batch:
            async for _ in batch:
                pass
        summary = batch.summary
        invalid = summary.outcomes.get(OutcomeStatus.INVALID, 0)
        fetched = summary.tasks - summary.already - summary.adopted - invalid
        assert (planned.to_fetch, planned.adopted) == (fetched, summary.adopted)
        assert (planned.already, planned.invalid) == (summary.already, invalid)
        return [call.task_id for call in transport.calls], summary

    return night


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("text", "owner"),
    [("o a<o", "a"), ("o a<o b<a c<b", "c"), ("a<b b<a", "b"), ("O a<o B<A", "B")],
)
async def test_successors_take_the_place_in_turn(night, tmp_path, text, owner, replace):
    """
    One after the other, however long the chain; later nights pay for nothing, also with --replace.
    """
    ids = [row.task_id for row in rows(text)]
    calls, summary = await night(text, replace=replace)
    assert (calls, summary.exit_code) == (ids, 0)
    for _ in range(3):
        calls, summary = await night(text, replace=replace)
        assert (calls, summary.already, summary.exit_code) == ([], len(ids), 0)
    assert images_in(tmp_path) == {"page": png_of(owner)}
    assert parts_in(tmp_path) == []


async def test_chain_that_grows_by_a_task_a_night(night, tmp_path):
    """
    Each night pays for the newest.
    """
    text = "o"
    for new, old in ("ao", "ba", "cb"):
        await night(text)
        text = f"{text} {new}<{old}"
        calls, summary = await night(text)
        assert (calls, summary.exit_code) == ([new], 0)
    assert images_in(tmp_path) == {"page": png_of("c")}


@pytest.mark.parametrize("text", ["z x y<x", "x y<x z<x", "x a<a"])
async def test_image_is_not_overwritten_by_what_does_not_resubmit_it(night, text):
    """
    A row that resubmits another task than the one whose place it would take is refused, every
    night, and not asked.
    """
    first, summary = await night(text)
    assert summary.reasons["bad_name"] > 0
    for _ in range(2):
        calls, later = await night(text)
        assert (calls, later.reasons) == ([], summary.reasons)
    assert len(first) + summary.reasons["bad_name"] == summary.tasks


@pytest.mark.parametrize("text", ["o a<o", "a<o o"])
async def test_order_of_the_rows_does_not_matter_in_the_end(night, tmp_path, text):
    """
    A row with a name of an earlier one is done with, too, if that one resubmits it.
    """
    await night("o")
    await night(text)
    calls, summary = await night(text)
    assert (calls, summary.already, summary.exit_code) == ([], 2, 0)
    assert images_in(tmp_path) == {"page": png_of("a")}


@pytest.mark.parametrize("retry", [(), ("NotExist",)])
async def test_successor_far_behind_the_old_task(night, tmp_path, retry):
    """
    It follows also if the old one was decided long before its row is read.
    """
    others = [Job(f"t{number}") for number in range(600)]
    text = [Job("o", "page"), *others, Job("a", "page", extra={"resubmits": "o"})]
    calls, summary = await night(text, {"o": [UNKNOWN]} if retry else None, retry=retry)
    assert (len(calls), calls[-1], summary.left) == (602, "a", 0)
    assert images_in(tmp_path)["page"] == png_of("a")
    calls, summary = await night(text, retry=retry)
    assert (calls, summary.already) == ([], 602)


async def test_successor_waits_for_the_end_of_the_old_task(night, tmp_path):
    """
    However that ends: it is asked then, and later nights leave the old one alone.
    """
    script = {"o": [pending, ERROR], "b": [pending, ready]}
    calls, summary = await night("o b<o", script)
    assert calls == ["o", "o", "b", "b"]
    assert summary.outcomes == {OutcomeStatus.ERROR: 1, OutcomeStatus.COMPLETED: 1}
    calls, summary = await night("o b<o")
    assert (calls, summary.already, summary.exit_code) == ([], 2, 3)
    assert images_in(tmp_path) == {"page": png_of("b")}


async def test_run_that_stops_does_not_wait(night, tmp_path):
    """
    What waits for another task is left, and asked by the next run.
    """
    calls, summary = await night("o a<o", max_calls=1)
    assert (calls, summary.left, summary.exit_code) == (["o"], 1, 4)
    assert summary.seconds < 1.5
    calls, summary = await night("o a<o")
    assert (calls, summary.exit_code) == (["a"], 0)


async def test_successor_takes_the_place_of_an_adopted_image(night, tmp_path):
    """
    An image that no line of the report accounts for is entered for its task, then replaced.
    """
    await night("o")
    report = tmp_path / "report.jsonl"
    assert json.loads(report.read_text())["path"] == "page.png"
    report.write_text("")
    calls, summary = await night("o a<o", adopt=True)
    assert (calls, summary.adopted, summary.exit_code) == (["a"], 1, 0)
    assert images_in(tmp_path) == {"page": png_of("a")}


async def test_successors_in_a_store(tmp_path, monkeypatch):
    """
    An object says whose it is, and the report who follows whom.
    """
    with moto() as store:
        settings = Settings(output=use(store, "out", monkeypatch), report=tmp_path / "report.jsonl")
        nights = []
        for text in ("o a<o", "o a<o", "o a<o b<a", "o a<o b<a", "t"):
            transport = ScriptedTransport()
            async with open_batch(
                rows(text), settings, credentials=TOKEN, transport=transport
            ) as batch:
                async for outcome in batch:
                    last = outcome
            nights.append([call.task_id for call in transport.calls])
        assert nights == [["o", "a"], [], ["b"], [], []]
        assert store.get("out/page.png") == png_of("b")
    assert last.detail.startswith("page.png is the image of task b;")
