"""
Shards: parts of one manifest, one process each, with one output; together they are one run.
"""

import fcntl
import json
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import (
    TOKEN,
    environment,
    expected_images,
    finish,
    images_in,
    last_lines,
    parts_in,
    read_report,
    run,
    start,
    wait_until,
)
from origin import Origin, serving
from replies import failed, failing, pending, ready, silence, unknown

import batchfetch
from batchfetch.sharding import Shard
from batchfetch.storage.claims import Claims
from batchfetch.storage.folder import Folder

# Repeated ids, in another case too, names that clash within a part and between parts, rows that
# cannot be used, with an id and without one, and tasks that end in each way.
ROWS = [
    *(f"t{number},p{number % 50}," for number in range(60)),
    *("t3,again,", "T4,again too,", ",no id,", ",no id either,", "bad,../x,", "bad,../y,"),
    *("t61,P7,", "t62,e\u0301,", "t63,\u00e9,", "two words,,", "t64,t65,", "t65,,", "t66.png,t67,"),
    *("failing,,", "gone,,", "other,sub/folder/name,", "late,,customer 7", "t0,t0,"),
]
IDS = {f"t{number}" for number in range(50)} | {"t62", "t64", "t66.png", "other", "late"}
SCRIPT = {"failing": [failed], "gone": [unknown]}
CHANGING = {"first_call_at", "finished_at"}


@pytest.fixture
def origin():
    """
    A service of which a task failed and another is unknown.
    """
    with serving(Origin(SCRIPT)) as origin:
        yield origin


class Output:
    """
    The command on one manifest and one output.
    """

    def __init__(self, origin, folder, rows=ROWS, name="out"):
        self.origin = origin
        self.manifest = folder / "manifest.csv"
        self.manifest.write_text("\n".join(["task_id,name,customer", *rows, ""]))
        self.path = folder / name

    def argv(self, shard=None, *options):
        part = [] if shard is None else ["--shard", shard]
        return [
            *("fetch", self.manifest, "-o", self.path, *part),
            *("--base-url", self.origin.base_url, "--json", *options),
        ]

    def run(self, shard=None, *options, **how):
        return run(*self.argv(shard, *options), **how)

    def start(self, shard=None, *options):
        return start(*self.argv(shard, *options))

    def run_all(self, count, *options):
        """
        Run all parts at once, and return how each ended.
        """
        shards = [f"{index}/{count}" for index in range(1, count + 1)]
        processes = [self.start(shard, *options) for shard in shards]
        return [finish(process) for process in processes]

    def report(self, shard):
        return self.path / f"report.{shard.replace('/', '-of-')}.jsonl"

    @property
    def reports(self):
        return sorted(path for path in self.path.glob("report*.jsonl") if ".runs." not in path.name)


@pytest.fixture
def output(origin, tmp_path):
    """
    An output that is not there yet.
    """
    return Output(origin, tmp_path)


def numbered(count, prefix="task"):
    """
    Return rows of so many tasks.
    """
    return [f"{prefix}{number},," for number in range(count)]


def steady(path):
    """
    Return the lines of a report without their times, sorted.
    """
    lines = [
        {key: value for key, value in line.items() if key not in CHANGING}
        for line in read_report(path)
    ]
    return sorted(json.dumps(line, sort_keys=True) for line in lines)


def added(summaries, key):
    """
    Return what the summaries have for *key*, added up.
    """
    found = [summary[key] for summary in summaries]
    if isinstance(found[0], dict):
        names = {name for each in found for name in each}
        return {name: sum(each.get(name, 0) for each in found) for name in names}
    return sum(found)


# Together they are one run.


