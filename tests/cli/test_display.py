"""
What people and machines read on stderr: progress, outcomes, summary, log lines.
"""

import json
import logging
from pathlib import Path

import pytest
from progress_of import OUTAGE, progress

from batchfetch.cli import format as formatting
from batchfetch.cli.display import FETCH_WORDS, OutcomeLog, log_progress, open_display
from batchfetch.cli.explanation import explanation
from batchfetch.cli.logs import JsonFormatter, StderrHandler, TextFormatter, redacted
from batchfetch.cli.options import LogFormat, ProgressMode
from batchfetch.cli.run import with_failure
from batchfetch.errors import StorageError
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.run.plan import Plan
from batchfetch.run.summary import Summary
from batchfetch.settings import Settings

REPORT = Path("images/report.jsonl")


def summary(**changes):
    """
    A run that ended well.
    """
    usual = {
        "tasks": 25,
        "outcomes": {OutcomeStatus.COMPLETED: 20},
        "reasons": {},
        "adopted": 0,
        "already": 5,
        "left": 0,
        "calls": 25,
        "calls_per_image": 1.25,
        "asked_too_early": 0,
        "cost": None,
        "token_requests": 1,
        "bytes": 2048,
        "seconds": 3.21,
        "exit_code": 0,
    }
    return Summary(**(usual | changes))


def outcome(**changes):
    """
    A task that the service could not do.
    """
    usual = {
        "task_id": "t-17",
        "status": OutcomeStatus.ERROR,
        "reason": "service_error",
        "messages": ("No text.", "No page."),
    }
    return Outcome(**(usual | changes))


# Words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_durations(seconds, words):
    """
    A duration is as exact as its length deserves.
    """
    assert formatting.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes(count, words):
    """
    A size is given in the largest unit that fits.
    """
    assert formatting.size(count) == words


def test_progress_is_one_line():
    """
    The line says what is settled, what goes on, what it took, and when it will be over.
    """
    assert formatting.progress_line(progress()) == (
        "1000 of 2000 tasks: 900 Completed, 3 Error, 97 settled earlier; "
        "32 in flight, 950 not asked yet, 18 unfinished; "
        "1000 calls, 5.0 MiB, 30.0 tasks/s; 30 s, about 33 s left"
    )


def test_progress_of_a_run_that_is_held():
    """
    Why nothing moves comes first: since when, until when, and what the last failure was.
    """
    held = formatting.progress_line(progress(interruption=OUTAGE))
    assert held == (
        "held since 02:14:05Z, until 02:29:05Z at most: "
        f"127.0.0.1:9 cannot be reached: Connection refused; {formatting.progress_line(progress())}"
    )


def test_progress_before_anything_happened():
    """
    A run that has just begun has no speed, and does not guess.
    """
    start = progress(outcomes={}, already=0, tasks=0, all_read=False, seconds=0.0, calls=1)
    assert formatting.progress_line(start).startswith("0 of at least 0 tasks; 32 in flight, ")
    assert formatting.progress_line(start).endswith("1 call, 5.0 MiB, 0.0 tasks/s; 0.0 s")


def test_no_guess_before_the_manifest_is_read():
    """
    While the manifest's length is unknown, so is the time that is left.
    """
    assert formatting.remaining(progress(all_read=False)) is None
    assert " left" not in formatting.progress_line(progress(all_read=False))


def test_summary_of_a_good_run():
    """
    Three lines: what was decided, what it took, where to read on.
    """
    assert formatting.summary_text(summary(), REPORT) == (
        "25 tasks in 3.2 s: 20 Completed, 5 settled by earlier runs\n"
        "25 calls (1.25 for each image), 1 token request, 2.0 KiB of images\n"
        "report: images/report.jsonl"
    )


def test_summary_says_what_it_cost():
    """
    With a price there is a sum.
    """
    text = formatting.summary_text(summary(calls=1200), REPORT, 0.03)
    assert "2.0 KiB of images, 36.00 at 0.03 a call\n" in text


def test_summary_tells_what_was_in_place_already():
    """
    Images that were adopted are Completed, and not of this run's making.
    """
    text = formatting.summary_text(summary(adopted=3), REPORT)
    assert ": 20 Completed, 3 of them in place already, 5 settled by earlier runs\n" in text


def test_summary_leaves_the_report_to_the_explanation():
    """
    If the exit code is not 0, the explanation follows, and names the report.
    """
    text = formatting.summary_text(summary(outcomes={}, left=20, exit_code=4), REPORT)
    assert text.splitlines()[0] == "25 tasks in 3.2 s: nothing decided, 5 settled by earlier runs"
    assert "report" not in text


