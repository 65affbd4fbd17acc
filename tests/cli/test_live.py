"""
The live display: what stands on a terminal of any width, and what is left there afterwards.
"""

import re
from dataclasses import replace

import pytest
import replies
from command import LIMIT, environment, manifest_of
from origin import Origin, serving
from progress_of import OUTAGE, PAUSE, progress
from terminal import Terminal

from batchfetch.cli.panel import panel
from batchfetch.models import OutcomeStatus
from batchfetch.report import Cause

WIDTHS = [40, 80, 200]
COUNTS = {"ready": 156, "error": 2, "silent": 142}
IDS = [f"{kind}{number}" for kind, count in COUNTS.items() for number in range(count)]
LEFT = r"(\d+ s|\d+ min \d\d s|\d+ h \d\d min|\d\.\d s) left"


# The lines


def test_a_wide_terminal_has_everything():
    """
    How far, what came of it, what goes on.
    """
    assert panel(progress(), 200) == [
        "━" * 30 + "─" * 30 + " 1000/2000 tasks, 50 %",
        "3 failed, about 33 s left; 900 Completed, 3 Error; 97 settled earlier",
        "32 in flight, 18 unfinished, 950 not asked yet, 30.0 tasks/s, 1000 calls, 5.0 MiB, 30 s",
    ]


def test_a_narrow_terminal_has_what_counts():
    """
    Done, total, failures and the time left.
    """
    assert panel(progress(), 40) == [
        "━━━━━━━──────── 1000/2000 tasks, 50 %",
        "3 failed, about 33 s left",
        "32 in flight, 18 unfinished",
    ]


HUGE = {
    "tasks": 12_345_678,
    "outcomes": {OutcomeStatus.COMPLETED: 1_000_000, OutcomeStatus.ERROR: 1_234_567},
    "seconds": 90_000.0,
    "calls": 99_999_999,
    "bytes": 2**50,
    "in_flight": 10_000,
    "waiting": 10_000_000,
}


@pytest.mark.parametrize(
    "changes", [{}, HUGE, HUGE | {"all_read": False}, {"outcomes": {}, "already": 0}]
)
def test_what_counts_is_whole_at_any_width(changes):
    """
    No line reaches the margin, and none ends in the middle of a number.
    """
    now = progress(**changes)
    failed = now.outcomes.get(OutcomeStatus.ERROR, 0)
    left = LEFT if now.all_read and now.outcomes else "time left unknown"
    for columns in range(40, 220):
        lines = panel(now, columns)
        assert max(map(len, lines)) <= columns - 3
        assert f"{now.decided}/{now.tasks}" in lines[0]
        assert re.match(rf"{failed} failed, (about )?{left}(;|$)", lines[1])
        assert re.match(rf"{now.in_flight} in flight(, \d+ unfinished(, |$))?", lines[2])


def test_the_end_of_the_manifest_is_not_guessed():
    """
    Until it is read to its end there is no bar and no share.
    """
    assert panel(progress(all_read=False), 80)[0] == "1000/2000 or more tasks"
    assert panel(progress(tasks=0, outcomes={}, already=0), 80)[0] == "0/0 tasks"


@pytest.mark.parametrize(
    ("interruption", "columns", "line"),
    [
        (OUTAGE, 40, "no answer: held 02:14Z to 02:29Z"),
        (OUTAGE, 78, "no answer: held 02:14Z to 02:29Z"),
        (
            OUTAGE,
            80,
            "the service cannot be reached: held since 02:14:05Z, until 02:29:05Z at most",
        ),
        (
            OUTAGE,
            200,
            f"held since 02:14:05Z, until 02:29:05Z at most: {OUTAGE.reason}",
        ),
        (PAUSE, 40, "paused: 10 min 00 s left"),
        (PAUSE, 80, "paused until 02:29:05Z (10 min 00 s left), as the service asked"),
        (
            PAUSE,
            200,
            f"paused until 02:29:05Z (10 min 00 s left), as the service asked: {PAUSE.reason}",
        ),
    ],
)
def test_a_run_that_is_held_or_paused_says_so(interruption, columns, line):
    """
    A fourth line says since when, until when and why, as far as there is room.
    """
    lines = panel(progress(interruption=interruption), columns)
    assert lines[:3] == panel(progress(), columns)
    assert lines[3:] == [line]
    assert len(line) <= columns - 3


def test_what_the_service_said_is_ascii_too():
    """
    Its words may have characters that the terminal lacks.
    """
    lines = panel(progress(interruption=PAUSE), 200, unicode=False)
    assert lines[3].endswith("HTTP 429 Too Many Requests, sp?ter")


@pytest.mark.parametrize("columns", range(40, 220))
def test_an_interruption_fits_any_width(columns):
    """
    However long it lasts, and whatever the service says.
    """
    for cause in Cause:
        long = replace(OUTAGE, cause=cause, left=100 * 3600.0, reason="x" * 500)
        assert max(map(len, panel(progress(interruption=long), columns))) <= columns - 3


def test_a_bar_of_ascii():
    """
    Without Unicode no line has a character that a terminal could lack.
    """
    lines = panel(progress(), 80, unicode=False)
    assert lines[0].startswith("###")
    assert "--- 1000/2000 tasks" in lines[0]
    assert "\n".join(lines).isascii()


