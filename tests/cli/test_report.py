"""
`batchfetch report`: what it says after real runs, what it writes, and what it refuses.
"""

import csv
import json
import re
import subprocess
import sys

import pytest
from command import (
    environment,
    expected_images,
    images_in,
    last_lines,
    manifest_of,
    read_report,
    run,
    run_measured,
)
from origin import Origin, serving
from privileges import unprivileged
from replies import http, ready, says, status, unknown

from batchfetch.cli.report import ReportOptions
from batchfetch.report.figures import Figures

DARK = says("Error", "Error", messages=["too <b>dark</b>"])


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """
    A folder with a manifest and the output of two runs, of which the second mended one task.
    """
    folder = tmp_path_factory.mktemp("night")
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "task_id,name,customer\na,one,x\nb,two,x\nc,,y\nd,,y\ne,,\n-f,,=1+1\n,no-id,y\n",
        encoding="utf-8",
    )
    script = {"b": [unknown], "c": [DARK], "d": [status(404)], "e": [http(b"{}")] * 5 + [ready]}
    with serving(Origin(script)) as origin:
        how = ("-o", folder / "images", "--base-url", origin.base_url, "--attempts", "2")
        assert run("fetch", manifest, *how).code == 3
        assert run("fetch", manifest, *how).code == 3
        assert run("fetch", manifest, *how).code == 3
    return folder


def report(folder, *args, code=0, **variables):
    """
    Run the command in *folder* and return what it printed.
    """
    finished = run("report", *args, cwd=folder, env=environment(**variables))
    assert finished.code == code, finished.stderr
    return finished


def figures_of(folder, *args, **variables):
    """
    The figures that `--json` prints.
    """
    return json.loads(report(folder, *args, "--json", **variables).stdout)


# On the terminal


def test_the_figures_agree_with_the_runs(night):
    """
    Outcomes are those of the last line of each task; calls are those that the runs counted.
    """
    figures = figures_of(night)
    runs = read_report(night / "images/report.runs.jsonl")
    summaries = [line["summary"] for line in runs if line["summary"]]
    tasks = last_lines(night / "images/report.jsonl")
    assert len(summaries) == 3
    assert figures["tasks"] == len(tasks) == 7
    assert figures["outcomes"] == {
        "Completed": 3,
        "Error": 1,
        "NotExist": 1,
        "Failed": 1,
        "Invalid": 1,
    }
    assert figures["calls"] == sum(summary["calls"] for summary in summaries)
    assert figures["bytes"] == sum(summary["bytes"] for summary in summaries)
    assert figures["images"] == 3
    assert [run["exit_code"] for run in figures["runs"]] == [3, 3, 3]
    assert figures["reasons"].keys() == {"not_found", "service_error", "http_404", "bad_row"}


def test_the_text_has_the_figures(night):
    """
    Outcomes with an example, images, calls, money, times, the last runs, and what to do next.
    """
    text = report(night, "--price-per-call", "0.5").stdout
    figures = figures_of(night)
    assert text.startswith("7 tasks in images/report.jsonl\n")
    for pattern in (
        r"^ +3 Completed$",
        r"^ +1 Failed +http_404 +d: .+$",
        r"^ +1 Error +service_error +c: too <b>dark</b>$",
        r"^ +1 Invalid +bad_row +\S+manifest\.csv:8: .+$",
        r"^Images +3 fetched, \d+ B$",
        rf"^Calls +{figures['calls']} \(.* for each image\), 0 too early, .* at 0\.5 a call$",
        r"^Time +from first call to image: median .* s, 95 % within .* s, longest .* s$",
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +.* s +\d+  \d Completed, .*  exit code 3$",
        r"^  batchfetch report images --only Error$",
        r"^  batchfetch report images --only Invalid$",
        r"^  batchfetch report images -o report.html$",
    ):
        assert re.search(pattern, text, re.MULTILINE), pattern
    manifest = night / "manifest.csv"
    output = night / "images"
    assert f"  batchfetch fetch {manifest} -o {output} --retry NotExist\n" in text


