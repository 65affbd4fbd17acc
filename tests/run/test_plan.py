"""
Plans: what a run would do, said without doing it.
"""

import json

import pytest
from replies import png_of
from wiring import local_storage

from batchfetch import BadRow, Job, Manifest, ManifestError, Settings, StorageError, plan
from batchfetch.models import OutcomeStatus

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path):
    """
    An output that does not exist yet.
    """
    return Settings(output=tmp_path / "out")


def everything_in(folder):
    """
    Return every path below *folder* with when it was last changed.
    """
    return {path: path.lstat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


def counts(plan):
    """
    What a plan counts, without what it expects.
    """
    return plan.model_dump(
        exclude={"expected_calls", "expected_seconds", "least_cost", "expected_cost"}
    )


async def test_plan_says_what_it_will_take(settings):
    """
    Only what is to be fetched is expected to cost calls, time and money.
    """
    settings = settings.model_copy(update={"price_per_call": 0.5})
    estimated = await plan([f"t{number}" for number in range(100)], settings)
    assert 100 < estimated.expected_calls < 150
    assert estimated.expected_seconds > 0
    assert estimated.least_cost == 50
    assert estimated.expected_cost == 0.5 * estimated.expected_calls


async def test_first_run(settings, tmp_path):
    """
    Before the first run everything is to be fetched, and nothing is made.
    """
    rows = ["a", "b", "a", BadRow("bad_row", "no id"), Job("c", "a.png")]
    before = everything_in(tmp_path)
    assert counts(await plan(rows, settings)) == {
        "tasks": 4,
        "already": 0,
        "adopted": 0,
        "invalid": 2,
        "reasons": {"bad_row": 1, "bad_name": 1},
        "repeated": 1,
        "to_fetch": 2,
        "least_calls": 2,
    }
    assert everything_in(tmp_path) == before


async def test_later_run(settings, tmp_path):
    """
    A later run skips what is settled and adopts what is in place; planning it changes nothing.
    """
    settings.output.mkdir()
    (settings.output / "there.png").write_bytes(png_of("there"))
    (settings.output / "done.png").write_bytes(png_of("done"))
    (settings.output / ".done.png.01234567.part").write_bytes(b"somebody is at work")
    lines = [
        {
            "task_id": "done",
            "outcome": "Completed",
            "bytes": len(png_of("done")),
            "path": "done.png",
        },
        {"task_id": "no", "outcome": "Error"},
        {"task_id": "late", "outcome": "TimedOut"},
        {"task_id": "gone", "outcome": "Completed", "bytes": 9, "path": "gone.png"},
    ]
    settings.report_path.write_text(
        "".join(json.dumps({"calls": 1, **line}) + "\n" for line in lines) + '{"torn'
    )
    before = everything_in(tmp_path)
    rows = ["done", "there", "no", "late", "gone", "new"]
    assert counts(await plan(rows, settings)) == {
        "tasks": 6,
        "already": 2,
        "adopted": 1,
        "invalid": 0,
        "reasons": {},
        "repeated": 0,
        "to_fetch": 3,
        "least_calls": 3,
    }
    assert everything_in(tmp_path) == before


async def test_run_that_is_on_does_not_matter(settings):
    """
    A plan can be made while a run holds the output.
    """

    async with local_storage(settings.output, settings.durability):
        assert (await plan(["a"], settings)).to_fetch == 1


async def test_settings_count(settings):
    """
    What is tried again is what the settings say.
    """
    settings.output.mkdir()
    settings.report_path.write_text('{"task_id": "no", "outcome": "Error", "calls": 1}\n')
    chosen = settings.model_copy(update={"retry": frozenset({OutcomeStatus.ERROR})})
    assert (await plan(["no"], chosen)).to_fetch == 1


async def test_manifest_that_is_none(settings, tmp_path):
    """
    A manifest that cannot be read is an error, as in a run.
    """
    (tmp_path / "m.csv").write_text("a,b\n1,2\n")
    for name in ("m.csv", "missing.txt"):
        with pytest.raises(ManifestError):
            await plan(Manifest(tmp_path / name), settings)


async def test_manifest(settings, tmp_path):
    """
    A manifest is planned like its rows.
    """
    (tmp_path / "m.txt").write_text("a\nb\n# c\n")
    assert (await plan(Manifest(tmp_path / "m.txt"), settings)).tasks == 2


@pytest.mark.parametrize("place", ["file", "file/below"])
async def test_output_that_can_be_none(tmp_path, place):
    """
    An output that is a file stops the plan as it would stop the run, or there is none yet.
    """
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot"):
        await plan(["a"], Settings(output=tmp_path / place))


async def test_slabs_are_added_up(settings):
    """
    A long manifest is counted to its end.
    """
    assert (await plan(map(str, range(5000)), settings)).least_calls == 5000
