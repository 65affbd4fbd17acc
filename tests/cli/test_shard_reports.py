"""
`batchfetch report` over the reports of shards: which are read, what it suggests, and metrics.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from batchfetch.cli.metrics import MetricsFile
from batchfetch.cli.next_steps import next_steps, see_page
from batchfetch.cli.reporting import find_reports
from batchfetch.errors import SettingsError
from batchfetch.exit_codes import ExitCode
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report.digest import Digest
from batchfetch.report.lines import encode
from batchfetch.report.runs import runs_path
from batchfetch.sharding import Shard

NIGHT = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)


def write(path, *tasks, minute=0, left=0, calls=None, **settings):
    """
    Write a report about *tasks*, with the log of the run that made it.
    """
    began = NIGHT + timedelta(minutes=minute)
    with path.open("ab") as file:
        for second, (task_id, status) in enumerate(tasks, 1):
            finished = began + timedelta(seconds=second)
            file.write(
                encode(Outcome(task_id=task_id, status=status, calls=1, finished_at=finished))
            )
    run = {
        "run": f"{path.name} {minute}",
        "began_at": began.isoformat(),
        "ended_at": (began + timedelta(seconds=30)).isoformat(),
        "manifests": ["m.csv"],
        "settings": settings,
        "summary": {"left": left, "calls": len(tasks) if calls is None else calls},
    }
    with runs_path(path).open("a") as file:
        file.write(json.dumps(run) + "\n")


@pytest.fixture
def output(tmp_path):
    """
    An output of two parts.
    """
    folder = tmp_path / "images"
    folder.mkdir()
    where = {"output": str(folder)}
    one, two = (folder / f"report.{part}-of-2.jsonl" for part in (1, 2))
    write(one, ("a", OutcomeStatus.FAILED), left=3, shard="1/2", **where)
    write(two, ("b", OutcomeStatus.COMPLETED), minute=1, left=4, shard="2/2", **where)
    return folder


def steps(sources):
    """
    Return the commands that are suggested, by why.
    """
    digest = Digest(sources)
    found = [*next_steps(digest.figures(), sources, ("fetch", "report"), ()), see_page(sources)]
    return dict(found)


def test_an_output_stands_for_all_parts(output):
    """
    Those of shards first, then the one of a run without parts; each once, however they are named.
    """
    names = [source.path.name for source in find_reports([str(output)])]
    assert names == ["report.1-of-2.jsonl", "report.2-of-2.jsonl"]
    named = [source.path.name for source in find_reports([str(output / "report.jsonl")])]
    assert named == names
    (output / "report.jsonl").touch()
    every = [*map(str, output.glob("*.jsonl")), str(output)]
    assert sorted(source.path.name for source in find_reports(every)) == [*names, "report.jsonl"]
    assert [s.path.name for s in find_reports([str(output)])] == [*names, "report.jsonl"]
    assert [s.path.name for s in find_reports([str(output / "report.jsonl")])] == ["report.jsonl"]


def test_an_output_without_any_report(tmp_path):
    """
    It is said which one was looked for.
    """
    with pytest.raises(SettingsError, match=r"the report .*/report\.jsonl is not there"):
        find_reports([str(tmp_path)])


def test_a_report_of_a_store_stands_for_all_parts(tmp_path, monkeypatch):
    """
    It is in the working directory.
    """
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "2026-11.report.1-of-2.jsonl", ("a", OutcomeStatus.FAILED))
    (source,) = find_reports(["s3://scans/2026-11"])
    assert source.path.name == "2026-11.report.1-of-2.jsonl"


def test_what_is_left_of_all_parts(output):
    """
    The command that goes on is one run without parts, which knows what all of them did.
    """
    found = steps(find_reports([str(output)]))
    assert found["Ask again about 1 Failed and 7 left, with limits as before"] == (
        f"batchfetch fetch m.csv -o {output}"
    )
    assert found["See it all on a page"] == f"batchfetch report {output} -o report.html"


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("https://ocr.example.test/eu", " --base-url https://ocr.example.test/eu"),
        ("http://127.0.0.1:41234", ""),
        ("http://[::1]:41234", ""),
    ],
)
def test_where_the_tasks_are_is_in_the_command(output, base_url, words):
    """
    What decides about which tasks is asked, and where; a stand-in of this machine has ended.
    """
    write(
        output / "report.jsonl",
        minute=20,
        base_url=base_url,
        ca_file="my ca.pem",
        endpoint="deskew",
        id_column="Scan",
        name_column="Page",
        max_calls=500,
    )
    found = steps(find_reports([str(output)]))
    assert found["Ask again about 1 Failed, with limits as before"] == (
        f"batchfetch fetch m.csv{words} --ca-file 'my ca.pem' --endpoint deskew"
        " --id-column Scan --name-column Page"
    )


def test_what_is_left_of_one_part(output):
    """
    The command is that of the part.
    """
    found = steps(find_reports([str(output / "report.1-of-2.jsonl")]))
    assert found["Ask again about 1 Failed and 3 left, with limits as before"] == (
        f"batchfetch fetch m.csv -o {output} --shard 1/2"
    )


def test_a_later_run_of_another_number_has_the_last_word(output):
    """
    What is left is what the last run has left, in all of its own parts; of a part's own runs the
    last one counts.
    """
    where = {"output": str(output)}
    write(output / "report.1-of-3.jsonl", minute=10, left=2, shard="1/3", **where)
    write(output / "report.1-of-3.jsonl", minute=12, left=1, shard="1/3", **where)
    write(output / "report.3-of-3.jsonl", minute=11, left=5, shard="3/3", **where)
    found = steps(find_reports([str(output)]))
    assert any(why.startswith("Ask again about 1 Failed and 6 left") for why in found)
    write(output / "report.jsonl", minute=20, left=0, **where)
    found = steps(find_reports([str(output)]))
    assert any(why.startswith("Ask again about 1 Failed,") for why in found)


def test_copies_are_counted_once(output):
    """
    A merged report beside those it was made of changes no figure, and no sum of calls.
    """
    write(output / "report.1-of-2.jsonl", ("a", OutcomeStatus.COMPLETED), minute=5, calls=4)
    before = Digest(find_reports([str(output)]))
    with (output / "report.jsonl").open("wb") as merged:
        merged.writelines(line + b"\n" for line in before.lines())
    figures, beside = before.figures(), Digest(find_reports([str(output)])).figures()
    for name in ("tasks", "outcomes", "reasons", "images", "bytes", "calls", "calls_per_image"):
        assert getattr(beside, name) == getattr(figures, name), name
    assert figures.calls == 6


def test_each_part_has_a_file_of_metrics(tmp_path):
    """
    A collector that reads both finds no value twice: the label tells them apart.
    """
    for part in (1, 2):
        MetricsFile(tmp_path / "b.prom", tmp_path, Shard(part, 2)).fail(ExitCode.CREDENTIALS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.1-of-2.prom", "b.2-of-2.prom"]
    names = [
        line.rpartition(" ")[0]
        for path in tmp_path.iterdir()
        for line in path.read_text().splitlines()
        if line[0] != "#"
    ]
    assert len(names) == len(set(names)) > 0
    again = MetricsFile(tmp_path / "b.prom", tmp_path, Shard(1, 2))
    again.fail(ExitCode.CREDENTIALS)
    text = (tmp_path / "b.1-of-2.prom").read_text()
    assert f'batchfetch_last_run_exit_code{{output="{tmp_path}",shard="1/2"}} 5' in text
