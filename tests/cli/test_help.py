"""
`batchfetch help`: the list of topics, pages in a pipe and on a terminal, words it does not know.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from command import ROOT, environment, finish, run, start

from batchfetch.cli.help import find_topics
from batchfetch.cli.main import COMMANDS
from batchfetch.exit_codes import ExitCode
from batchfetch.models import OutcomeStatus
from batchfetch.submit_settings import SubmitStatus

PAGES = {path.stem: path for path in sorted((ROOT / "batchfetch" / "manual").glob("*.md"))}
CONTROL = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(*args, width=80, terminal="xterm"):
    """
    Run the command on a terminal of *width* columns and return what that terminal is sent.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = start(*args, env=environment(TERM=terminal), stdout=follower)
    os.close(follower)
    sent = bytearray()
    while piece := _read(leader):
        sent += piece
    os.close(leader)
    assert finish(process).code == 0
    return sent.decode().replace("\r\n", "\n")


def _read(leader):
    try:
        return os.read(leader, 2**16)
    except OSError:  # Linux says so when the other side is closed.
        return b""


def words(text):
    """
    Return the words of *text*: letters and digits, without what is between them.
    """
    return set(re.findall(r"\w+", text))


# The list


def test_the_list_has_every_page_and_command():
    """
    Without a topic there is one line for each page, its first sentence, and for each command.
    """
    finished = run("help")
    assert finished.code == 0
    pages_and_commands, others = finished.stdout.split("\nOutcomes:\n")
    rows = re.findall(r"^  (\S+)  +(.+)$", pages_and_commands, re.MULTILINE)
    listed = dict(reversed(rows))  # Pages come first, and a command may have one.
    assert re.findall(r"\bexpired\b|\bNotExist\b|\b143\b", others) == ["NotExist", "expired", "143"]
    assert listed.keys() == {*PAGES, *COMMANDS}
    for name, path in PAGES.items():
        first = path.read_text(encoding="utf-8").split("\n\n")[1]
        assert listed[name].endswith(".")
        assert first.startswith(listed[name]), "the first sentence does not fit on one line"
    assert finished.stderr == ""


def test_help_is_in_the_list_of_commands():
    """
    Who asks the command for help is told of this one.
    """
    assert re.search(r"^  help +Show a page of the manual", run("--help").stdout, re.MULTILINE)


# Pages


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_a_pipe_is_markdown(name):
    """
    A page is printed as it is written.
    """
    finished = run("help", name)
    assert finished.code == 0
    assert finished.stdout.startswith(PAGES[name].read_text(encoding="utf-8").rstrip("\n"))
    assert finished.stderr == ""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_a_terminal_is_formatted(name):
    """
    A page has no marks of Markdown, stays within the width, and loses none of its words.
    """
    sent = on_terminal("help", name, width=90)
    shown = CONTROL.sub("", sent)
    assert sent != shown
    text = PAGES[name].read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ .+$", prose, re.MULTILINE)
    assert headings
    assert not [mark for mark in ("```", "|---", *headings) if mark in shown]
    assert max(map(len, shown.splitlines())) <= 90
    # Wide enough that no word is broken at the end of a line.
    wide = CONTROL.sub("", on_terminal("help", name, width=600))
    without_links = re.sub(r"\]\([\w-]+\.md\)", "]", text)
    languages = re.compile(r"^```\w+$", re.MULTILINE)
    assert words(languages.sub("", without_links)) <= words(wide)


def test_a_page_follows_the_width_of_the_terminal():
    """
    A narrower terminal gets shorter lines.
    """
    for width in (50, 120):
        lines = CONTROL.sub("", on_terminal("help", "resuming", width=width)).splitlines()
        assert width - 15 < max(map(len, lines)) <= width


def test_a_terminal_that_can_do_nothing_gets_markdown():
    """
    On a dumb terminal a page is printed as it is written.
    """
    sent = on_terminal("help", "manifest", terminal="dumb")
    assert sent.rstrip("\n") == PAGES["manifest"].read_text(encoding="utf-8").rstrip("\n")


def test_a_page_in_a_poor_encoding():
    """
    What stdout's encoding does not have becomes a question mark.
    """
    finished = run("help", "polling", env=environment(PYTHONIOENCODING="ascii"))
    assert finished.code == 0
    assert "wait = ?(2?m / (??r))" in finished.stdout


def test_a_reader_that_leaves_early():
    """
    `batchfetch help options | head -1` is no failure.
    """
    process = start("help", "options")
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_case_of_a_topic_does_not_matter():
    """
    Nor whether its parts are joined by `-` or `_`.
    """
    assert run("help", "Exit_Codes").stdout == run("help", "exit-codes").stdout


# Commands


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - PAGES.keys()))
def test_a_command_is_a_topic(name):
    """
    Its own words come first, then where its options are.
    """
    finished = run("help", name)
    assert finished.code == 0
    text, last = finished.stdout.rstrip("\n").rsplit("\n", 1)
    assert last == f"options: batchfetch {name} --help"
    own = run(name, "--help").stdout
    without_options = re.sub(r"(?m)^(?!Examples)\w[\w ,]*:\n(  .*\n)+\n?", "", own)
    assert without_options.count("--help") == 0
    assert text.strip("\n") == without_options.strip("\n")


def test_the_page_of_a_command_says_where_its_options_are():
    """
    `batchfetch help report` is the page, and the last line leads to the command's options.
    """
    page = PAGES["report"].read_text(encoding="utf-8")
    shown = run("help", "report").stdout
    assert shown == f"{page}\noptions: batchfetch report --help\n"


