"""
Folders as sources: what is found, in which order, and what it is called.
"""

import json
import os
import socket

import pytest
from command import read_report, run
from images import BIG_ENDIAN_TIFF, BMP, GIF, JPEG, PNG, TIFF, write
from privileges import unprivileged

from batchfetch.manifest import Manifest
from batchfetch.paths import fold_name
from batchfetch.sources import Refusal, RefusedSource, SourceImage, read_sources
from batchfetch.sources.files import open_regular
from batchfetch.sources.listing import Listing


def read(*sources, **options):
    """
    Return the images of *sources*, what was refused, and what was counted.
    """
    stream = read_sources(sources, **options)
    stream.check()
    found = list(stream)
    images = [each for each in found if isinstance(each, SourceImage)]
    refused = [each for each in found if isinstance(each, RefusedSource)]
    return images, refused, stream


def names(images):
    """
    Return what *images* are called.
    """
    return [image.name for image in images]


def test_a_folder_is_searched_through(tmp_path):
    """
    Images anywhere below the folder are named by their path, without suffix, in a stable order.
    """
    for name in ["b.png", "a.jpg", "c/d/e.tif", "c/a.bmp", "C2/x.gif"]:
        write(tmp_path / name)
    images, refused, stream = read(tmp_path)
    assert names(images) == ["a", "b", "C2/x", "c/a", "c/d/e"]
    assert [image.path for image in images] == [
        tmp_path / name for name in ["a.jpg", "b.png", "C2/x.gif", "c/a.bmp", "c/d/e.tif"]
    ]
    assert (refused, stream.skipped) == ([], 0)
    assert names(read(tmp_path)[0]) == names(images)


@pytest.mark.parametrize("content", [PNG, JPEG, TIFF, BIG_ENDIAN_TIFF, GIF, BMP])
def test_images_are_known_by_their_content(tmp_path, content):
    """
    A file is an image by its first bytes, whatever it is called.
    """
    write(tmp_path / "page.dat", content)
    assert names(read(tmp_path)[0]) == ["page"]


@pytest.mark.parametrize(
    "content",
    [
        b"BMW and others: a list of prices, long enough for the header of a bitmap",
        b"\x89PNG",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"%PDF-1.7",
        b"{}",
        b"",
    ],
)
def test_what_a_search_finds_and_is_no_image_is_counted(tmp_path, content):
    """
    Other files are skipped whatever they are called, and counted.
    """
    write(tmp_path / "page.png", content)
    images, refused, stream = read(tmp_path)
    assert (images, refused, stream.skipped) == ([], [], 1)


def test_hidden_files_and_folders_are_left_alone(tmp_path):
    """
    What begins with a dot below the folder is not looked at; the folder itself may be hidden.
    """
    root = tmp_path / ".scans"
    write(root / "a.png")
    write(root / ".b.png")
    write(root / ".git" / "c.png")
    images, refused, stream = read(root)
    assert (names(images), refused, stream.skipped) == (["a"], [], 0)


def test_links_that_stay_in_the_folder_are_followed(tmp_path):
    """
    A link to a file of the folder is an image by its own name, also if the file is hidden.
    """
    root = tmp_path / "scans"
    write(root / ".store" / "x1")
    (root / "a.png").symlink_to(".store/x1")
    (root / "b").mkdir()
    (root / "b" / "c.png").symlink_to("../.store/x1")
    images, _, _ = read(root)
    assert names(images) == ["a", "b/c"]


def test_links_out_of_the_folder_are_left_alone(tmp_path):
    """
    A link to a file elsewhere is counted, however it gets there; so are links to nothing.
    """
    outside = write(tmp_path / "scans2" / "secret.png")
    root = tmp_path / "scans"
    root.mkdir()
    (root / "a.png").symlink_to(outside)
    (root / "b.png").symlink_to("../scans2/secret.png")
    (root / "nothing.png").symlink_to("missing.png")
    (root / "self.png").symlink_to("self.png")
    images, refused, stream = read(root)
    assert (images, refused, stream.skipped) == ([], [], 4)


def test_a_folder_may_be_given_by_a_link(tmp_path):
    """
    The SOURCE itself may be a link; images are named and found below it.
    """
    write(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "b.png").symlink_to("a.png")
    (tmp_path / "link").symlink_to("real")
    images, _, _ = read(tmp_path / "link")
    assert [image.path for image in images] == [tmp_path / "link" / f"{n}.png" for n in "ab"]


