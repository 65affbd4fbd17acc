"""
Files, lists, tables and reports as sources.
"""

import gzip
import io
import json
import os

import pytest
from images import JPEG, PNG, write

from batchfetch.errors import ManifestError, SettingsError
from batchfetch.models import OutcomeStatus
from batchfetch.sources import Refusal, RefusedSource, SourceImage, read_sources

NOT_EXIST = frozenset({OutcomeStatus.NOT_EXIST})


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(*sources, **options):
    """
    Return the images of *sources*, and what was refused.
    """
    stream = read_sources(sources, **options)
    stream.check()
    found = list(stream)
    images = [each for each in found if isinstance(each, SourceImage)]
    return images, [each for each in found if isinstance(each, RefusedSource)]


def table(path, *rows):
    """
    Write *rows* as JSON Lines at *path*, and return it.
    """
    write(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
    return path


def reported(task_id, outcome="NotExist", source=None, **fields):
    """
    Return a line of a report of `fetch`.
    """
    extra = {} if source is None else {"source": str(source), "source_bytes": 1}
    line = {"task_id": task_id, "outcome": outcome, "calls": 1, "extra": extra}
    extra.update(fields.pop("extra", {}))
    return line | fields


def test_a_file_is_named_by_itself(tmp_path):
    """
    An image that is named is called like its file, without folder and suffix.
    """
    page = write(tmp_path / "scans" / "page.tar.png")
    images, refused = read("scans/page.tar.png")
    assert images == [SourceImage(page, "page.tar")]
    assert refused == []


def test_named_files_with_one_name_keep_their_suffixes(tmp_path):
    """
    Both do, in whatever order they are named.
    """
    for name in ["a.png", "a.jpg", "b.png"]:
        write(tmp_path / name)
    images, _ = read("a.jpg", "b.png", "a.png")
    assert [image.name for image in images] == ["a.jpg", "b", "a.png"]


@pytest.mark.parametrize(
    ("name", "content", "reason", "words"),
    [
        ("missing.png", None, Refusal.UNREADABLE, "No such file or directory"),
        ("empty.png", b"", Refusal.EMPTY, "is empty"),
        ("notes.txt", b"some notes\n", Refusal.NOT_IMAGE, "batchfetch submit - < LIST"),
        ("notes.md", b"# Notes\n", Refusal.NOT_IMAGE, "nor a table with a column source"),
        ("ids.csv", b"task_id,name\n1,a\n", Refusal.NOT_IMAGE, "has no column 'source'"),
        ("ids.jsonl", b'{"task_id": "1"}\n', Refusal.NOT_IMAGE, "has no key 'source'"),
        ("page.webp", b"RIFF\x10\0\0\0WEBPVP8 ", Refusal.NOT_IMAGE, "zero bytes"),
        ("page.pdf", b"%PDF-1.7\n", Refusal.NOT_IMAGE, "it is a PDF"),
        ("page.png", b"<html>error 404</html>", Refusal.NOT_IMAGE, "PNG, JPEG, TIFF, BMP or GIF"),
    ],
)
def test_what_is_named_and_is_no_image_is_told(tmp_path, name, content, reason, words):
    """
    Each has one line that names it and says why, and the other sources are submitted.
    """
    if content is not None:
        write(tmp_path / name, content)
    write(tmp_path / "good.png")
    images, (refused,) = read(name, "good.png")
    assert [image.name for image in images] == ["good"]
    assert (refused.reason, refused.source) == (reason, str(tmp_path / name))
    assert words in refused.detail
    assert name in refused.detail


@pytest.mark.parametrize("name", ["client_secret", "page.png", ".env"])
def test_the_content_of_what_is_no_table_is_not_quoted(tmp_path, name):
    """
    A file that was named by mistake may hold a secret, which no log or report repeats.
    """
    write(tmp_path / name, b"s3cr3t-1234\n")
    images, (refused,) = read(name)
    assert (images, refused.reason) == ([], Refusal.NOT_IMAGE)
    assert refused.detail == (
        f"{name} is neither an image (PNG, JPEG, TIFF, BMP or GIF) nor a table with a column source"
    )


def test_files_that_the_system_makes_up_are_empty():
    """
    They have no size, and reading some of them never ends.
    """
    images, (refused,) = read("/proc/self/status")
    assert (images, refused.reason) == ([], Refusal.EMPTY)


@pytest.mark.parametrize("device", ["/dev/zero", "pipe"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, device):
    """
    A device and a pipe that nobody writes to are told, without waiting for them.
    """
    os.mkfifo(tmp_path / "pipe")
    images, (refused,) = read(device)
    assert (images, refused.reason) == ([], Refusal.UNREADABLE)
    assert "is no regular file" in refused.detail


def test_the_home_folder(tmp_path, monkeypatch):
    """
    `~` is the home folder in an argument; a user that does not exist is a usage error.
    """
    write(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [image.path for image in read("~/a.png")[0]] == [tmp_path / "a.png"]
    with pytest.raises(ManifestError, match="there is no user 'nobody-at-all'"):
        read_sources(["~nobody-at-all/a.png"])


def test_paths_on_standard_input(tmp_path):
    """
    One path a line: files are named by their path as it is given, and folders are searched through.
    """
    write(tmp_path / "scans" / "a.png")
    write(tmp_path / "scans" / "b c.png")
    write(tmp_path / "more" / "d.png")
    away = write(tmp_path / "away" / "e.png")
    lines = f"./scans/a.png\n\nscans/b c.png\r\nmore\n{away}\nscans/../away/../scans/a.png\nmissing"
    images, (refused,) = read("-", stdin=io.BytesIO(lines.encode()))
    assert [image.name for image in images] == ["scans/a", "scans/b c", "d", "e"]
    assert images[1].path == tmp_path / "scans" / "b c.png"
    assert [(image.manifest, image.line) for image in images] == [
        *(("-", 1), ("-", 3)),
        *((None, None), ("-", 5)),
    ]
    assert (refused.reason, refused.line) == (Refusal.UNREADABLE, 7)


def test_a_list_with_one_name_twice(tmp_path):
    """
    The first of a list has the name before the second is known; that one keeps its suffix.
    """
    for name in ["a.gif", "a.jpg", "a.png"]:
        write(tmp_path / name)
    images, _ = read("-", stdin=io.BytesIO(b"a.gif\na.jpg\na.png\n"))
    assert [image.name for image in images] == ["a", "a.jpg", "a.png.png"]


def test_a_table_on_a_list_of_paths_is_no_image(tmp_path):
    """
    `find | submit -` that comes upon a report does not submit what it reports on.
    """
    table(tmp_path / "report.jsonl", reported("1", source=write(tmp_path / "a.png")))
    images, (refused,) = read("-", stdin=io.BytesIO(b"report.jsonl\n"))
    assert (images, refused.reason) == ([], Refusal.NOT_IMAGE)


@pytest.mark.parametrize("line", [b"b.png\0c.png\0", b"x" * 70_000 + b"\n"])
def test_what_is_no_list_of_paths(tmp_path, line):
    """
    Zero bytes between paths, and lines that no path can have, end the reading where they are.
    """
    write(tmp_path / "a.png")
    found = iter(read_sources(["-"], stdin=io.BytesIO(b"a.png\n" + line)))
    assert next(found).name == "a"
    with pytest.raises(ManifestError, match="line 2 of standard input is no path"):
        next(found)


def test_a_path_that_is_too_long(tmp_path):
    """
    A path that the system does not take is told, and the list goes on.
    """
    write(tmp_path / "a.png")
    images, (refused,) = read("-", stdin=io.BytesIO(b"x" * 5000 + b"\na.png\n"))
    assert ([image.name for image in images], refused.reason) == (["a"], Refusal.UNREADABLE)


def test_an_empty_source_is_not_the_current_folder(tmp_path):
    """
    `submit "$SCANS"` with a variable that is not set is a usage error.
    """
    write(tmp_path / "a.png")
    with pytest.raises(ManifestError, match="a SOURCE is empty"):
        read_sources([""])


ROWS = [("scans/a.png", "one", "binarize", "Nordwind"), ("scans/b.png", "", "", "Süd, GmbH")]
CSV = "source,name,endpoint,customer\n" + "".join(f'{a},{b},{c},"{d}"\n' for a, b, c, d in ROWS)
TSV = "customer\tSource\tName\tEndpoint\n" + "".join(f"{d}\t{a}\t{b}\t{c}\n" for a, b, c, d in ROWS)
JSONL = "".join(
    f"{json.dumps({'source': a, 'name': b or None, 'endpoint': c or None, 'customer': d})}\n"
    for a, b, c, d in ROWS
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV.encode()),
        ("t.csv", CSV.replace(",", ";").replace("Süd;", "Süd,").encode("utf-16")),
        ("t.tsv", TSV.encode()),
        ("t.jsonl", JSONL.encode()),
        ("t.png", JSONL.encode()),
        ("t.dat", CSV.encode("utf-8-sig")),
        ("t.csv.gz", gzip.compress(CSV.encode())),
        ("t.jsonl.gz", gzip.compress(JSONL.encode())),
    ],
)
def test_tables_in_every_format(tmp_path, name, content):
    """
    A table is known by its content, and its other columns go with the image.
    """
    write(tmp_path / "scans" / "a.png")
    write(tmp_path / "scans" / "b.png", JPEG)
    write(tmp_path / name, content)
    images, refused = read(name)
    assert refused == []
    first, second = images
    assert first == SourceImage(
        tmp_path / "scans" / "a.png",
        *("one", "binarize", None, {"customer": "Nordwind"}, name),
        2 if b"Nordwind" not in content.split(b"\n")[0] and "csv" in name else first.line,
    )
    assert (second.name, second.endpoint) == ("scans/b", None)
    assert second.extra == {"customer": "Süd, GmbH"}


def test_rows_that_cannot_be_used(tmp_path):
    """
    Each row has one sentence, and its other columns; the rest of the table is submitted.
    """
    write(tmp_path / "a.png")
    write(tmp_path / "empty.png", b"")
    write(tmp_path / "note.png", b"a note")
    rows = [
        {"source": "a.png", "page": 1},
        {"page": 2},
        {"source": None, "page": 3},
        {"source": ["a.png"], "page": 4},
        {"source": "missing.png", "page": 5},
        {"source": "empty.png", "page": 6},
        {"source": "note.png", "page": 7},
        {"source": ".", "page": 8},
        {"source": "a.png", "endpoint": "sharpen", "page": 9},
        {"source": "a.png", "name": "../a", "page": 10},
        {"source": "a\0.png", "page": 11},
    ]
    images, refused = read(table(tmp_path / "t.jsonl", *rows))
    assert [image.extra["page"] for image in images] == [1]
    assert [(each.line, each.extra["page"]) for each in refused] == [(n, n) for n in range(2, 12)]
    assert [each.reason.value for each in refused] == [
        *("bad_row", "bad_row", "bad_row", "unreadable", "empty", "not_image", "unreadable"),
        *("bad_row", "bad_name", "unreadable"),
    ]
    assert "images cannot be submitted to the endpoint 'sharpen'" in refused[7].detail
    assert (refused[7].source, refused[7].endpoint) == ("a.png", "sharpen")
    assert refused[8].name == "../a"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("upscale", "upscale"),
        ("/v5.0/ocr/DewarpImage", "dewarp"),
        ("task", None),
        ("file", None),
        ("/v5.0/ocr/ImageProcessing/GetResultTask", None),
    ],
)
def test_endpoints_of_rows(tmp_path, endpoint, expected):
    """
    A path means its filter; an endpoint for results of every filter means that of the settings.
    """
    write(tmp_path / "a.png")
    (image,), _ = read(table(tmp_path / "t.jsonl", {"source": "a.png", "endpoint": endpoint}))
    assert image.endpoint == expected