def test_summary_counts_repeated_rows():
    """
    Rows that were left out because of an earlier one are said where the tasks are counted.
    """
    first = formatting.summary_text(summary(repeated=2), REPORT).splitlines()[0]
    assert first.endswith("settled by earlier runs; 2 rows with an id that an earlier row has")


def test_summary_of_nothing():
    """
    A run that found everything done says so.
    """
    text = formatting.summary_text(
        summary(outcomes={}, calls=0, calls_per_image=None, token_requests=0), REPORT
    )
    assert text.startswith(
        "25 tasks in 3.2 s: nothing to do, 5 settled by earlier runs\n0 calls, 0 "
    )


# Exit codes explained

FAILED = {
    "outcomes": {OutcomeStatus.COMPLETED: 2, OutcomeStatus.FAILED: 3, OutcomeStatus.INVALID: 1},
    "reasons": {"timeout": 2, "http_500": 1, "bad_row": 1},
}


def explained(earlier=(), *, counted=True, report=None, fail_on=None, **changes):
    """
    Return the explanation of a run's exit code, line by line.
    """
    settings = Settings(**({} if fail_on is None else {"fail_on": fail_on}), report=report)
    return explanation(summary(**changes), dict(earlier), settings, counted=counted).splitlines()


def test_explanation_of_tasks_that_did_not_complete():
    """
    How many, why, where the report is, and a command that lists them.
    """
    assert explained(**FAILED, exit_code=3, report="my images/report.jsonl") == [
        "exit code 3: 4 of 25 tasks did not end Completed",
        "in this run: 3 Failed, 1 Invalid (2 timeout, 1 http_500, 1 bad_row)",
        "report: 'my images/report.jsonl'",
        "what went wrong, and what to do: batchfetch report 'my images/report.jsonl'",
    ]


def test_explanation_of_a_night_without_work():
    """
    When tasks of earlier runs are the reason it says so, and what to do about them.
    """
    earlier = {OutcomeStatus.COMPLETED: 20, OutcomeStatus.NOT_EXIST: 1, OutcomeStatus.ERROR: 4}
    assert explained(earlier, outcomes={}, exit_code=3) == [
        "exit code 3: 5 of 25 tasks did not end Completed",
        (
            "in earlier runs, and left alone in this one: 1 NotExist, 4 Error; "
            "--retry NotExist,Error asks about them again"
        ),
        "report: images/report.jsonl",
        "what went wrong, and what to do: batchfetch report images",
    ]


def test_explanation_counts_what_counts_as_a_failure():
    """
    With `--fail-on` the first line is about those outcomes, the others are listed all the same.
    """
    first, now, *_ = explained(
        {OutcomeStatus.INVALID: 2}, **FAILED, exit_code=3, fail_on="Invalid,TimedOut"
    )
    assert first == "exit code 3: 3 of 25 tasks ended as --fail-on lists (Invalid, TimedOut)"
    assert now.startswith("in this run: 3 Failed, 1 Invalid (")


@pytest.mark.parametrize(
    ("by", "code", "cause"),
    [
        ("max-calls", 4, "stopped by --max-calls; 3 tasks left: run the same command again"),
        ("max-runtime", 4, "stopped by --max-runtime; 3 tasks left: run the same command again"),
        ("SIGTERM", 143, "stopped by SIGTERM; 3 tasks left: run the same command again"),
        ("SIGINT", 130, "stopped by SIGINT; 3 tasks left: run the same command again"),
        ("a caller", 4, "stopped by a caller; 3 tasks left: run the same command again"),
        (
            "unreachable",
            8,
            (
                "stopped because the service cannot be reached; 3 tasks left: run the same "
                "command again"
            ),
        ),
        (
            "refusals",
            8,
            (
                "stopped because the service turns every request away; 3 tasks left: run the same "
                "command again when that is put right"
            ),
        ),
        (
            "storage",
            6,
            (
                "stopped because the images or the report cannot be written; 3 tasks left: run "
                "the same command again when that is put right"
            ),
        ),
        (
            "credentials",
            5,
            (
                "stopped because the service refuses the credentials; 3 tasks left: run the same "
                "command again when that is put right"
            ),
        ),
        (
            None,
            2,
            "the manifest cannot be read to its end; correct it, and run the same command again",
        ),
    ],
)
def test_explanation_of_a_run_that_was_stopped(by, code, cause):
    """
    What stopped it, what is left, and what to do.
    """
    found = explained(stopped_by=by, left=3, exit_code=code)
    assert found == [f"exit code {code}: {cause}", "report: images/report.jsonl"]