def test_the_suggested_command_is_one(night):
    """
    What the report suggests for the next step runs, and asks only what it says.
    """
    text = report(night).stdout
    command = re.search(r"^  batchfetch (fetch .* --retry NotExist)$", text, re.MULTILINE)[1]
    with serving(Origin()) as origin:
        finished = run(*command.split(), "--dry-run", "--json", "--base-url", origin.base_url)
    assert json.loads(finished.stdout)["to_fetch"] == 1


def test_only_lists_tasks(night):
    """
    With `--only` each task with such an outcome has a line; others are not counted.
    """
    text = report(night, "images", "--only", "error,Failed").stdout
    assert "2 tasks in" in text
    assert re.search(r"^c: Error \(service_error\): too <b>dark</b>$", text, re.MULTILINE)
    assert re.search(r"^d: Failed \(http_404\): ", text, re.MULTILINE)
    assert "Completed\n" not in text.split("Images")[0]
    completed = report(night, "--only", "Completed").stdout
    assert "a: Completed: one.png\n" in completed


def test_all_counts_every_line(night):
    """
    With `--all` a task that was tried three times counts three times.
    """
    lines = read_report(night / "images/report.jsonl")
    assert figures_of(night, "--all")["tasks"] == len(lines) > 7


def test_tasks_are_counted_by_a_column(night):
    """
    Each value has its line, tasks without one have theirs.
    """
    text = report(night, "--group-by", "customer").stdout
    assert re.search(r"^customer +tasks +calls +images$", text, re.MULTILINE)
    assert re.search(r"^x +2 .* 1 Completed, 1 NotExist$", text, re.MULTILINE)
    groups = figures_of(night, "--group-by", "customer")["groups"]
    counted = {group["value"]: group["tasks"] for group in groups["groups"]}
    assert counted == {"x": 2, "y": 3, "": 1, "=1+1": 1}


def test_several_reports_are_one(night, tmp_path):
    """
    Outputs and reports may be mixed; one that is named twice is read once.
    """
    (tmp_path / "images").mkdir()
    line = {"task_id": "z", "outcome": "Completed", "calls": 1}
    other = tmp_path / "images/report.jsonl"
    other.write_text(json.dumps(line) + "\n")
    twice = ("images", "images/report.jsonl", other, "images/report.runs.jsonl")
    assert figures_of(night, *twice)["tasks"] == 8
    assert f"8 tasks in images/report.jsonl, {other}\n" in report(night, *twice).stdout


def test_a_report_of_a_run_that_goes_on(tmp_path):
    """
    The beginning of a line that is just being written is told, and the others are counted.
    """
    (tmp_path / "images").mkdir()
    line = json.dumps({"task_id": "z", "outcome": "Completed", "calls": 1})
    (tmp_path / "images/report.jsonl").write_text(f"{line}\n{line[:20]}")
    finished = report(tmp_path)
    assert finished.stdout.startswith("1 task in")
    assert "Skipped lines that are no outcomes: 1\n" in finished.stdout
    assert "images/report.jsonl, line 2 is no outcome and was skipped" in finished.stderr


def test_an_empty_report_is_one(tmp_path):
    """
    A run that was stopped before it had decided anything leaves one.
    """
    (tmp_path / "images").mkdir()
    (tmp_path / "images/report.jsonl").touch()
    assert report(tmp_path).stdout.startswith("0 tasks in images/report.jsonl\n")
    report(tmp_path, "-o", "night.html")
    assert "nothing decided" in (tmp_path / "night.html").read_text()