def test_eight_parts_are_one_run(origin, tmp_path):
    """
    Eight processes at once, merged, have the lines, the images and the counts of one run.
    """
    whole, parts = Output(origin, tmp_path, name="whole"), Output(origin, tmp_path)
    one = whole.run()
    asked = sorted(call.task_id for call in origin.calls)
    origin.forget()
    eight = parts.run_all(8)
    assert {done.code for done in eight} <= {0, 3}
    assert 3 in {done.code for done in eight}
    assert sorted(call.task_id for call in origin.calls) == asked

    lines = [line for path in parts.reports for line in steady(path)]
    assert sorted(lines) == steady(whole.path / "report.jsonl")
    for output in (whole, parts):
        assert run("report", output.path, "-o", tmp_path / f"{output.path.name}.jsonl").code == 0
    assert steady(tmp_path / "out.jsonl") == steady(tmp_path / "whole.jsonl")
    assert images_in(parts.path) == images_in(whole.path) != {}
    assert parts_in(parts.path) == []
    summaries = [done.summary for done in eight]
    for key in ("tasks", "outcomes", "reasons", "already", "left", "repeated", "calls", "bytes"):
        assert added(summaries, key) == one.summary[key], key


def test_what_was_merged_is_a_ledger(output):
    """
    A report made of those of all parts is one for the next run, alone and beside them; no call is
    counted twice.
    """
    output.run_all(3)
    calls = len(output.origin.calls)
    figures = json.loads(run("report", output.path, "--json").stdout)
    assert run("report", output.path, "-o", output.path / "report.jsonl").code == 0
    beside = json.loads(run("report", output.path, "--json").stdout)
    for key in ("tasks", "outcomes", "reasons", "images", "calls", "bytes"):
        assert beside[key] == figures[key], key
    assert beside["calls"] == calls
    for path in output.path.glob("report.*-of-3*"):
        path.unlink()
    assert output.run(None, "--retry", "Invalid").summary["calls"] == 0
    assert len(output.origin.calls) == calls


def test_the_next_night_may_have_another_number(output):
    """
    Three parts, then five, then one run: nothing is asked again.
    """
    output.run_all(3)
    calls = len(output.origin.calls)
    five = [done.summary for done in output.run_all(5)]
    assert added(five, "calls") == 0
    assert added(five, "already") == len(IDS | {"failing", "gone"})
    whole = output.run()
    assert (whole.summary["calls"], whole.summary["already"]) == (0, added(five, "already"))
    assert len(output.origin.calls) == calls


def test_a_run_before_is_known_to_the_parts(output):
    """
    What a run without shards has settled is settled for them, too.
    """
    output.run()
    output.origin.forget()
    assert added([done.summary for done in output.run_all(2)], "calls") == 0
    assert output.origin.calls == []


@pytest.mark.slow
def test_the_last_line_of_several_reports_counts(origin, tmp_path):
    """
    It is the one that was finished last, whatever the names of the reports: what was tried again
    in another number of parts is not what it was before.
    """
    output = Output(origin, tmp_path, numbered(20))
    origin.default = failed
    for shard in ("1/2", "2/2"):
        output.run(shard)
    origin.default = pending
    options = "--retry", "Error", "--patience", "10ms"
    output.run("1/1", *options)
    origin.forget()
    for shard in ("1/3", "2/3", "3/3", None):
        plan = output.run(shard, "--dry-run", "--retry", "Error").stdout
        assert json.loads(plan)["to_fetch"] == 0, shard
    plan = json.loads(output.run(None, "--dry-run").stdout)
    assert plan["to_fetch"] == 20  # All of them have timed out.
    figures = json.loads(run("report", output.path, "--json").stdout)
    assert figures["outcomes"] == {"TimedOut": 20}