def test_a_page_about_a_command(tmp_path):
    """
    Where there is a page of a command's name, it is shown, then where the options are.
    """
    (tmp_path / "fetch.md").write_text("# Fetch\n\nTo fetch\nis all.  More.\n")
    (tmp_path / "notes.txt").write_text("This is no page.\n")
    pages = find_topics(tmp_path)["Pages"]
    assert list(pages) == ["fetch"]
    assert pages["fetch"].summary == "To fetch is all."
    assert pages["fetch"].text() == (
        "# Fetch\n\nTo fetch\nis all.  More.\n\noptions: batchfetch fetch --help\n"
    )


# Outcomes, reasons and exit codes


def rows_of(page, first_cell):
    """
    Return the cells of each row of the manual whose first cell fits, without the marks of code.
    """
    text = PAGES[page].read_text(encoding="utf-8")
    rows = re.findall(rf"^\| ({first_cell}) \|(.*)\|$", text, re.MULTILINE)
    return [(first, [cell.strip() for cell in others.split("|")]) for first, others in rows]


def test_every_exit_code_is_a_topic():
    """
    It says what the page's table says, and where that is.
    """
    topics = find_topics()["Exit codes"]
    rows = rows_of("exit-codes", r"[\d, ]+")
    assert sorted(topics, key=int) == [str(int(code)) for code in sorted(ExitCode)]
    for codes, (meaning, to_do) in rows:
        for code in codes.split(", "):
            text = topics[code].text()
            assert meaning[1:] in text
            assert f"What a job does: {to_do}.\n" in text
            assert text.endswith("\npage: batchfetch help exit-codes")


def test_every_reason_is_a_topic():
    """
    It says what happened, what to do, and which outcome has it.
    """
    topics = find_topics()["Reasons"]
    rows = [row for page in ("report", "submit") for row in rows_of(page, "`[a-z0-9_<>`, ]+`")]
    explained = [(name, row) for names, row in rows if len(row) == 2 for name in names.split(", ")]
    assert {"expired", "http_<status>", "bad_name"} <= topics.keys()
    names = [name.strip("`") for name, _ in explained if name.strip("`") in topics]
    assert [*dict.fromkeys(names)] == [*topics]
    for name, (happened, to_do) in explained:
        if name.strip("`") in topics:
            text = topics[name.strip("`")].text()
            assert happened[1:] in text
            assert f"What to do: {to_do}.\n" in text
    assert "It is a reason of `Error`, `NotExist`, `Failed`." in topics["result_lost"].text()


def test_every_outcome_is_a_topic():
    """
    It says what it means, and lists its reasons with what to do about each.
    """
    topics = find_topics()["Outcomes"]
    assert [*topics] == [*OutcomeStatus, SubmitStatus.SUBMITTED, SubmitStatus.UNCERTAIN]
    text = topics["NotExist"].text()
    assert text.startswith("# NotExist\n\nThe service has no such task.\n")
    for reason in ("not_found", "expired", "result_lost"):
        assert re.search(rf"^\| `{reason}` \| .+ \| .+ \|$", text, re.MULTILINE)
    assert "|" not in topics["Completed"].text()


def test_a_word_of_two_commands_is_explained_for_each():
    """
    What means another thing for `fetch` than for `submit` is said of both, each outcome once.
    """
    topics = find_topics()
    text = topics["Reasons"]["bad_name"].text()
    assert text.count("# bad_name\n") == 1
    for words, page in (("its place is taken", "report"), ("image of the submission", "submit")):
        assert re.search(
            rf"{words}[^#]*It is a reason of `Invalid`\.\n\npage: .* {page}$", text, re.MULTILINE
        )
    text = topics["Outcomes"]["Invalid"].text()
    first, second, rest = text.partition("page: batchfetch help report\n\n")
    assert "its place is taken" in first
    assert "image of the submission" in rest
    assert "`not_image`" in rest
    assert second
    # A reason that only one page explains is explained there for both.
    assert "| `connection` |" in topics["Outcomes"]["Failed"].text().partition("help report")[2]


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("expired", "# expired"),
        ("BAD-ROW", "# bad_row"),
        ("notexist", "# NotExist"),
        ("5", "# Exit code 5"),
        ("143", "# Exit code 143"),
        ("http_503", "# http_<status>"),
        ("404", "# http_<status>"),
    ],
)
def test_a_word_of_the_report_is_a_topic(word, first):
    """
    As it stands in a report or in `$?`, in any case.
    """
    finished = run("help", word)
    assert (finished.code, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"{first}\n")


# Words that are no topic


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("exitcodes", "did you mean exit-codes?"),
        ("exit", "did you mean exit-codes?"),
        ("png", "did you mean not_png or corrupt_png?"),
        ("fetsh", "did you mean fetch?"),
        ("Manifests", "did you mean manifest?"),
        ("expird", "did you mean expired?"),
        ("9", "`batchfetch help` lists the topics"),
        ("quux", "`batchfetch help` lists the topics"),
        ("", "`batchfetch help` lists the topics"),
    ],
)
def test_a_word_that_is_no_topic(word, hint):
    """
    It is exit code 2 and one sentence with what may have been meant.
    """
    finished = run("help", word)
    assert (finished.code, finished.stdout) == (2, "")
    assert finished.stderr == f"batchfetch: {word!r} is not a help topic; {hint}\n"


# Start-up


def test_nothing_heavy_is_imported_in_a_pipe():
    """
    The list and a page take none of the libraries that a run needs, nor what formats a page.
    """
    code = (
        "import sys; from batchfetch.cli.main import main;"
        "main(['help']); main(['help', 'report']);"
        "print(sorted({'aiohttp', 'anyio', 'rich', 'aiofiles', 'asyncio', 'pydantic'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment()
    )
    assert done.stderr == "[]\n"