# On a real terminal


@pytest.fixture
def stalled():
    """
    A service that answers about 158 of 300 tasks and says nothing about the others.
    """
    script = {
        task_id: [replies.ready if task_id.startswith("ready") else replies.says("Error")]
        for task_id in IDS
        if not task_id.startswith("silent")
    }
    with serving(Origin(script, default=replies.silence)) as origin:
        yield origin


@pytest.fixture
def begin(tmp_path, stalled):
    """
    Start the command on a terminal and wait until all that will be answered is shown.
    """

    def begin(terminal, *options, until="158/300", **variables):
        process = terminal.start(
            *("fetch", manifest_of(tmp_path, IDS), "-o", tmp_path / "out", "--concurrency", 20),
            *("--base-url", stalled.base_url, "--log-level", "error", *options),
            env=environment(**{"TERM": "xterm-256color", "PYTHONUTF8": "1"} | variables),
        )
        lines = terminal.wait_for(lambda lines: until in "\n".join(lines))
        return process, lines

    return begin


def end(process, terminal):
    """
    Interrupt the command with Ctrl-C, and return what stands on the terminal when it is over.
    """
    terminal.press(b"\x03")
    assert process.wait(LIMIT) == 130
    terminal.hang_up()
    terminal.wait_for(lambda _: not terminal.is_open)
    return terminal.lines


@pytest.mark.parametrize("columns", WIDTHS)
def test_what_stands_on_a_terminal(begin, columns):
    """
    Done, total, failures and the time left stand there; the tasks not asked about are just those.
    """
    with Terminal(columns) as terminal:
        process, lines = begin(terminal)
        bar, result, activity = lines
        assert re.fullmatch(r"━+─+ 158/300 tasks, 52 %", bar)
        assert re.match(rf"2 failed, about {LEFT}", result)
        assert activity.startswith("20 in flight, 0 unfinished")
        if columns >= 80:
            assert result.endswith("; 156 Completed, 2 Error")
            assert "20 in flight, 0 unfinished, 122 not asked yet, " in activity
        # The terminal adds `^C`; nothing else of the display is left.
        assert set("".join(end(process, terminal))) <= {"^", "C"}
    assert b"\x1b[?25h" in terminal.sent, "the cursor was not given back"


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_held_run_says_so_on_a_terminal(tmp_path, columns):
    """
    The fourth line is there while nothing can be reached, and gone with the display.
    """
    with serving(Origin()) as gone:
        pass
    with Terminal(columns) as terminal:
        process = terminal.start(
            *("fetch", manifest_of(tmp_path, IDS), "-o", tmp_path / "out", "--outage", "1h"),
            *("--base-url", gone.base_url, "--log-level", "error"),
            env=environment(TERM="xterm-256color", PYTHONUTF8="1"),
        )
        lines = terminal.wait_for(lambda lines: len(lines) == 4)
        words = {40: "no answer: held ", 80: "the service cannot be reached: held since "}
        assert lines[3].startswith(words.get(columns, "held since "))
        assert set("".join(end(process, terminal))) <= {"^", "C"}


def test_log_lines_stand_above(begin):
    """
    A long line is wrapped by the terminal, not by the command, and the display stays below it.
    """
    with Terminal(40) as terminal:
        process, lines = begin(terminal, "--log-level", "warning")
        assert "".join(lines).count("Error (service_error)") == 2
        assert [line.split(" ")[0] for line in lines[-3:]][1:] == ["2", "20"]
        shown = end(process, terminal)
        assert "SIGINT: no new requests are made" in "".join(shown)
    assert "error0: Error (service_error)" in terminal.sent.decode().replace("\r\n", "\n")


def test_a_terminal_without_unicode(begin):
    """
    The bar is drawn in ASCII, at the same place, and does not scroll.
    """
    with Terminal(80) as terminal:
        _, lines = begin(terminal, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
        assert re.fullmatch(r"#+-+ 158/300 tasks, 52 %", lines[0])
        assert len(lines) == 3
    assert terminal.sent.isascii()


def test_no_color(begin):
    """
    `NO_COLOR` leaves the display and takes its colours.
    """
    colour = re.compile(rb"\x1b\[[0-9;]*3\d[;m]")
    with Terminal(80) as terminal:
        begin(terminal)
    assert colour.search(terminal.sent)
    with Terminal(80) as terminal:
        _, lines = begin(terminal, NO_COLOR="1")
        assert len(lines) == 3
    assert not colour.search(terminal.sent)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_can_do_nothing(begin, term):
    """
    It gets plain lines and no control sequence.
    """
    with Terminal(200) as terminal:
        begin(
            terminal,
            *("--progress", "always", "--log-level", "info"),
            TERM=term,
            until="158 of 300",
        )
    assert b"\x1b" not in terminal.sent


def test_a_window_that_changes_its_width(begin):
    """
    The display follows.
    """
    with Terminal(80) as terminal:
        begin(terminal)
        terminal.resize(200, 24)
        lines = terminal.wait_for(lambda lines: lines[-1].endswith(" s"))
        assert "not asked yet" in lines[-1]
