"""
Paths as users write them: `~` is the home folder, wherever a path can be given.
"""

import json
import os
import pwd
from pathlib import Path

import pytest
from command import client_credentials, environment, images_in, run
from origin import Origin, serving

from batchfetch import Manifest, ManifestError, ReportError, Settings, SettingsError, read_report
from batchfetch.cli.config_file import read_config
from batchfetch.paths import expand_home
from batchfetch.service import find_credentials

MINE = pwd.getpwuid(os.geteuid())
NOBODY = "~no-such-user/x.txt"
SENTENCE = r"there is no user 'no-such-user' on this machine for ~no-such-user; write \./~no-such"


@pytest.mark.parametrize("path", ["images", "/tmp/~", "./~x", "a/~/b", ""])
def test_other_paths_stay_as_they_are(path):
    """
    Only a tilde at the beginning means a home folder.
    """
    assert expand_home(path) == path


def test_the_home_folder_of_a_user():
    """
    `~name` is the home folder of that user.
    """
    assert expand_home(f"~{MINE.pw_name}/x") == str(Path(MINE.pw_dir, "x"))
    assert expand_home(Path(f"~{MINE.pw_name}")) == str(Path(MINE.pw_dir))


@pytest.mark.parametrize(
    ("read", "error", "start"),
    [
        (lambda: Settings(output=NOBODY), SettingsError, "output: "),
        (lambda: Settings(report=NOBODY), SettingsError, "report: "),
        (lambda: Settings(ca_file=Path(NOBODY)), SettingsError, "ca_file: "),
        (lambda: read_config(NOBODY, []), SettingsError, f"{NOBODY}: "),
        (
            lambda: find_credentials({"BATCHFETCH_ACCESS_TOKEN_FILE": NOBODY}),
            *(SettingsError, "BATCHFETCH_ACCESS_TOKEN_FILE: "),
        ),
        (
            lambda: find_credentials({"CREDENTIALS_DIRECTORY": NOBODY}),
            *(SettingsError, "CREDENTIALS_DIRECTORY: "),
        ),
        (lambda: Manifest(NOBODY), ManifestError, f"{NOBODY} cannot be opened: "),
        (lambda: read_report(NOBODY), ReportError, f"{NOBODY} cannot be read: "),
    ],
    ids=["output", "report", "ca_file", "config", "secret", "secrets", "manifest", "read_report"],
)
def test_an_unknown_user_is_one_sentence(read, error, start):
    """
    It says where the path was given, and how to write a name that only looks like that.
    """
    with pytest.raises(error, match=f"^{start}{SENTENCE}"):
        read()


@pytest.mark.parametrize("path", ["~/images", "~"])
def test_an_empty_home_is_told(tmp_path, path):
    """
    `~/images` is never the folder `/images`.
    """
    finished = run(
        *("fetch", tmp_path / "ids.txt", "--sandbox"),
        env=environment(HOME="", BATCHFETCH_OUTPUT=path),
    )
    assert finished.code == 2
    assert finished.stderr == (
        "batchfetch: BATCHFETCH_OUTPUT: ~ has no meaning without a home folder; set HOME;"
        " try batchfetch fetch --help\n"
    )


def test_home_in_file_and_environment(tmp_path):
    """
    Manifest, output, report, settings file and secrets are all found below the home folder.
    """
    home = tmp_path / "home"
    home.mkdir()
    (home / "ids.txt").write_text("a\nb\n")
    (home / "night.toml").write_text('output = "~/images"\n')
    for name in ("id", "secret"):
        (home / name).write_text("anything\n")
    env = client_credentials(
        HOME=str(home),
        BATCHFETCH_CONFIG="~/night.toml",
        BATCHFETCH_CLIENT_ID_FILE="~/id",
        BATCHFETCH_CLIENT_SECRET_FILE="~/secret",
    )
    del env["BATCHFETCH_CLIENT_ID"], env["BATCHFETCH_CLIENT_SECRET"]
    with serving(Origin()) as origin:
        finished = run(
            *("fetch", "~/ids.txt", "--report=~/reports/night.jsonl", "--json"),
            *("--base-url", origin.base_url),
            cwd=tmp_path,
            env=env,
        )
    assert finished.code == 0, finished.stderr
    assert set(images_in(home / "images")) == {"a", "b"}
    lines = (home / "reports/night.jsonl").read_text().splitlines()
    assert {json.loads(line)["manifest"] for line in lines} == {str(home / "ids.txt")}
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_private_root_certificate_at_home(tmp_path):
    """
    `~` works for the certificates too; what is wrong with the file is said by its whole path.
    """
    (tmp_path / "root.pem").write_text("no certificate")
    (tmp_path / "ids.txt").write_text("a\n")
    finished = run(
        *("fetch", "~/ids.txt", "--ca-file=~/root.pem", "-o", tmp_path / "out"),
        env=environment(HOME=str(tmp_path)),
    )
    assert finished.code == 2
    assert str(tmp_path / "root.pem") in finished.stderr