def test_blanks_in_a_path(tmp_path):
    """
    Blanks around a path are part of it if a file is called so, and otherwise they are not.
    """
    write(tmp_path / " a.png ")
    write(tmp_path / "b.png")
    images, _ = read(table(tmp_path / "t.jsonl", {"source": " a.png "}, {"source": " b.png "}))
    assert [image.path.name for image in images] == [" a.png ", "b.png"]


def test_a_manifest_written_by_submit(tmp_path):
    """
    It is a table: what it says of a submission is said anew, and the rest goes with the image.
    """
    page = write(tmp_path / "a.png")
    line = {
        "task_id": "T1",
        "name": "folder/a",
        "submitted_at": "2026-11-25T01:00:00Z",
        "endpoint": "deskew",
        "source": str(page),
        "source_bytes": 24,
        "source_sha256": "0",
        "customer": "Nordwind",
    }
    (image,), refused = read(table(tmp_path / "manifest.jsonl", line))
    assert refused == []
    assert (image.name, image.endpoint, image.key) == ("folder/a", "deskew", None)
    assert image.extra == {"customer": "Nordwind", "resubmits": "T1"}


def test_an_own_column_id_is_kept(tmp_path):
    """
    An `id` in a table of images is the table's own, and not that of a task.
    """
    write(tmp_path / "a.png")
    (image,), _ = read(table(tmp_path / "t.jsonl", {"id": 17, "source": "a.png"}))
    assert (image.key, image.extra) == (None, {"id": 17})


