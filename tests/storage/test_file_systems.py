"""
File systems that take fewer names than this machine's own, or have no locks.

The real command on NTFS through FUSE, under locales without UTF-8, and with system calls that the
kernel is told to refuse.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
from command import environment, images_in, last_lines, parts_in, run
from origin import Origin, serving
from replies import png_of

NAMES = ["plain", "Страница 1", "größe/ß", "頁", 'a"b', "what?", "a*b", "a<b>c", "a|b", "folder?/x"]
REFUSED = {name for name in NAMES if set(name) & set('"?*<>|')}


@pytest.fixture
def origin():
    """
    The service.
    """
    with serving(Origin()) as origin:
        yield origin


@pytest.fixture
def fetch(tmp_path, origin):
    """
    Fetch tasks with given names into *out* with the real command.
    """

    def fetch(out, names, *options, **how):
        manifest = tmp_path / "manifest.jsonl"
        rows = ({"id": f"t{number}", "name": name} for number, name in enumerate(names))
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return run(
            *("fetch", manifest, "-o", out, "--json", "--base-url", origin.base_url, *options),
            **how,
        )

    return fetch


@pytest.fixture
def ntfs(tmp_path):
    """
    A file system of Windows, which refuses names that Windows would.
    """
    if os.geteuid() != 0 or not shutil.which("mkntfs") or not shutil.which("ntfs-3g"):
        pytest.skip("mounting NTFS takes root, mkntfs and ntfs-3g")
    image, folder = tmp_path / "disk.img", tmp_path / "ntfs"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8 * 2**20)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["mkntfs", "--quick", "--force", image], check=True, **quiet)
    options = ["-o", "windows_names"]
    if subprocess.run(["ntfs-3g", *options, image, folder], check=False, **quiet).returncode:
        pytest.skip("this machine does not let NTFS be mounted")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_names_that_the_file_system_refuses(fetch, ntfs, origin):
    """
    A row whose name cannot be there is Invalid before it is paid for, and the others are fetched.
    """
    finished = fetch(ntfs / "out", NAMES)
    assert finished.code == 3, finished.stderr
    lines = last_lines(ntfs / "out" / "report.jsonl")
    assert {line["name"] for line in lines.values() if line["outcome"] == "Invalid"} == REFUSED
    for line in lines.values():
        if line["name"] in REFUSED:
            assert (line["reason"], line["calls"]) == ("bad_name", 0)
            assert "the file system takes no name with " in line["detail"]
    assert len(origin.calls) == len(NAMES) - len(REFUSED)
    assert images_in(ntfs / "out").keys() == set(NAMES) - REFUSED
    assert parts_in(ntfs / "out") == []


def test_name_known_to_be_refused_too_late(fetch, ntfs):
    """
    A name that only the last step finds out to be refused is Invalid all the same.
    """
    finished = fetch(ntfs / "out", ["plain", "CON/x", "aux"])
    lines = last_lines(ntfs / "out" / "report.jsonl")
    found = {line["name"]: (line["outcome"], line["reason"]) for line in lines.values()}
    assert found == {
        "plain": ("Completed", None),
        "CON/x": ("Invalid", "bad_name"),
        "aux": ("Invalid", "bad_name"),
    }
    assert finished.code == 3, finished.stderr
    assert parts_in(ntfs / "out") == []


LONGEST = ["x" * 251, "ö" * 125, "f" * 255 + "/x"]


def test_names_as_long_as_the_file_system_takes(fetch, tmp_path):
    """
    The files under construction need no longer names than the images.
    """
    finished = fetch(tmp_path / "out", LONGEST)
    assert finished.code == 0, last_lines(tmp_path / "out" / "report.jsonl")
    assert images_in(tmp_path / "out").keys() == set(LONGEST)


@pytest.fixture(params=["C", "ISO-8859-1"])
def locale(request, tmp_path):
    """
    The environment of a locale without UTF-8.
    """
    if request.param == "C":
        return environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "POSIX", "-f", request.param, tmp_path / "xx_XX.ISO-8859-1"],
        check=False,
        capture_output=True,
    )
    if not made or not (tmp_path / "xx_XX.ISO-8859-1" / "LC_CTYPE").exists():
        pytest.skip("there is no localedef, or it does not know ISO-8859-1")
    env = environment(LC_ALL="xx_XX.ISO-8859-1", LOCPATH=str(tmp_path), PYTHONUTF8="0")
    words = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    encoding = subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout
    assert encoding.strip() in {"iso8859-1", "latin-1"}
    return env


def test_names_are_utf_8_whatever_the_locale(fetch, tmp_path, origin, locale):
    """
    An image is called what the report says, and is found there by the next run.
    """
    out = tmp_path / "out"
    for calls in (len(NAMES), len(NAMES)):
        finished = fetch(out, NAMES, "--progress", "always", env=locale)
        assert finished.code == 0, finished.stderr
        assert len(origin.calls) == calls
    lines = last_lines(out / "report.jsonl")
    assert {line["path"].removesuffix(".png") for line in lines.values()} == set(NAMES)
    images = {os.fsencode(path.relative_to(out)) for path in out.rglob("*.png")}
    assert images == {f"{name}.png".encode() for name in NAMES}
    assert "Traceback" not in finished.stderr
    # An image that is looked at is opened under its name, too.
    (out / "report.jsonl").unlink()
    finished = fetch(out, NAMES, "--adopt", env=locale)
    assert finished.code == 0, finished.stderr
    assert len(origin.calls) == len(NAMES)


def refusing(tmp_path, call, error, path=None):
    """
    Return the words that start a command for which a system call fails.
    """
    if shutil.which("strace") is None:
        pytest.skip("there is no strace to make system calls fail")
    words = ["strace", "-f", "-qq", "-o", tmp_path / "strace.log"]
    if path is not None:
        words += ["-P", path]
    words += ["-e", f"trace={call}", "-e", f"inject={call}:error={error}"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let strace make system calls fail")
    return words


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_file_system_without_locks(fetch, tmp_path, error):
    """
    Where nothing can be locked the run goes on, and says so once for the output and the report.
    """
    out = tmp_path / "out"
    finished = fetch(out, NAMES, prefix=refusing(tmp_path, "flock", error))
    assert finished.code == 0, finished.stderr
    assert finished.stderr.count("cannot be locked") == 2
    assert f"{out} cannot be locked" in finished.stderr
    assert f"{out / 'report.jsonl'} cannot be locked" in finished.stderr
    assert images_in(out).keys() == set(NAMES)


def test_lock_that_fails_otherwise(fetch, tmp_path, origin):
    """
    A lock that fails for another reason is the disk's failure.
    """
    finished = fetch(tmp_path / "out", NAMES, prefix=refusing(tmp_path, "flock", "EIO"))
    assert finished.code == 6, finished.stderr
    assert origin.calls == []


@pytest.mark.parametrize("error", ["EINVAL", "EOPNOTSUPP"])
def test_file_system_that_syncs_no_folders(fetch, tmp_path, error):
    """
    Where folders cannot be synced the run goes on, and says so once.
    """
    out = tmp_path / "out"
    out.mkdir()
    prefix = refusing(tmp_path, "fsync", error, path=out)
    finished = fetch(out, ["a", "b", "c"], "--durability", "full", prefix=prefix)
    assert finished.code == 0, finished.stderr
    assert finished.stderr.count("cannot be synced") == 1
    assert images_in(out) == {name: png_of(f"t{n}") for n, name in enumerate(["a", "b", "c"])}