def test_links_to_folders_make_no_loop(tmp_path):
    """
    A folder that links to itself is searched once.
    """
    write(tmp_path / "a.png")
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "up").symlink_to("..")
    images, refused, stream = read(tmp_path)
    assert (names(images), refused, stream.skipped) == (["a"], [], 2)


def test_special_files_are_counted_and_not_opened(tmp_path):
    """
    A pipe that has no writer, a socket and a device do not stop a search.
    """
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.png"))
        images, refused, stream = read(tmp_path)
    assert (images, refused, stream.skipped) == ([], [], 3)


def test_two_images_with_one_name_keep_their_suffixes(tmp_path):
    """
    Both do, and so do those that differ only in case; another file of that name is no image.
    """
    for name in ["a.png", "a.jpg", "B.gif", "b.tif", "c.png", "d/a.png"]:
        write(tmp_path / name)
    write(tmp_path / "c.txt", b"a note")
    images, refused, stream = read(tmp_path)
    assert names(images) == ["a.jpg", "a.png", "B.gif", "b.tif", "c", "d/a"]
    assert (refused, stream.skipped) == ([], 1)


def test_names_that_would_be_one_file_are_told_apart(tmp_path):
    """
    `scan.png.png` without suffix would be called like `scan.png`, so both keep theirs.
    """
    write(tmp_path / "scan.png")
    write(tmp_path / "scan.png.png")
    assert names(read(tmp_path)[0]) == ["scan.png", "scan.png.png"]


def test_no_two_images_get_one_name(tmp_path):
    """
    Where suffixes do not help, the later one is refused before it is paid for.
    """
    for name in ["a.png", "a.jpg", "a.jpg.png"]:
        write(tmp_path / name)
    images, (refused,), _ = read(tmp_path)
    assert names(images) == ["a.jpg", "a.png"]
    assert (refused.reason, refused.source) == (Refusal.BAD_NAME, str(tmp_path / "a.jpg"))
    assert "another image of this submission has the name 'a.jpg'" in refused.detail


def test_two_folders_with_one_name(tmp_path):
    """
    An image of a second folder keeps its suffix if its name has been given.
    """
    write(tmp_path / "one" / "a.png")
    write(tmp_path / "two" / "a.jpg")
    write(tmp_path / "two" / "b.png")
    images, refused, _ = read(tmp_path / "one", tmp_path / "two")
    assert (names(images), refused) == (["a", "a.jpg", "b"], [])


def test_overlapping_sources_give_each_image_once(tmp_path):
    """
    A folder, one below it, a link to it and a file in it: no image is handed out twice.
    """
    page = write(tmp_path / "sub" / "a.png")
    (tmp_path / "link").symlink_to("sub")
    images, refused, stream = read(tmp_path, tmp_path / "sub", tmp_path / "link", page)
    assert (names(images), refused, stream.repeated) == (["sub/a"], [], 3)


@pytest.mark.parametrize("name", ["a:b.png", "a\\b.png", "a\nb.png", "x. /a.png", "n" * 253 + ".p"])
def test_names_that_fetch_does_not_take_are_refused(tmp_path, name):
    """
    An image whose result would have no name is told, and not submitted.
    """
    write(tmp_path / name)
    images, (refused,), _ = read(tmp_path)
    assert (images, refused.reason) == ([], Refusal.BAD_NAME)
    assert "the name" in refused.detail


def test_names_are_what_fetch_will_make_of_them(tmp_path):
    """
    Blanks around a name are none in a manifest, and words like NULL are no name.
    """
    for name in [" a .png", "a.png", "NULL.png", "None.jpg", "nan", "\u3000.png"]:
        write(tmp_path / name)
    images, refused, _ = read(tmp_path)
    assert names(images) == [".png", "a .png", "a.png", "None.jpg", "NULL.png"]
    assert [each.source for each in refused] == [str(tmp_path / "nan")]
    rows = [{"task_id": f"T{number}", "name": name} for number, name in enumerate(names(images))]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    jobs = list(Manifest(tmp_path / "m.jsonl"))
    assert [job.name for job in jobs] == names(images)
    assert len({fold_name(job.filename) for job in jobs}) == len(jobs)


def test_paths_that_are_not_utf8_are_refused(tmp_path):
    """
    A manifest cannot hold such a path, so the image could never be submitted again.
    """
    root = tmp_path / os.fsdecode(b"sc\xe4ns")
    write(root / "a.png")
    images, (refused,), _ = read(root)
    assert (images, refused.reason) == ([], Refusal.BAD_NAME)
    assert refused.source == f"{tmp_path}/sc\ufffdns/a.png"
    assert "is not UTF-8" in refused.detail