def test_a_row_twice_is_one_image(tmp_path):
    """
    A table given twice, by two paths, gives each image once.
    """
    write(tmp_path / "a.png")
    table(tmp_path / "t.jsonl", {"source": "a.png"})
    (tmp_path / "u.jsonl").symlink_to("t.jsonl")
    stream = read_sources(["t.jsonl", "u.jsonl"])
    assert len(list(stream)) == 1
    assert stream.repeated == 1


def test_the_last_line_of_each_task_counts(tmp_path):
    """
    A report gives the tasks whose last line has a chosen outcome, by their ids and names.
    """
    for name in ["a", "b", "c", "d"]:
        write(tmp_path / f"{name}.png")
    report = table(
        tmp_path / "report.jsonl",
        reported("T-A", "TimedOut", tmp_path / "a.png", name="folder/a"),
        reported("T-B", "NotExist", tmp_path / "b.png", name="b"),
        reported("t-a", "NotExist", tmp_path / "a.png", name="folder/a", endpoint="dewarp"),
        reported("T-B", "Completed", tmp_path / "b.png", name="b"),
        reported("T-C", "Error", tmp_path / "c.png", name="c"),
        reported("T-D", "NotExist", tmp_path / "d.png", extra={"customer": "Nordwind"}),
    )
    images, refused = read(report, only=NOT_EXIST)
    assert refused == []
    assert [(image.key, image.name, image.line) for image in images] == [
        *(("t-a", "folder/a", 3), ("T-D", "T-D", 6))
    ]
    assert images[0].endpoint == "dewarp"
    assert images[0].extra == {"resubmits": "t-a"}
    assert images[1].extra == {"customer": "Nordwind", "resubmits": "T-D"}
    assert images[1].manifest == str(report)
    assert len(read(report)[0]) == 4