def test_nothing_in_the_text_controls_the_terminal(tmp_path):
    """
    Words of the service and of the manifest lose what could; an encoding without them is no error.
    """
    (tmp_path / "images").mkdir()
    line = {"task_id": "ä", "outcome": "Error", "calls": 1, "detail": "\x1b[2J\u202eå"}
    line["extra"] = {"\x1b[1m": "\x1b[0m"}
    (tmp_path / "images/report.jsonl").write_text(json.dumps(line) + "\n")
    for args in ([], ["--only", "Error"], ["--group-by", "\x1b[1m"]):
        shown = report(tmp_path, *args, PYTHONIOENCODING="ascii").stdout
        assert "\x1b" not in shown
        assert "?" in shown


def test_outages_and_pauses_are_told(tmp_path):
    """
    Since when, how long, and why, instead of a silence that they explain; another one stays.
    """
    (tmp_path / "images").mkdir()
    times = ("02:00:01", "02:00:02", "02:20:00", "02:50:00")
    with (tmp_path / "images/report.jsonl").open("w") as file:
        for time in times:
            line = {"task_id": time, "outcome": "Completed", "calls": 1, "bytes": 5}
            file.write(json.dumps(line | {"finished_at": f"2026-11-24T{time}Z"}) + "\n")
    outage = {
        "cause": "outage",
        "began_at": "2026-11-24T02:00:10Z",
        "ended_at": "2026-11-24T02:19:50Z",
        "seconds": 1180.0,
        "reason": "example.com:443 cannot be reached: Connection refused",
    }
    pauses = [
        outage
        | {"cause": "pause", "reason": "HTTP 429 Too Many Requests", "seconds": 2.0}
        | {"began_at": f"2026-11-24T02:{minute}:10Z", "ended_at": f"2026-11-24T02:{minute}:12Z"}
        for minute in (21, 22, 23, 24)
    ]
    night = {"run": "x", "began_at": "2026-11-24T02:00:00Z", "ended_at": "2026-11-24T02:50:01Z"}
    night |= {"summary": {"exit_code": 0}, "interruptions": [outage, *pauses]}
    (tmp_path / "images/report.runs.jsonl").write_text(json.dumps(night) + "\n")
    printed = report(tmp_path).stdout
    assert (
        "held for 19 min 40 s from 2026-11-24 02:00:10Z on, because the service could not be "
        "reached: example.com:443 cannot be reached: Connection refused\n"
        "paused 4 times for 8.0 s in all, from 2026-11-24 02:21:10Z to 2026-11-24 02:24:12Z, "
        "because the service had asked for it: HTTP 429 Too Many Requests\n"
        "no outcome for 30 min 00 s from 2026-11-24 02:20:00Z on\n"
    ) in printed
    (run_figures,) = figures_of(tmp_path)["runs"]
    assert run_figures["interruptions"] == [outage, *pauses]
    # Without the half hour, the outage explains the longest silence.
    lines = (tmp_path / "images/report.jsonl").read_text().splitlines()[:3]
    (tmp_path / "images/report.jsonl").write_text("\n".join(lines) + "\n")
    assert "no outcome" not in report(tmp_path).stdout


# Tables


def test_json_lines_are_report_ledger_and_manifest(night):
    """
    The lines are those of the report; with them as a report nothing Completed is asked again.
    """
    report(night, "-o", "last.jsonl")
    lines = (night / "last.jsonl").read_bytes().splitlines()
    assert set(lines) <= set((night / "images/report.jsonl").read_bytes().splitlines())
    assert len(lines) == 7
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", night / "last.jsonl", "-o", night / "images", "-r", night / "last.jsonl"),
            *("--base-url", origin.base_url, "--dry-run", "--json"),
        )
    assert json.loads(finished.stdout)["already"] == 5
    assert figures_of(night, "last.jsonl")["outcomes"] == figures_of(night)["outcomes"]