def test_an_image_belongs_to_the_last_line_of_all_reports(origin, tmp_path):
    """
    Whose image a file is, is read from the reports of all parts; the owner is named.
    """
    monday = Output(origin, tmp_path, [f"m{number},page{number}," for number in range(10)])
    monday.run_all(2)
    tuesday = Output(origin, tmp_path, [f"n{number},page{number}," for number in range(10)])
    three = tuesday.run_all(3)
    assert added([done.summary for done in three], "outcomes") == {"Invalid": 10}
    details = {
        line["task_id"]: line["detail"]
        for shard in ("1/3", "2/3", "3/3")
        for line in read_report(tuesday.report(shard))
    }
    for number in range(10):
        assert f"is the image of task m{number};" in details[f"n{number}"]
    assert tuesday.run(None, "--replace").code == 0
    monday = Output(origin, tmp_path, [f"m{number},page{number}," for number in range(10)])
    again = monday.run("1/1").summary
    assert (again["outcomes"], again["calls"]) == ({"Invalid": 10}, 0)


def test_the_plan_of_a_part(output):
    """
    A dry run counts the part's rows, and touches nothing.
    """
    plans = [json.loads(output.run(f"{i}/4", "--dry-run").stdout) for i in (1, 2, 3, 4)]
    whole = json.loads(output.run(None, "--dry-run").stdout)
    for key in ("tasks", "to_fetch", "invalid", "repeated", "least_calls"):
        assert added(plans, key) == whole[key], key
    assert not output.path.exists()


def test_the_library_reads_them_as_one(output):
    """
    A folder stands for the reports of all parts, and the last line of each task is read.
    """
    output.run_all(3)
    outcomes = {each.task_id: each for each in batchfetch.read_report(output.path)}
    assert {name for name, each in outcomes.items() if each.status == "Completed"} == IDS
    named = batchfetch.read_report(output.path / "report.jsonl")  # It is not there itself.
    assert {each.task_id for each in named} == set(outcomes)


# Who may run beside whom.


@contextmanager
def going_on(output, *shards):
    """
    Have these parts run, on a service that says nothing.
    """
    output.origin.default = silence
    processes = [output.start(shard) for shard in shards]
    try:
        wait_until(lambda: len({c.connection for c in output.origin.calls}) >= len(shards))
        for shard, process in zip(shards, processes, strict=True):
            wait_until(output.report(shard).exists if shard else output.path.exists, process)
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            finish(process)


@pytest.mark.parametrize(
    ("on", "second", "sentence"),
    [
        ("1/2", None, "shard 1/2 of another run (process {pid} on "),
        (None, "1/2", "another run (process {pid} on "),
        ("1/2", "1/2", "another run of shard 1/2 (process {pid} on "),
        ("2/3", "1/2", "shard 2/3 (process {pid} on "),
    ],
)
def test_who_may_not_run_beside_whom(origin, tmp_path, on, second, sentence):
    """
    A whole run and a part, two of one part, parts of two numbers: the second ends with exit code 7
    and says which process is in its way; it asks nothing, and the first goes on.
    """
    output = Output(origin, tmp_path, numbered(40))
    with going_on(output, on) as (process,):
        done = output.run(second, env=environment(BATCHFETCH_ACCESS_TOKEN="the-second-run"))
        assert done.code == 7
        assert sentence.format(pid=process.pid) in done.stderr
        assert f"is writing to {output.path}; " in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert process.poll() is None
        tokens = {call.headers["authorization"] for call in origin.calls}
        assert tokens == {f"Bearer {TOKEN}"}


def test_parts_of_one_number_run_beside_each_other(origin, tmp_path):
    """
    And none removes what another is at work on.
    """
    output = Output(origin, tmp_path, numbered(60))
    with going_on(output, "1/3"):
        theirs = output.path / ".batchfetch.1-of-3.0123456789abcdef.part"
        theirs.touch()
        origin.default = ready
        assert [output.run(shard).code for shard in ("2/3", "3/3")] == [0, 0]
        assert theirs.exists()
        again = output.run("2/3").summary
        assert (again["calls"], again["left"]) == (0, 0)
    assert output.run("1/3").code == 0
    assert not theirs.exists()
    assert images_in(output.path) == expected_images(f"task{number}" for number in range(60))