def test_explanation_of_a_signal_and_a_full_disk_is_the_disk():
    """
    Of several reasons the one that chose the exit code is named.
    """
    (first, _) = explained(stopped_by="SIGTERM", left=1, exit_code=6)
    assert "cannot be written; 1 task left" in first


def test_explanation_of_a_manifest_that_was_not_counted():
    """
    If the rest of the manifest was not read, more tasks may be left.
    """
    first, *_ = explained(stopped_by="max-calls", left=3, exit_code=4, counted=False)
    assert "; at least 3 tasks left: " in first


@pytest.mark.parametrize(("code", "expected"), [(0, 6), (4, 6), (5, 5), (6, 6), (143, 6)])
def test_a_report_that_cannot_be_closed_is_exit_6(code, expected):
    """
    A failure that came after the batch has its exit code too, unless there is a graver one.
    """
    ended = with_failure(summary(exit_code=code), StorageError("the report cannot be closed"))
    assert ended.exit_code == expected
    assert with_failure(summary(exit_code=code), None).exit_code == code


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "t-17: Error (service_error): No text.; No page."),
        ({"detail": "It is torn."}, "t-17: Error (service_error): It is torn."),
        ({"messages": ()}, "t-17: Error (service_error)"),
        (
            {"task_id": None, "manifest": "m.csv", "line": 3, "detail": "No id."},
            "m.csv:3: Error (service_error): No id.",
        ),
    ],
)
def test_an_outcome_is_one_line(changes, line):
    """
    The line names the task, or the row, and says what became of it.
    """
    assert formatting.outcome_line(outcome(**changes)) == line


def test_the_plan():
    """
    The plan says what would be done and what it takes at least, with a price also what it costs.
    """
    plan = Plan(
        tasks=12,
        already=2,
        adopted=1,
        to_fetch=6,
        invalid=3,
        reasons={"bad_row": 2, "bad_name": 1},
        repeated=1,
        least_calls=6,
        expected_calls=9,
        expected_seconds=2.5,
        least_cost=0.18,
        expected_cost=0.27,
    )
    assert formatting.plan_text(plan, Settings(price_per_call=0.03)) == (
        "12 tasks: 6 to fetch, 2 settled by earlier runs, 1 in place already,"
        " 3 unusable (2 bad_row, 1 bad_name); 1 row with an id that an earlier row has\n"
        "6 calls at least, if all is ready, 0.18 at 0.03 a call\n"
        "9 calls expected, if the service still works on them all, 0.27 at 0.03 a call\n"
        "2.5 s at least, or until the service is done\n"
        "report: images/report.jsonl"
    )


def test_the_plan_of_nothing():
    """
    An empty manifest is nothing to do.
    """
    plan = Plan(
        tasks=0,
        already=0,
        adopted=0,
        to_fetch=0,
        invalid=0,
        reasons={},
        repeated=0,
        least_calls=0,
        expected_calls=0,
        expected_seconds=0,
        least_cost=None,
        expected_cost=None,
    )
    assert formatting.plan_text(plan, Settings()).startswith("0 tasks: nothing to do\n0 calls")


# Log lines