def test_a_table_is_a_manifest(night, tmp_path):
    """
    What was not Completed is fetched again from the CSV that lists it, under its names.
    """
    report(night, "-o", tmp_path / "again.csv", "--only", "Error,NotExist,Failed")
    with (tmp_path / "again.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["task_id"] for row in rows) == ["b", "c", "d"]
    assert {row["customer"] for row in rows} == {"x", "y"}
    with serving(Origin()) as origin:
        how = ("-o", tmp_path / "images", "--base-url", origin.base_url)
        assert run("fetch", tmp_path / "again.csv", *how).code == 0
    expected = expected_images(["b", "c", "d"])
    assert images_in(tmp_path / "images") == {
        "two": expected["b"],
        "c": expected["c"],
        "d": expected["d"],
    }
    assert last_lines(tmp_path / "images/report.jsonl")["b"]["extra"]["customer"] == "x"


def test_a_table_in_parquet_is_a_manifest(night, tmp_path):
    """
    What was not Completed is fetched again from it; with --all it has every line.
    """
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    again = tmp_path / "again.parquet"
    report(night, "-o", again, "--only", "Error,NotExist,Failed")
    assert sorted(parquet.read_table(again)["customer"].to_pylist()) == ["x", "y", "y"]
    with serving(Origin()) as origin:
        how = ("-o", tmp_path / "images", "--base-url", origin.base_url)
        assert run("fetch", again, *how).code == 0
    expected = expected_images(["b", "c", "d"])
    assert images_in(tmp_path / "images") == {
        "two": expected["b"],
        "c": expected["c"],
        "d": expected["d"],
    }
    assert last_lines(tmp_path / "images/report.jsonl")["b"]["extra"] == {"customer": "x"}
    report(night, "-o", "all.parquet", "--all")
    lines = parquet.read_table(night / "all.parquet")
    assert lines.num_rows == figures_of(night)["lines"]
    done = report(night, "all.parquet", code=2)
    assert "all.parquet is a table in Parquet; give an output folder or a report" in done.stderr


def test_a_table_in_parquet_needs_the_extra(night, tmp_path):
    """
    Without it one sentence says what to install, and other tables are written.
    """
    (tmp_path / "pyarrow.py").write_text(
        'raise ModuleNotFoundError("No module named \'pyarrow\'", name="pyarrow")\n'
    )
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    done = run("report", "-o", "x.parquet", cwd=night, env=env)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(
        "--output: 'x.parquet' needs the extra parquet;"
        " install it with pip install 'batchfetch[parquet]'"
    )
    assert run("report", "-o", "x.csv", cwd=night, env=env).code == 0


def test_a_spreadsheet_runs_nothing(night):
    """
    Ids and columns that begin like a formula are text.
    """
    report(night, "-o", "all.csv")
    with (night / "all.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["task_id"]: row for row in csv.DictReader(file)}
    assert rows["'-f"]["customer"] == "'=1+1"
    done = run("fetch", "all.csv", "--dry-run", "--json", cwd=night)
    assert json.loads(done.stdout)["reasons"] == {}


def test_figures_and_a_file_in_one_go(night):
    """
    `--json` prints the figures beside the file; without it nothing is on stdout.
    """
    finished = report(night, "-o", "x.csv", "--json")
    assert json.loads(finished.stdout) == figures_of(night)
    finished = report(night, "-o", "x.csv")
    assert finished.stdout == ""
    assert re.fullmatch(r"x\.csv: 7 tasks, [\d.]+ KiB\n", finished.stderr)


def test_a_file_is_replaced_whole_or_not_at_all(night, tmp_path):
    """
    A link stays a link to the file that is replaced; nothing else is left in the folder.
    """
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "night.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(folder / "night.csv")
    report(night, "-o", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (folder / "night.csv").read_text(encoding="utf-8-sig").startswith("task_id,outcome,")
    assert [path.name for path in folder.iterdir()] == ["night.csv"]


def test_a_name_of_the_greatest_length(night):
    """
    What is written before the file is in place has a name that fits in any case.
    """
    name = "\N{CAT}" * 62 + ".csv"
    report(night, "-o", name)
    assert (night / name).exists()


def test_a_disk_that_is_full_leaves_the_old_file(night, tmp_path):
    """
    The command ends with 6, says why, and what was there stays.
    """
    (tmp_path / "night.csv").write_text("old")
    limited = f"ulimit -f 0; exec {sys.executable} -m batchfetch report -o {tmp_path}/night.csv"
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {limited}"],
        check=False,
        cwd=night,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert done.returncode == 6
    assert "night.csv cannot be written: File too large" in done.stderr
    assert (tmp_path / "night.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["night.csv"]


# What is refused


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere"], "the report nowhere is not there; give an output folder or a report, or run"),
        (["."], "the report report.jsonl is not there; give"),
        (["~nobody-at-all/images"], "there is no user 'nobody-at-all' on this machine"),
        (["/dev/null"], "the report /dev/null is no regular file; give"),
        (["x" * 300], "x cannot be read: File name too long"),
        (["-o", "x" * 300 + ".csv"], "x.csv' cannot be used: File name too long"),
        (["manifest.csv"], "manifest.csv: none of the 8 lines is an outcome; give"),
        (["images/report.runs.jsonl"], "only logs of runs were given; give"),
        (["-o", "x.txt"], "--output: 'x.txt' ends with none of .html, .csv, .jsonl and .parquet"),
        (["-o", "images/report.jsonl"], "'images/report.jsonl' would replace what is read"),
        (["-o", "images/report.runs.jsonl"], "'images/report.runs.jsonl' would replace what"),
        (["-o", "manifest.csv"], "'manifest.csv' would replace what is read from it; give"),
        (["-o", "folder.csv"], "'folder.csv' is no regular file; give another name"),
        (["--only", "Fialed"], "--only: 'Fialed' is not a valid outcome; use Completed, "),
        (["--only", ","], "--only: names no outcome; use some, with commas between them"),
        (["--group-by", "zork"], "no task has a column 'zork'; there are customer, manifest"),
        (["--price-per-call", "-1"], "--price-per-call: "),
    ],
)
def test_a_mistake_is_said_in_a_sentence(night, args, words):
    """
    The command ends with 2, names the value and what to do, and changes no file.
    """
    (night / "folder.csv").mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in night.rglob("*") if path.is_file()}
    finished = report(night, *args, code=2)
    assert words in finished.stderr
    assert finished.stdout == ""
    assert {path: path.read_bytes() for path in night.rglob("*") if path.is_file()} == before


def test_the_home_folder_is_found(night):
    """
    In a path and in the name of the file, also where no shell replaces it.
    """
    home = {"HOME": str(night)}
    assert figures_of(night, "~/images", **home)["tasks"] == 7
    report(night, "--output=~/home.csv", **home)
    assert (night / "home.csv").exists()


def test_a_folder_that_is_not_there_is_no_place_for_a_file(night):
    """
    Where the file should be is wrong, not the report: exit code 6.
    """
    finished = report(night, "-o", "nowhere/x.csv", code=6)
    assert "nowhere/x.csv cannot be written: No such file or directory" in finished.stderr


# Variables and the settings file


def test_options_are_variables_and_keys_of_a_table(night, tmp_path):
    """
    An option beats the variable, the variable the table [report]; the keys of `fetch` do not count.
    """
    config = tmp_path / "night.toml"
    config.write_text('output = "elsewhere"\n[report]\nprice-per-call = 1\ngroup_by = "customer"\n')
    figures = figures_of(night, "--config", config)
    assert (figures["cost"], figures["groups"]["column"]) == (figures["calls"], "customer")
    figures = figures_of(night, BATCHFETCH_CONFIG=str(config), BATCHFETCH_REPORT_PRICE_PER_CALL="2")
    assert figures["cost"] == 2 * figures["calls"]
    assert figures_of(night, "--config", config, "--price-per-call", "3")["cost"] == (
        3 * figures["calls"]
    )


def test_a_misspelt_key_or_variable_is_told(night, tmp_path):
    """
    The file is refused, a variable is warned of, each with what may have been meant.
    """
    config = tmp_path / "night.toml"
    config.write_text("[report]\nonyl = 'Error'\n")
    finished = report(night, "--config", config, code=2)
    assert f"{config}: onyl is not a setting; did you mean only?" in finished.stderr
    finished = report(night, BATCHFETCH_REPORT_ONYL="Error")
    assert "unknown variable BATCHFETCH_REPORT_ONYL; did you mean" in finished.stderr


def test_fetch_leaves_the_settings_of_others_alone(night, tmp_path):
    """
    Tables and variables of other commands are no mistakes of its own.
    """
    config = tmp_path / "night.toml"
    config.write_text("[report]\nall = true\n[submit]\nrate = 5\n")
    output = tmp_path / "images"
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, ["a"]), "-o", output, "--config", config),
            *("--base-url", origin.base_url),
            env=environment(BATCHFETCH_REPORT_ALL="1"),
        )
    assert finished.code == 0
    assert "warning" not in finished.stderr


