"""
Conversion of names and ids into file paths: no path leaves the output.
"""

import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchfetch.manifest import default_filename, image_filename


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("page", "page.png"),
        ("page.png", "page.png"),
        ("page.PNG", "page.PNG"),
        ("page.jpg", "page.jpg.png"),
        ("a/b/c", "a/b/c.png"),
        ("Größe 1 (neu)", "Größe 1 (neu).png"),
        ("-rf", "-rf.png"),
        (".hidden", ".hidden.png"),
        ("a.", "a..png"),
        ("...", "....png"),
        ("~root", "~root.png"),
        ("x" * 251, "x" * 251 + ".png"),
        ("f" * 255 + "/x", "f" * 255 + "/x.png"),
    ],
)
def test_a_name_is_kept_and_ends_in_png(name, filename):
    """
    A safe name is kept unchanged, with .png added if it is missing.
    """
    assert image_filename(name) == filename


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("..", "a .. part"),
        (".", "a . "),
        ("../x", "a .. part"),
        ("a/../../x", "a .. part"),
        ("a/./x", "a . "),
        ("a//x", "an empty"),
        ("a/", "an empty"),
        (".. /x", "ends with a dot or a blank"),
        (".../x", "ends with a dot or a blank"),
        ("..\\x", "backslash"),
        ("C:x", "colon"),
        ("x:stream", "colon"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x9bb", "control"),
        ("a\ud800", "control"),
        ("x" * 252, "255 bytes"),
        ("é" * 126, "255 bytes"),
        ("f" * 256 + "/x", "255 bytes"),
        ("/".join(["abcdefghi"] * 101), "1000 bytes"),
    ],
)
def test_an_unsafe_name_is_refused(name, message):
    """
    A name that could leave the output, or that file systems refuse, gives a printable message.
    """
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        image_filename(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("task_id", "filename"),
    [
        ("94b25465-48cc", "94b25465-48cc.png"),
        ("a/b", "a%2Fb.png"),
        ("../x", "%2E.%2Fx.png"),
        ("..", "%2E..png"),
        ("a\\b:c", "a%5Cb%3Ac.png"),
        ("a%2Fb", "a%252Fb.png"),
        ("scan.png", "scan.png"),
    ],
)
def test_an_id_gives_a_file_directly_in_the_output(task_id, filename):
    """
    Characters of an id that could create folders are percent-encoded.
    """
    assert default_filename(task_id) == filename


@given(st.text(max_size=40))
@example("..")
@example("c:/x")
def test_no_name_leaves_the_output(name):
    """
    A path is relative and has no parent steps, on POSIX and on Windows.
    """
    try:
        filename = image_filename(name)
    except ValueError:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(filename)
        assert not path.anchor
        assert len(path.parts) == filename.count("/") + 1
        assert not any(part.strip(" .") == "" for part in path.parts)
    assert filename.lower().endswith(".png")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=40))
@example("/")
@example("%2F")
def test_every_id_has_a_file(task_id):
    """
    Any short id gives one path component, and different ids give different ones.
    """
    filename = default_filename(task_id)
    assert "/" not in filename
    written = filename.removesuffix(".png")
    assert re.sub("%(..)", lambda code: chr(int(code[1], 16)), written) in {
        task_id,
        task_id.removesuffix(".png"),
    }
