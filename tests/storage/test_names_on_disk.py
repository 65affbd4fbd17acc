"""
No name or id in a manifest, and nothing planted in the output, leads outside the output.
"""

import json

import pytest
from command import images_in, last_lines, parts_in, read_report, run
from origin import Origin, serving

HOSTILE = {
    "parent": "../escaped",
    "parent inside": "a/../../escaped",
    "parent at the end": "a/..",
    "only parent": "..",
    "only dot": ".",
    "absolute": "/tmp/batchfetch-escaped",
    "two slashes": "//tmp/batchfetch-escaped",
    "home": "~/../escaped/",
    "drive letter": "C:escaped",
    "drive and path": "C:\\escaped",
    "backslash": "..\\escaped",
    "share": "\\\\host\\share\\escaped",
    "NUL": "escaped\0.png",
    "line feed": "esc\naped",
    "escape sequence": "esc\x1b[2Japed",
    "too long": "x" * 300,
    "too long in bytes": "ä" * 200,
    "too long altogether": "/".join(["deep"] * 2000),
    "half a surrogate": "\ud800",
}


@pytest.fixture
def fetch(tmp_path):
    """
    Fetch rows of a manifest into `tmp_path/inner/out` and return the finished command and origin.
    """

    def fetch(*rows):
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with serving(Origin()) as origin:
            finished = run(
                *("fetch", manifest, "-o", tmp_path / "inner" / "out", "--json"),
                *("--base-url", origin.base_url),
            )
        return finished, origin

    return fetch


@pytest.fixture
def out(tmp_path):
    """
    The output, made beforehand.
    """
    folder = tmp_path / "inner" / "out"
    folder.mkdir(parents=True)
    return folder


def files_outside(tmp_path, out):
    """
    Return what there is beside the manifest that is not below the output.
    """
    return sorted(
        path.name
        for path in tmp_path.rglob("*")
        if path.is_file() and not path.is_relative_to(out) and path.name != "manifest.jsonl"
    )


def test_hostile_names_are_invalid(fetch, tmp_path, out):
    """
    Each is an Invalid row with its line number; nothing is asked, nothing is written anywhere.
    """
    rows = [{"task_id": f"t{n}", "name": name} for n, name in enumerate(HOSTILE.values())]
    finished, origin = fetch(*rows, {"task_id": "good"})
    report = read_report(out / "report.jsonl")
    verdicts = {line["line"]: (line["outcome"], line["reason"]) for line in report}
    for number, name in enumerate(HOSTILE, 1):
        # What is no text at all makes the whole row unusable.
        reason = "bad_row" if name == "half a surrogate" else "bad_name"
        assert verdicts[number] == ("Invalid", reason), name
    assert finished.code == 3
    assert [call.task_id for call in origin.calls] == ["good"]
    assert list(images_in(out)) == ["good"]
    assert files_outside(tmp_path, out) == []


def test_hostile_ids_stay_in_the_output(fetch, tmp_path, out):
    """
    An id is no path: without another name its image is a plain file of the output, or none.
    """
    finished, origin = fetch(*({"task_id": task_id} for task_id in HOSTILE.values()))
    report = read_report(out / "report.jsonl")
    assert {line["outcome"] for line in report} == {"Completed", "Invalid"}
    assert len(report) == len(HOSTILE)
    assert len(images_in(out)) == len(origin.calls)
    assert all(path.parent == out for path in out.rglob("*.png"))
    assert files_outside(tmp_path, out) == []
    assert finished.code == 3


def test_hostile_id_is_one_value_of_the_query(fetch, out):
    """
    An id may hold anything that can be sent; it stays one value and never becomes a path.
    """
    task_ids = ["a&id=b", "a+b%20c", "../a#b?c", "\u00e4/\u00f6", "a\\b", "a;b=c"]
    finished, origin = fetch(*({"task_id": task_id} for task_id in task_ids))
    assert finished.code == 0, finished.stderr
    assert {call.task_id for call in origin.calls} == set(task_ids)
    assert len(images_in(out)) == len(task_ids)