def test_a_task_that_was_replaced_is_not_submitted_again(tmp_path):
    """
    A task in whose place another one of the report was submitted has its successor's outcome.
    """
    page = write(tmp_path / "a.png")
    report = table(
        tmp_path / "report.jsonl",
        reported("T1", "NotExist", page, name="a"),
        reported("T2", "Completed", page, name="a", extra={"resubmits": "T1"}),
        reported("T3", "NotExist", page, name="b"),
        reported("T4", "NotExist", page, name="b", extra={"resubmits": "t3"}),
    )
    images, _ = read(report, only=NOT_EXIST)
    assert [(image.key, image.extra["resubmits"]) for image in images] == [("T4", "T4")]


def test_tasks_without_a_source_are_refused_one_by_one(tmp_path):
    """
    Each has one sentence that names it.
    """
    page = write(tmp_path / "a.png")
    report = table(
        tmp_path / "report.jsonl", reported("T1"), reported("T2", source=page), reported("T3")
    )
    images, refused = read(report, only=NOT_EXIST)
    assert [image.key for image in images] == ["T2"]
    assert ["'T1'" in refused[0].detail, "'T3'" in refused[1].detail] == [True, True]
    assert {each.reason for each in refused} == {Refusal.BAD_ROW}


def test_a_damaged_report(tmp_path):
    """
    Lines that are none are passed over, and a torn last one.
    """
    page = write(tmp_path / "a.png")
    report = tmp_path / "report.jsonl"
    line = json.dumps(reported("T1", source=page))
    report.write_text(f"\0\0\n{line}\nnot json\n{line[:30]}")
    images, refused = read(report, only=NOT_EXIST)
    assert ([image.key for image in images], refused) == (["T1"], [])