def test_a_part_that_is_killed_is_run_again(origin, tmp_path):
    """
    What it has finished is not asked for again, and the other part is not kept from its work.
    """
    output = Output(origin, tmp_path, numbered(400))
    mine = [f"task{number}" for number in range(400) if Shard(1, 2).has(f"task{number}")]
    origin.default = failing(silence, first=30)
    process = output.start("1/2", "--concurrency", "4")
    wait_until(lambda: len(origin.calls) > 30, process)
    process.send_signal(signal.SIGKILL)
    assert finish(process).code == -signal.SIGKILL
    origin.default = ready
    assert output.run("2/2").code == 0
    done = output.run("1/2")
    assert done.code == 0
    assert images_in(output.path) == expected_images(f"task{number}" for number in range(400))
    assert set(last_lines(output.report("1/2"))) == set(mine)
    assert len(origin.calls) <= 400 + 4  # At most what was in flight.
    assert parts_in(output.path) == []


@pytest.mark.parametrize("end", [b'{"task_id":"task1","outc', b"\0\0", b""])
def test_the_report_of_another_part_is_only_read(origin, tmp_path, end):
    """
    Its last line may be torn, because that part was killed or is writing it: nothing is said about
    it, and not a byte of it is changed.
    """
    output = Output(origin, tmp_path, numbered(30))
    output.run("1/2")
    path = output.report("1/2")
    path.write_bytes(path.read_bytes() + end)
    before = path.read_bytes()
    done = output.run("2/2", "--log-level", "warning")
    assert (done.code, done.stderr) == (0, "")
    assert path.read_bytes() == before
    assert output.run("1/1").summary["calls"] == 0


def test_what_is_no_report_of_a_part_is_named(output):
    """
    A file that is called like one and holds something else stops the run before it asks anything.
    """
    output.path.mkdir()
    foreign = output.path / "report.9-of-9.jsonl"
    foreign.write_text('{"a": 1}\n')
    done = output.run("1/2")
    assert done.code == 2
    assert f"{foreign} has lines and none of them is a report's" in done.stderr
    assert output.origin.calls == []
    assert foreign.read_text() == '{"a": 1}\n'


def test_what_dead_runs_have_left(origin, tmp_path):
    """
    A part removes what dead runs without parts, of its own and of another number have left, not
    what may be another's of its number; a whole run removes it all, the files of locks too.
    """
    output = Output(origin, tmp_path, numbered(3))
    output.path.mkdir()
    names = {
        "whole": ".batchfetch.0123456789abcde0.part",
        "own": ".batchfetch.1-of-2.0123456789abcde1.part",
        "other": ".batchfetch.2-of-2.0123456789abcde2.part",
        "number": ".batchfetch.2-of-3.0123456789abcde3.part",
    }
    text = Claims().text("x.png", "somebody")
    void = {who: name.replace(".part", f".{text}.part") for who, name in names.items()}
    for name in (*names.values(), *void.values()):
        (output.path / name).touch()
    output.run("1/2")
    left = {path.name for path in parts_in(output.path)}
    assert left == {names["other"], void["other"]}
    output.run("2/2")
    assert parts_in(output.path) == []
    assert len(list(output.path.glob(".batchfetch.*.lock"))) == 2
    output.run()
    assert list(output.path.glob(".batchfetch.*-of-*.lock")) == []


def test_a_claim_outlives_its_number_of_parts(origin, tmp_path):
    """
    An image that a part of another number put in place and died before it could say so is known by
    the part that has the task now, and not asked for again.
    """
    output = Output(origin, tmp_path, ["t1,page one,"])
    assert output.run("1/1").code == 0
    (image,) = images_in(output.path)
    claim = f".batchfetch.2-of-3.0123456789abcdef.{Claims().text(f'{image}.png', 't1')}.part"
    for report in output.reports:
        report.unlink()
    (output.path / claim).touch()
    origin.forget()
    for shard in ("1/2", "2/2"):
        assert output.run(shard).code == 0
    assert origin.calls == []
    (line,) = [line for report in output.reports for line in read_report(report)]
    assert (line["outcome"], line["calls"]) == ("Completed", 0)
    assert parts_in(output.path) == []