def test_link_planted_as_a_file_is_not_written_through(fetch, tmp_path, out):
    """
    A symbolic link at the image's place leads nowhere: the file it points to stays as it is.
    """
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (out / "t.png").symlink_to(precious)
    finished, _ = fetch({"task_id": "t"})
    line = last_lines(out / "report.jsonl")["t"]
    assert line["outcome"] in {"Failed", "Invalid"}
    assert line["reason"] == "bad_name"
    assert finished.code == 3
    assert precious.read_text() == "precious"


def test_link_planted_as_a_folder_is_not_followed(fetch, tmp_path, out):
    """
    A symbolic link where a folder should be does not lead out of the output.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    (out / "folder").symlink_to(outside)
    finished, _ = fetch({"task_id": "t", "name": "folder/deeper/t"}, {"task_id": "good"})
    line = last_lines(out / "report.jsonl")["t"]
    assert line["outcome"] in {"Failed", "Invalid"}
    assert line["reason"] == "bad_name"
    assert finished.code == 3
    assert list(outside.rglob("*")) == []
    assert list(images_in(out)) == ["good"]


def test_link_planted_as_the_report_is_not_written_through(fetch, tmp_path, out):
    """
    A symbolic link named like the report does not have another file written to.
    """
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    (out / "report.jsonl").symlink_to(precious)
    fetch({"task_id": "t"})
    assert precious.read_text() == "precious\n"


def test_folder_at_the_image_s_place(fetch, out):
    """
    A folder that has the image's name fails that task alone.
    """
    (out / "t.png").mkdir()
    finished, _ = fetch({"task_id": "t"}, {"task_id": "good"})
    line = last_lines(out / "report.jsonl")["t"]
    assert line["outcome"] in {"Failed", "Invalid"}
    assert line["reason"] == "bad_name"
    assert finished.code == 3
    assert (out / "good.png").is_file()


def test_file_where_a_folder_should_be(fetch, out):
    """
    A file that has a folder's name fails the tasks below it alone.
    """
    finished, _ = fetch(
        {"task_id": "a", "name": "same.png"}, {"task_id": "b", "name": "same.png/deeper"}
    )
    outcomes = {line["task_id"]: line["outcome"] for line in read_report(out / "report.jsonl")}
    assert sorted(outcomes.values()) in (["Completed", "Failed"], ["Completed", "Invalid"])
    assert finished.code == 3
    assert parts_in(out) == []


def test_twins_do_not_overwrite_each_other(fetch, out):
    """
    Two names that some filesystem takes for one: the second row is Invalid.
    """
    twins = {
        "case": ("page", "PAGE"),
        "ending": ("sheet", "sheet.png"),
        "sharp s": ("stra\u00dfe", "STRASSE"),
        "accents composed or not": ("\u00e9", "e\u0301"),
        "folders": ("folder/page", "Folder/Page"),
    }
    rows = [
        {"task_id": f"{kind}-{number}".replace(" ", "-"), "name": name}
        for kind, names in twins.items()
        for number, name in enumerate(names)
    ]
    _, origin = fetch(*rows)
    lines = last_lines(out / "report.jsonl")
    for number, row in enumerate(rows, 1):
        first = row["task_id"].endswith("0")
        line = lines[row["task_id"]]
        verdict = ("Completed", None, number) if first else ("Invalid", "bad_name", number)
        assert (line["outcome"], line["reason"], line["line"]) == verdict
    assert len(origin.calls) == len(twins)


def test_report_and_parts_cannot_be_named(fetch, out):
    """
    Names that begin like our own files do not become images.
    """
    finished, _ = fetch(
        {"task_id": "a", "name": ".hidden.part"}, {"task_id": "b", "name": "report.jsonl"}
    )
    assert finished.code in {0, 3}
    assert all(line["task_id"] in {"a", "b"} for line in read_report(out / "report.jsonl"))