def test_a_report_as_a_table(tmp_path):
    """
    What `batchfetch report -o` writes as CSV is chosen from by its outcomes, too.
    """
    page = write(tmp_path / "a.png")
    write(
        tmp_path / "lost.csv",
        f"task_id,outcome,reason,calls,name,source\nT1,NotExist,expired,1,a,{page}\n"
        f"T2,Completed,,1,b,{page}\n".encode(),
    )
    (image,), _ = read("lost.csv", only=NOT_EXIST)
    assert (image.key, image.name, image.extra) == ("T1", "a", {"resubmits": "T1"})


def test_a_compressed_report_is_refused(tmp_path):
    """
    The last line of each task is found in a file that can be read twice only.
    """
    line = json.dumps(reported("T1", source=write(tmp_path / "a.png")))
    write(tmp_path / "report.jsonl.gz", gzip.compress(f"{line}\n".encode()))
    images, refused = read("report.jsonl.gz")
    assert images == []
    assert "report" in refused[0].detail


@pytest.mark.parametrize(
    "line",
    [
        {"source": "/a.png", "outcome": "Failed", "calls": 1, "task_id": None, "started_at": ""},
        {"task_id": None, "intent": "0123", "source": "/a.png", "started_at": ""},
        {"task_id": None, "checkpoint": "/manifest.jsonl"},
    ],
)
def test_a_report_of_submit_is_refused(tmp_path, line):
    """
    It is the ledger of submissions; one sentence says what to give instead.
    """
    images, (refused,) = read(table(tmp_path / "manifest.report.jsonl", line))
    assert (images, refused.reason) == ([], Refusal.NOT_IMAGE)
    assert "is a report of submit" in refused.detail


@pytest.mark.parametrize("source", ["-", ".", "a.png", "t.csv"])
def test_only_reports_have_outcomes(tmp_path, source):
    """
    Outcomes chosen of what has none are a usage error before anything is sent.
    """
    write(tmp_path / "a.png")
    write(tmp_path / "t.csv", b"source\na.png\n")
    stream = read_sources([source], only=NOT_EXIST, stdin=io.BytesIO(b""))
    with pytest.raises(SettingsError, match="has no outcomes; give a report of fetch"):
        stream.check()


def test_a_report_is_read_in_its_order(tmp_path):
    """
    Ten thousand tasks come in the order of their lines.
    """
    page = write(tmp_path / "a.png", PNG)
    lines = [reported(f"T{n}", source=page, name=f"n{n}") for n in range(10_000)]
    images, _ = read(table(tmp_path / "report.jsonl", *lines), only=NOT_EXIST)
    assert [image.name for image in images] == [f"n{n}" for n in range(10_000)]


def test_parquet_has_sources_as_other_tables_have(tmp_path):
    """
    Every row is read, with its columns, and a row that is none is refused with its number.
    """
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415 - after the check that it is there

    for name in ["a.png", "b c.png"]:
        write(tmp_path / name)
    columns = {"source": ["a.png", "b c.png", None], "name": [None, "B", None], "ward": [1, 2, 3]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    images, (refused,) = read("x.parquet")
    assert [(each.path, each.name, each.extra, each.line) for each in images] == [
        (tmp_path / "a.png", "a", {"ward": 1}, 1),
        (tmp_path / "b c.png", "B", {"ward": 2}, 2),
    ]
    assert (refused.detail, refused.line) == ("the row has no source; say where its image is", 3)


def test_parquet_without_sources_is_refused(tmp_path):
    """
    The message names the file and the column.
    """
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415 - after the check that it is there

    write(tmp_path / "good.png", PNG)
    parquet.write_table(pyarrow.table({"task_id": ["a"]}), tmp_path / "x.parquet")
    _, (refused,) = read("x.parquet", "good.png")
    assert "x.parquet" in refused.detail
    assert "source" in refused.detail