def test_every_option_is_a_setting():
    """
    What the table [report] may hold are the options that `--help` shows.
    """
    shown = run("report", "--help").stdout
    for name, field in ReportOptions.model_fields.items():
        assert f"--{(field.alias or name).replace('_', '-')}" in shown


def test_the_figures_have_every_key(night):
    """
    All keys are there, null or not, so that a script need not ask.
    """
    assert list(figures_of(night)) == list(Figures.model_fields)


# Size


@pytest.mark.slow
def test_a_hundred_thousand_lines_are_read_in_little_memory(tmp_path):
    """
    A task takes 210 bytes on top of what the command takes at all.
    """
    empty, full = tmp_path / "empty.jsonl", tmp_path / "full.jsonl"
    empty.touch()
    with full.open("w") as file:
        for number in range(100_000):
            line = {"task_id": f"task-{number}", "outcome": "Completed", "calls": 1, "bytes": 9}
            line |= {"finished_at": "2026-11-24T02:30:00Z", "extra": {"page": f"{number}"}}
            file.write(json.dumps(line) + "\n")
    (code, least), (also, most) = (
        run_measured("report", path, "-o", tmp_path / "x.csv") for path in (empty, full)
    )
    assert code == also == 0
    assert most - least < 100_000 * 300


def test_a_report_that_may_not_be_looked_for_is_told(tmp_path):
    """
    A folder that this user may not search, or not list, is named with the system's reason and what
    to do; for a caller of the library it is an error of ours, too.
    """
    locked = tmp_path / "locked"
    locked.mkdir()
    call = f"import batchfetch; batchfetch.read_report({str(locked)!r})"
    manifest = tmp_path / "m.txt"
    manifest.write_text("a\n")
    shard = locked / "r.1-of-2.jsonl"
    shard.touch()
    fetch = [manifest, "--dry-run", "-o", tmp_path / "o", "-r", locked / "r.jsonl"]
    searched = f"the folder {locked} cannot be searched for reports: Permission denied; allow this"
    for mode, words, message in [
        (0o000, ["-m", "batchfetch", "report", locked], f"{locked} cannot be read: Permission"),
        (0o111, ["-m", "batchfetch", "report", locked], searched),
        (
            0o444,
            ["-m", "batchfetch", "fetch", *fetch],
            f"{shard} cannot be read: Permission denied;",
        ),
        (0o000, ["-c", call], f"batchfetch.errors.ReportError: {searched}"),
    ]:
        locked.chmod(mode)
        command = [*unprivileged(), sys.executable, *words]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        locked.chmod(0o700)
        assert finished.returncode != 0
        assert message in finished.stderr
