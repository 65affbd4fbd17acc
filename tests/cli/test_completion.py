"""
Completion scripts, in the shells that they are for.
"""

import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest
from command import environment, run
from terminal import Terminal

from batchfetch.cli.main import COMMANDS, load_command
from batchfetch.endpoints import ENDPOINTS
from batchfetch.models import OutcomeStatus

SHELLS = ["bash", "zsh", "fish"]
PROMPT = "ready>"
SETTINGS = f"PS1='{PROMPT}'\nbind 'set bell-style none'\n"


def require(shell):
    """
    Skip the test where this shell is not installed.
    """
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.fixture(scope="module")
def scripts():
    """
    The script for each shell.
    """
    return {shell: run("completion", shell).stdout for shell in SHELLS}


@pytest.fixture
def folder(tmp_path):
    """
    A working directory with files, one of them with a blank in its name, and a folder.
    """
    for name in ("night.csv", "my ids.txt", "certificates.pem"):
        (tmp_path / name).touch()
    (tmp_path / "images").mkdir()
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_every_word_is_in_the_script(scripts, shell):
    """
    All commands, and all options of each.
    """
    script = scripts[shell]
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", script)
        for parameter in load_command(name).params:
            if isinstance(parameter, click.Option):
                for option in (*parameter.opts, *parameter.secondary_opts):
                    bare = option.lstrip("-")
                    assert re.search(rf"(--?|-[ls] ){re.escape(bare)}\b", script), option


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_its_script(scripts, shell, tmp_path):
    """
    It has no mistake of syntax.
    """
    require(shell)
    path = tmp_path / "script"
    path.write_text(scripts[shell])
    subprocess.run([shell, "-n", str(path)], check=True)


def test_an_unknown_shell():
    """
    It is one sentence with the shells that are known.
    """
    finished = run("completion", "tcsh")
    assert (finished.code, finished.stdout) == (2, "")
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'; try batchfetch completion --help" in (
        finished.stderr
    )


@pytest.fixture
def typed(scripts, folder):
    """
    Type words into a fresh shell with the script, press Tab, and return the line that comes out.

    With *twice* press it again, and return the words that are offered.
    """
    (folder / ".script").write_text(scripts["bash"] + SETTINGS)
    (folder / ".zshrc").write_text(
        f"autoload -Uz compinit && compinit -D\nPS1='{PROMPT}'\nunsetopt beep\n{scripts['zsh']}"
    )
    programs = {
        "bash": ["bash", "--noprofile", "--rcfile", ".script", "-i"],
        "zsh": ["zsh", "-d", "-i"],
    }

    def typed(shell, words, *, twice=False):
        require(shell)
        env = environment(TERM="xterm", HOME=str(folder), ZDOTDIR=str(folder), LANG="C.UTF-8")
        with Terminal(500, 60) as terminal:
            terminal.spawn(programs[shell], cwd=folder, env=env)
            terminal.wait_for(lambda lines: lines[-1].startswith(PROMPT))
            terminal.press(f"{words}\t".encode())
            if twice:
                terminal.wait_for(lambda lines: words.rstrip() in lines[0])
                terminal.press(b"\t")
                lines = terminal.wait_for(lambda lines: len(lines) > 1)
                return " ".join(lines[1:]).split()
            done = terminal.wait_for(lambda lines: len(lines[0]) > len(PROMPT + words))
            return done[0].removeprefix(PROMPT)

    return typed


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("batchfetch fe", "batchfetch fetch"),
        ("batchfetch fetch --log-f", "batchfetch fetch --log-format"),
        ("batchfetch fetch --log-format j", "batchfetch fetch --log-format json"),
        ("batchfetch fetch --log-format=j", "batchfetch fetch --log-format=json"),
        ("batchfetch fetch --no-o", "batchfetch fetch --no-overwrite"),
        ("batchfetch fetch --endpoint bin", "batchfetch fetch --endpoint binarize"),
        ("batchfetch fetch --retry Failed,NotE", "batchfetch fetch --retry Failed,NotExist"),
        ("batchfetch fetch nig", "batchfetch fetch night.csv"),
        ("batchfetch fetch my", r"batchfetch fetch my\ ids.txt"),
        ("batchfetch fetch --rate 3 nig", "batchfetch fetch --rate 3 night.csv"),
        ("batchfetch fetch --ca-file cert", "batchfetch fetch --ca-file certificates.pem"),
        ("batchfetch fetch --ca-file=cert", "batchfetch fetch --ca-file=certificates.pem"),
        ("batchfetch fetch night.csv -o im", "batchfetch fetch night.csv -o images/"),
        ("batchfetch sandbox --see", "batchfetch sandbox --seed"),
        ("batchfetch help expi", "batchfetch help expired"),
        ("batchfetch completion fi", "batchfetch completion fish"),
    ],
)
def test_completion(typed, shell, words, line):
    """
    Commands, options, the words they take, and file names with their blanks.
    """
    # zsh adds what may follow, `=` or a comma, and takes it back before a blank.
    assert typed(shell, words).rstrip(" =,") == line


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("batchfetch ", {*COMMANDS}),
        ("batchfetch fetch --endpoint ", {*ENDPOINTS}),
        ("batchfetch fetch --log-", {"--log-format", "--log-level"}),
        ("batchfetch fetch --retry ", {*OutcomeStatus}),
    ],
)
def test_what_bash_offers(typed, words, offered):
    """
    Where more than one word fits, just those are listed.
    """
    shown = typed("bash", words, twice=True)
    assert {word for word in shown if not word.startswith(PROMPT)} - {
        *shlex.split(words)
    } == offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("batchfetch fe", {"fetch"}),
        ("batchfetch fetch --log-", {"--log-format", "--log-level"}),
        ("batchfetch fetch --log-format ", {"text", "json"}),
        ("batchfetch fetch --log-format=j", {"--log-format=json"}),
        ("batchfetch fetch --retry Failed,NotE", {"Failed,NotExist"}),
        ("batchfetch fetch nig", {"night.csv"}),
        ("batchfetch fetch --ca-file cert", {"certificates.pem"}),
        ("batchfetch fetch -o im", {"images/"}),
        ("batchfetch help expi", {"expired"}),
    ],
)
def test_what_fish_offers(scripts, folder, words, offered):
    """
    The same in fish, which can be asked without a terminal.
    """
    require("fish")
    (folder / "script.fish").write_text(scripts["fish"])
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source script.fish; complete -C {shlex.quote(words)}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(HOME=str(folder)),
    )
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == offered


def test_the_script_starts_nothing(scripts):
    """
    All words are in it: a press of Tab does not start Python.
    """
    for script in scripts.values():
        calls = re.findall(r"\$\((\w+)", script)
        assert set(calls) <= {"compgen"}


def test_the_line_of_the_help(typed, folder):
    """
    The line for `~/.bashrc` that --help shows works where the command is on the path.
    """
    (line,) = re.findall(r"^  (eval .*bash.*)$", run("completion", "--help").stdout, re.MULTILINE)
    wrapper = folder / "bin" / "batchfetch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchfetch "$@"\n')
    wrapper.chmod(0o755)
    (folder / ".script").write_text(f"PATH={wrapper.parent}:$PATH\n{line}\n{SETTINGS}")
    assert typed("bash", "batchfetch fetch --log-format j").rstrip().endswith("json")