def test_folders_in_each_other_without_end(tmp_path):
    """
    What is deeper than `fetch` takes is told by its folder.
    """
    deep = tmp_path.joinpath(*["d"] * 101)
    write(deep / "a.png")
    write(deep.parent / "b.png")
    images, (refused,), _ = read(tmp_path)
    assert len(images) == 1
    assert (refused.reason, refused.source) == (Refusal.BAD_NAME, str(deep))


def test_what_may_not_be_read_is_told(tmp_path):
    """
    A folder and a file without permission have a line each; the search goes on.
    """
    write(tmp_path / "scans" / "a.png")
    write(tmp_path / "scans" / "closed" / "b.png").parent.chmod(0)
    write(tmp_path / "scans" / "c.png").chmod(0)
    done = run("submit", "scans", "--sandbox", cwd=tmp_path, prefix=unprivileged())
    (tmp_path / "scans" / "closed").chmod(0o700)
    assert done.code == 3, done.stderr
    lines = [each for each in read_report(tmp_path / "manifest.report.jsonl") if "outcome" in each]
    told = {(each["name"], each["reason"], each["source"]) for each in lines}
    assert told == {
        ("a", None, f"{tmp_path}/scans/a.png"),
        (None, "unreadable", f"{tmp_path}/scans/c.png"),
        (None, "unreadable", f"{tmp_path}/scans/closed/"),
    }


@pytest.mark.parametrize("other", ["pipe", "device", "folder"])
def test_a_file_that_becomes_something_else_is_not_waited_for(tmp_path, other):
    """
    An image that is a pipe, a device or a folder by the time it is sent cannot be read.
    """
    path = tmp_path / "a.png"
    match other:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(OSError, match=r"no regular file any more|Is a directory"):
        open_regular(path)


def test_a_folder_that_goes_meanwhile_is_told(tmp_path):
    """
    A folder that was seen and is gone when its turn comes has a line, and the search goes on.
    """
    write(tmp_path / "a.png")
    gone = write(tmp_path / "b" / "x.png")
    write(tmp_path / "c" / "y.png")
    found = iter(read_sources([tmp_path]))
    assert next(found).name == "a"
    gone.unlink()
    gone.parent.rmdir()
    refused, last = found
    assert (refused.reason, last.name) == (Refusal.UNREADABLE, "c/y")


def test_files_that_go_meanwhile_are_counted(tmp_path):
    """
    A file that was listed and is gone when it is looked at was no image of this submission.
    """
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    stream = read_sources([tmp_path])
    found = iter(stream)
    assert next(found).name == "a"
    (tmp_path / "b.png").unlink()
    assert (list(found), stream.skipped) == ([], 1)


def test_results_of_fetch_carry_their_names_on(tmp_path):
    """
    An output given as SOURCE gives its images, by their names; report and parts are none.
    """
    for name in ["a.png", "b/c.png", ".b.part"]:
        write(tmp_path / name)
    write(tmp_path / "report.jsonl", b'{"task_id":"1","outcome":"Completed","calls":1}\n')
    write(tmp_path / "report.runs.jsonl", b"{}\n")
    images, refused, stream = read(tmp_path)
    assert (names(images), refused, stream.skipped) == (["a", "b/c"], [], 2)


def test_an_output_of_fetch_further_down_is_left_alone(tmp_path, caplog):
    """
    `submit .` does not submit the results that an earlier run has put beside the scans.
    """
    write(tmp_path / "a.png")
    write(tmp_path / "images" / "a.png")
    for name in ["report.jsonl", "report.runs.jsonl"]:
        write(tmp_path / "images" / name, b"{}\n")
    images, refused, _ = read(tmp_path)
    assert (names(images), refused) == (["a"], [])
    assert f"{tmp_path}/images/ is an output of fetch" in caplog.text


def test_a_listing_merges_its_runs():
    """
    Names beyond those that are sorted at once come in the same order.
    """
    listing = Listing(str.casefold)
    expected = [f"{number % 7}-Seite-{number}\udce4.png" for number in range(45_000)]
    for name in expected:
        listing.add(name)
    assert list(listing) == sorted(expected, key=lambda name: (name.casefold(), name))


@pytest.mark.slow
def test_a_hundred_thousand_files(tmp_path):
    """
    Each is found once, in order.
    """
    for number in range(100_000):
        (tmp_path / f"{number % 1000}-{number}.png").write_bytes(PNG)
    found = [image.name for image in read_sources([tmp_path])]
    assert len(set(found)) == 100_000
    assert found == sorted(found, key=lambda name: f"{name}.png")