def test_a_part_waits_for_those_who_only_look(tmp_path):
    """
    What another part tries for a moment does not keep a part from its own lock.
    """
    folder = Folder(tmp_path)
    with (tmp_path / ".batchfetch.1-of-2.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)

        def look():
            wait_until((tmp_path / ".batchfetch.lock").exists)
            fcntl.flock(other, fcntl.LOCK_UN)

        looking = threading.Thread(target=look)
        looking.start()
        folder.lock(Shard(1, 2))
        looking.join()
    assert folder.is_locked
    folder.close()


# What is given for the whole.


def test_calls_are_given_for_the_whole(origin, tmp_path):
    """
    The parts never make more calls together; one whose share is none asks nothing and ends with 4.
    """
    output = Output(origin, tmp_path, numbered(60))
    five = output.run_all(5, "--max-calls", "3")
    assert [done.code for done in five] == [4] * 5, [done.stderr for done in five]
    assert [done.summary["calls"] for done in five] == [1, 1, 1, 0, 0]
    assert [done.summary["token_requests"] for done in five][3:] == [0, 0]
    assert {done.summary["stopped_by"] for done in five} == {"max-calls"}
    assert "raise --max-calls, or use fewer shards" in five[4].stderr
    assert "run the same command again" in five[0].stderr
    assert len(origin.calls) == 3


@pytest.mark.parametrize("shard", ["0/8", "9/8", "x"])
def test_what_is_no_part(output, shard):
    """
    It is refused in one sentence that says where it was given.
    """
    by_option = output.run(shard)
    by_variable = output.run(env=environment(BATCHFETCH_SHARD=shard))
    assert (by_option.code, by_variable.code) == (2, 2)
    assert f"--shard: '{shard}' is not a valid shard; " in by_option.stderr
    assert f"BATCHFETCH_SHARD: '{shard}' is not a valid shard; " in by_variable.stderr


def test_a_part_may_be_given_anywhere(output, tmp_path):
    """
    A variable or a file does as well as the option; metrics and the log of runs carry the part.
    """
    config = tmp_path / "settings.toml"
    config.write_text(f'shard = "2/2"\nmetrics-file = "{tmp_path}/out.prom"\n')
    assert output.run(env=environment(BATCHFETCH_SHARD="1/2")).code == 3
    assert output.run(None, "--config", config).code == 3
    assert [path.name for path in output.reports] == ["report.1-of-2.jsonl", "report.2-of-2.jsonl"]
    metrics = (tmp_path / "out.2-of-2.prom").read_text()
    assert 'shard="2/2"} ' in metrics
    assert not (tmp_path / "out.prom").exists()
    runs = (output.path / "report.2-of-2.runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["settings"]["shard"] for line in runs] == ["2/2", "2/2"]


def test_a_report_elsewhere(origin, tmp_path):
    """
    Its name is that of the whole; each part has its own beside it, and they are read as one.
    """
    output = Output(origin, tmp_path, numbered(20))
    (tmp_path / "night").mkdir()
    path = tmp_path / "night" / "monday.jsonl"
    for shard in ("1/2", "2/2"):
        assert output.run(shard, "-r", path).code == 0
    assert sorted(found.name for found in path.parent.glob("*-of-2.jsonl")) == [
        "monday.1-of-2.jsonl",
        "monday.2-of-2.jsonl",
    ]
    assert output.run("2/3", "-r", path).summary["calls"] == 0
    assert json.loads(run("report", path, "--json").stdout)["tasks"] == 20
    assert output.run(None, "-r", path).summary["calls"] == 0
    assert Path(path).exists()