@pytest.fixture
def lines(capsys):
    """
    What logging with this formatter leaves on stderr.
    """
    handler = StderrHandler()
    logger = logging.getLogger("batchfetch.test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False

    def lines(formatter, message, level=logging.WARNING, **how):
        handler.setFormatter(formatter)
        logger.log(level, "%s", message, **how)
        return capsys.readouterr().err

    yield lines
    logger.removeHandler(handler)


def test_a_text_line(lines):
    """
    Time, level, message.
    """
    time, rest = lines(TextFormatter(), "well").split(" ", 1)
    assert rest == "warning: well\n"
    assert len(time) == len("2026-01-31T12:00:00Z")


def test_a_json_line(lines):
    """
    One object, with the fields that were handed over.
    """
    entry = json.loads(lines(JsonFormatter(), "well", extra={"fields": {"progress": {"tasks": 1}}}))
    assert entry["level"] == "warning"
    assert entry["message"] == "well"
    assert entry["progress"] == {"tasks": 1}
    assert entry["time"].endswith("Z")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_message_makes_two_lines_or_moves_the_terminal(lines, formatter):
    """
    Control characters do not get through.
    """
    text = lines(formatter, "a\n2026-01-01T00:00:00Z error: forged\x1b[2J\r\x9b\u202e\u2028x")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert not set(text) & set("\x1b\r\x9b\u202e\u2028")
    assert "\\u001b" not in text


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_token_gets_through(lines, formatter):
    """
    What stands where a token stands is taken out, of messages and of tracebacks.
    """
    leak = "headers={'Authorization': 'Bearer eyJ.s3cret-_x'}, client_secret=s3cret&x=1"
    try:
        int(leak)
    except ValueError:
        text = lines(formatter, leak, exc_info=True)
    assert "s3cret" not in text
    assert text.count("Bearer ***") == 2
    assert "ValueError" in text


def test_what_is_no_secret_stays():
    """
    Only what follows the usual words is taken out.
    """
    assert redacted("the bearer of bad news, client_secret_file") == (
        "the bearer *** bad news, client_secret_file"
    )


def test_our_own_blocks_keep_their_lines(lines):
    """
    The summary stands as it is, without a time before it.
    """
    assert lines(TextFormatter(), "a\nb", extra={"block": True}) == "a\nb\n"


# What is logged


def test_outcomes_are_warnings_until_there_are_too_many(caplog):
    """
    The first few are shown, then one line says that there are more.
    """
    shown = OutcomeLog(shown=2)
    with caplog.at_level(logging.INFO):
        for number in range(9):
            shown.add(outcome(task_id=f"t{number}"))
            shown.add(outcome(task_id="fine", status=OutcomeStatus.COMPLETED, reason=None))
    assert caplog.messages == [
        "t0: Error (service_error): No text.; No page.",
        "t1: Error (service_error): No text.; No page.",
        "more tasks did not end Completed; the report has them all",
    ]
    assert caplog.records[0].fields["outcome"]["outcome"] == "Error"


def test_progress_is_logged_with_its_numbers(caplog):
    """
    A line of progress carries its fields for machines.
    """
    with caplog.at_level(logging.INFO):
        log_progress(progress())
    (record,) = caplog.records
    assert record.fields["progress"]["outcomes"] == {"Completed": 900, "Error": 3}
    assert record.getMessage().startswith("1000 of 2000 tasks")
    assert record.fields["progress"]["interruption"] is None


def test_an_outage_in_a_line_of_progress_for_machines(caplog):
    """
    Times are as everywhere in JSON.
    """
    with caplog.at_level(logging.INFO):
        log_progress(progress(interruption=OUTAGE))
    (line,) = (json.loads(JsonFormatter().format(record)) for record in caplog.records)
    assert line["progress"]["interruption"] == {
        "cause": "outage",
        "began_at": "2026-01-31T02:14:05Z",
        "until": "2026-01-31T02:29:05Z",
        "left": 700.0,
        "reason": OUTAGE.reason,
    }


@pytest.mark.parametrize(
    ("mode", "log_format", "first", "every"),
    [
        (ProgressMode.AUTO, LogFormat.TEXT, 10, 60),
        (ProgressMode.AUTO, LogFormat.JSON, 10, 60),
        (ProgressMode.ALWAYS, LogFormat.TEXT, 5, 5),
    ],
)
def test_plain_lines_come_at_intervals(mode, log_format, first, every):
    """
    Without a terminal a short run says nothing, and a long one does not fill a mail.
    """
    with open_display(mode, log_format, FETCH_WORDS) as display:
        assert (display.show, display.first, display.every) == (log_progress, first, every)


def test_never_is_never(caplog):
    """
    With `--progress never` nothing is shown.
    """
    with (
        caplog.at_level(logging.DEBUG),
        open_display(ProgressMode.NEVER, LogFormat.TEXT, FETCH_WORDS) as display,
    ):
        display.show(progress())
    assert caplog.messages == []


@pytest.mark.anyio
async def test_a_display_reads_the_progress_each_time():
    """
    What is shown is as fresh as the moment it is shown.
    """
    seen = []
    snapshots = [progress(tasks=1), progress(tasks=2)]
    with open_display(ProgressMode.NEVER, LogFormat.TEXT, FETCH_WORDS) as never:
        display = type(never)(seen.append, first=0, every=0)
    with pytest.raises(IndexError):
        await display.follow(lambda: snapshots.pop(0))
    assert [shown.tasks for shown in seen] == [1, 2]
