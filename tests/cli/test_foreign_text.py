"""
Values that somebody else wrote: those that reverse text, move a terminal or forge a line reach
neither terminal nor log, and long ones are cut.
"""

import json
import unicodedata

import pytest
from command import environment, manifest_of, read_report, run
from origin import Origin, serving
from replies import http, ready, result, says, status

CONTROLS = "\u202e\u2066\u200f\u2028\x9b\x85\x7f\x1b"
NAMES = [f"a{character}b" for character in CONTROLS]


def raw_controls(text):
    """
    Return what is in *text* that must not be, apart from the ends of its lines.
    """
    harmful = {"Cc", "Cs", "Zl", "Zp"}
    return {
        character
        for character in text.replace("\n", "")
        if unicodedata.category(character) in harmful or character in CONTROLS
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_controls_of_manifest_and_service(tmp_path, log_format):
    """
    Whatever manifest and service say, the log has no control character as it is; the log in JSON
    has those of a manifest's values as escapes.
    """
    manifest = tmp_path / "manifest.jsonl"
    rows = [
        {"task_id": f"t{number}", "name": name, "patient": name, "note": {"n": [CONTROLS]}}
        for number, name in enumerate(NAMES)
    ]
    rows += [{"task_id": f"b{name}", "name": f"../{name}"} for name in NAMES]
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    script = {f"t{number}": [ready] for number in range(len(NAMES))}
    script["t0"] = [says("Error", CONTROLS, messages=[CONTROLS], warnings=[CONTROLS])]
    script["t1"] = [http(result(f"x{CONTROLS}", "Pending"))]
    script["t2"] = [says(f"x{CONTROLS}")]
    script["t3"] = [status(403, body=f"no{CONTROLS}".encode())]
    with serving(Origin(script)) as origin:
        finished = run(
            *("fetch", manifest, "-o", tmp_path / "out", "--base-url", origin.base_url),
            *("--attempts", 1, "--log-level", "debug", "--log-format", log_format),
            env=environment(PYTHONIOENCODING="utf-8"),
            encoding="utf-8",
        )
    assert finished.code == 3, finished.stderr
    assert raw_controls(finished.stderr) == set()
    report = tmp_path / "out" / "report.jsonl"
    assert raw_controls(report.read_text(encoding="utf-8")) == set()
    lines = read_report(report)
    assert len(lines) == len(rows)
    assert [line["extra"] for line in lines if line["task_id"] == "t0"] == [
        {"patient": NAMES[0], "note": {"n": [CONTROLS]}}
    ]
    said = [text for line in lines for text in (line["detail"] or "", *line["messages"])]
    assert raw_controls("".join(said)) == set()
    if log_format == "json":
        assert "\\u202e" in finished.stderr
        logged = [json.loads(line) for line in finished.stderr.splitlines()]
        names = {entry["outcome"]["name"] for entry in logged if "outcome" in entry}
        assert NAMES[0] in names


@pytest.mark.parametrize(
    "args",
    [
        ("fetch", f"{CONTROLS}.csv"),
        ("fetch", "ids.txt", "--endpoint", CONTROLS),
        ("fetch", "ids.txt", "--patience", CONTROLS),
        ("fetch", "ids.txt", "--config", f"{CONTROLS}.toml"),
        ("fetch", "ids.txt", f"--{CONTROLS}"),
        ("sandbox", "--faults", CONTROLS),
        ("help", CONTROLS),
        (CONTROLS,),
    ],
    ids=range(8),
)
def test_controls_of_arguments(tmp_path, args):
    """
    A complaint about an argument repeats none of its control characters.
    """
    manifest_of(tmp_path, ["a"]).rename(tmp_path / "ids.txt")
    finished = run(*args, cwd=tmp_path, env=environment(PYTHONIOENCODING="utf-8"), encoding="utf-8")
    assert finished.code == 2
    assert finished.stderr
    assert raw_controls(finished.stderr) == set()


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        (("fetch", "ids.txt", "--endpoint", LONG), "use task, file, "),
        (("fetch", "ids.txt", "--endpoint", f"/{LONG}"), "use at most 1000 printable ASCII"),
        (("fetch", "ids.txt", "--patience", LONG), "use 90, 90s, 15m or 2h"),
        (("fetch", "ids.txt", "--rate", LONG), "use 20, 20/s or 600/m"),
        (("fetch", "ids.txt", "--retry", LONG), "Error, NotExist, TimedOut"),
        (("sandbox", "--faults", LONG), "use 429, 500, reset, "),
        (("sandbox", "--faults", f"reset={LONG}"), "use reset=0.1 or reset=10%"),
        (("help", LONG), "`batchfetch help` lists the topics"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_long_value_is_cut(tmp_path, args, advice):
    """
    A complaint shows the beginning of a long value at most, and what to do.
    """
    manifest_of(tmp_path, ["a"]).rename(tmp_path / "ids.txt")
    finished = run(*args, cwd=tmp_path)
    assert finished.code == 2
    assert advice in finished.stderr
    assert len(finished.stderr) < 400


def test_long_values_of_a_manifest_and_settings_are_cut(tmp_path):
    """
    So does the complaint about a row, a key of the settings file and a variable's name.
    """
    manifest = tmp_path / "manifest.jsonl"
    rows = [{"task_id": "a", "endpoint": LONG}, {"task_id": "b", "endpoint": f"/{LONG}"}]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", manifest, "-o", tmp_path / "out", "--base-url", origin.base_url),
            env=environment(**{f"BATCHFETCH_{LONG}": "1"}),
        )
    assert finished.code == 3
    assert max(map(len, finished.stderr.splitlines())) < 500
    details = [line["detail"] for line in read_report(tmp_path / "out" / "report.jsonl")]
    assert len(details) == 2
    assert max(map(len, details)) < 300
    (tmp_path / "settings.toml").write_text(f"{LONG} = 1\n")
    finished = run("fetch", manifest, "--config", tmp_path / "settings.toml")
    assert finished.code == 2
    assert "is not a setting" in finished.stderr
    assert len(finished.stderr) < 400
