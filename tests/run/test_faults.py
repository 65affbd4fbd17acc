"""
What becomes of a task when the service misbehaves: one row per fault.

Rows are (name of the fault, what the origin says, the reason in the report).
"""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import replies
from command import images_in, parts_in
from origin import Origin
from replies import MIB, carrying, http, png_of, raw, ready, says, status, text_of

from batchfetch import Credentials, Job, OutcomeStatus, Settings, open_batch
from batchfetch.scheduling.retry import RetryPolicy

pytestmark = pytest.mark.anyio

ATTEMPTS = 2
CREDENTIALS = Credentials(access_token="a-token")
IMPATIENT = {"connect_timeout": 0.3, "read_timeout": 0.3}
"""Settings for answers that do not come; all others have as long as they take on a busy machine."""

IMAGE = png_of("t", 500)
TEXT = text_of(IMAGE)
BAD_CRC = text_of(IMAGE[:60] + bytes([IMAGE[60] ^ 1]) + IMAGE[61:])

LOST_CONNECTION = [
    ("hang up before headers", replies.hang_up, "connection"),
    ("reset before headers", replies.reset_before_headers, "connection"),
    ("reset after headers", replies.reset_after_headers, "connection"),
    ("reset mid-body", replies.reset_in_body, "connection"),
    ("body short of its Content-Length", replies.short_of_length, "connection"),
    ("body cut that has no Content-Length", replies.cut_without_length, "connection"),
    ("body cut inside a chunk", replies.cut_in_chunks, "connection"),
    ("body cut between chunks", replies.cut_between_chunks, "connection"),
    ("gzip cut short of its end", replies.cut_in_gzip, "connection"),
    ("gzip garbled", replies.garbled_gzip, "connection"),
    ("bad chunk header", replies.bad_chunk_header, "connection"),
    ("garbage status line", replies.garbage_status_line, "connection"),
    ("header of 200 kB", replies.huge_header, "connection"),
    ("headers without end", replies.endless_headers, "connection"),
    ("bytes after the body", replies.bytes_after_body, "connection"),
]
OVERLOAD = [
    (f"status {code}", status(code), f"http_{code}")
    for code in (408, 425, 429, 500, 502, 503, 504, 599)
]
GARBLED = [
    ("base64 with a stray character", carrying(TEXT[:40] + "*" + TEXT[41:]), "bad_base64"),
    ("base64 with a blank inside", carrying(TEXT[:40] + " " + TEXT[40:]), "bad_base64"),
    ("base64 cut inside a quantum", carrying(TEXT[:41]), "bad_base64"),
    ("base64 going on after its padding", carrying("AAA=" + TEXT), "bad_base64"),
    ("PNG with a wrong CRC", carrying(BAD_CRC), "corrupt_png"),
    ("PNG without its end", carrying(text_of(IMAGE[:-12])), "corrupt_png"),
    ("PNG with bytes after its end", carrying(text_of(IMAGE + b"more")), "corrupt_png"),
    ("JPEG instead of PNG", carrying(text_of(b"\xff\xd8\xff\xe0 JFIF " * 9)), "not_png"),
    ("HTML with status 200", http(b"<!doctype html><p>Busy", 200), "bad_response"),
    ("empty body with status 200", http(b"", 200), "bad_response"),
    ("empty body with status 202", http(b"", 202), "bad_response"),
    ("body of another kind with status 201", http(b'{"id":"t"}', 201), "bad_response"),
    ("text that is not JSON", http(b"Busy, come back later", 200), "bad_response"),
    ("JSON that is no object", http(b"[1, 2]", 200), "bad_response"),
    ("JSON without a task status", http(b'{"id": null}', 200), "bad_response"),
    ("unknown task status", says("Teleported"), "bad_response"),
    ("task status of another type", says({"a": 1}), "bad_response"),
    ("two documents in one body", http(replies.result("t", "Pending") * 2, 200), "bad_response"),
]
STALLED = [
    ("silence before headers", replies.silence, "timeout"),
    ("silence mid-body", replies.silence_in_body, "timeout"),
    ("one byte every 50 ms", replies.drip, "timeout"),
    ("100 Continue without end", replies.endless_continue, "timeout"),
]
PASSING = LOST_CONNECTION + OVERLOAD + GARBLED + STALLED

LASTING = [
    *(
        (f"status {code}", status(code), f"http_{code}")
        for code in (400, 402, 403, 404, 405, 407, 410, 418, 451, 501)
    ),
    *(
        (f"redirect {code}", replies.redirect("http://127.0.0.1:9/", code), "redirect")
        for code in (301, 302, 303, 307, 308)
    ),
    ("completed, results null", says("Completed"), "no_data"),
    ("completed, data empty", carrying(""), "no_data"),
]

SPACES = b" " * 65_536
NESTED = (b'{"x":', b"[", 1_000_000, b"")
HOSTILE = [
    ("an image without end", replies.endless_image(), "too_large"),
    ("spaces without end", replies.endless(b"{", SPACES), "too_large"),
    ("an unknown field without end", replies.endless(b'{"x":"', b"y" * 65_536), "too_large"),
    ("a gzip bomb", replies.gzip_bomb(200), "too_large"),
    (
        "a million results",
        replies.repeated(b'{"results":[', b'{"type":"ImagePNG","data":""},', 1_000_000, b"null]}"),
        "too_large",
    ),
    ("JSON nested a million deep", replies.repeated(*NESTED), "bad_response"),
    (
        "a message of 100 MB",
        replies.repeated(b'{"error":{"messages":["', b"m" * 1000, 100_000, b'"]}}'),
        "too_large",
    ),
]


def rows(table):
    """
    Make a table's first column the names of its tests.
    """
    return [pytest.param(*row[1:], id=row[0]) for row in table]


def timeouts(reason):
    """
    Return the settings for a fault with this *reason*.
    """
    return IMPATIENT if reason == "timeout" else {}


def slow(task_id):
    """
    This task's image, a tenth of a second after the question.
    """
    return raw(*ready(task_id).pieces(), interval=0.1)


def http_date(seconds):
    """
    Return the time in so many seconds as HTTP writes it.
    """
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def without_length(body):
    """
    *body*, ended by the end of the connection.
    """
    return raw(replies.head() + body, ending=replies.Ending.CLOSE)


@pytest.fixture
def out(tmp_path):
    """
    Where images go.
    """
    return tmp_path / "out"


@pytest.fixture
def fetch(out):
    """
    Fetch tasks from an origin into `out`, without waiting between attempts.
    """

    async def fetch(origin, *task_ids, **settings):
        settings = Settings(
            output=out,
            base_url=origin.base_url,
            **{"attempts": ATTEMPTS, **settings},
        )
        jobs = [Job(task_id, f"{task_id}.png") for task_id in task_ids]
        retries = RetryPolicy(settings.attempts, initial=0.0)
        async with open_batch(jobs, settings, credentials=CREDENTIALS, retries=retries) as outcomes:
            return [outcome async for outcome in outcomes]

    return fetch


@pytest.mark.parametrize(("fault", "reason"), rows(PASSING))
async def test_passing_fault_is_tried_again(fetch, out, fault, reason):
    """
    After a fault that may pass the task is asked again, and its image is right.
    """
    async with Origin({"t": [fault, ready]}) as origin:
        (outcome,) = await fetch(origin, "t", **timeouts(reason))
    assert (outcome.status, outcome.reason) == (OutcomeStatus.COMPLETED, None)
    assert outcome.calls == origin.calls_of("t") == 2
    assert images_in(out) == {"t": png_of("t")}
    assert parts_in(out) == []


@pytest.mark.parametrize(("fault", "reason"), rows(PASSING))
async def test_passing_fault_that_stays_is_failed(fetch, out, fault, reason):
    """
    A fault that does not pass is Failed after as many attempts as allowed, and leaves nothing.
    """
    async with Origin({"t": [fault]}) as origin:
        (outcome,) = await fetch(origin, "t", **timeouts(reason))
    assert (outcome.status, outcome.reason) == (OutcomeStatus.FAILED, reason)
    assert outcome.calls == origin.calls_of("t") == ATTEMPTS
    assert images_in(out) == {}
    assert parts_in(out) == []


@pytest.mark.parametrize(("fault", "reason"), rows(LASTING))
async def test_lasting_fault_is_failed_at_once(fetch, out, fault, reason):
    """
    A fault that will not pass is Failed after one call, and leaves nothing.
    """
    async with Origin({"t": [fault, ready]}) as origin:
        (outcome,) = await fetch(origin, "t")
    assert (outcome.status, outcome.reason) == (OutcomeStatus.FAILED, reason)
    assert outcome.calls == origin.calls_of("t") == 1
    assert images_in(out) == {}
    assert parts_in(out) == []


async def test_answer_about_another_task_is_asked_once_more(fetch, out):
    """
    Once it may be the connection's fault; twice it is the service's.
    """
    another = ready("another")
    async with Origin({"once": [another, ready], "twice": [another, another, ready]}) as origin:
        (once,) = await fetch(origin, "once")
        (twice,) = await fetch(origin, "twice")
    assert (once.status, once.calls) == (OutcomeStatus.COMPLETED, 2)
    assert (twice.status, twice.reason, twice.calls) == (OutcomeStatus.FAILED, "wrong_id", 2)
    assert len({call.connection for call in origin.calls}) == 4
    assert images_in(out) == {"once": png_of("once")}


@pytest.mark.parametrize(("fault", "reason"), rows(HOSTILE))
async def test_hostile_body_is_dropped_and_not_drained(fetch, out, fault, reason):
    """
    A body made to exhaust us is Failed once it is too much, and the rest of it is not read.
    """
    async with Origin({"t": [fault]}) as origin:
        (outcome,) = await fetch(origin, "t", max_image_bytes=MIB, attempts=1)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.FAILED, reason)
    assert origin.sent["t"] < 16 * MIB
    assert images_in(out) == {}
    assert parts_in(out) == []


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        pytest.param(replies.failed, "Error", "service_error", id="task failed"),
        pytest.param(replies.unknown, "NotExist", "not_found", id="task unknown"),
        pytest.param(says("NotExist", "ResultDataLost"), "NotExist", "result_lost", id="lost"),
        pytest.param(says(4, 7), "Error", "service_error", id="statuses as numbers"),
    ],
)
async def test_service_says_no(fetch, out, answer, status, reason):
    """
    What the service says for good is the outcome after one call.
    """
    async with Origin({"t": [answer, ready]}) as origin:
        (outcome,) = await fetch(origin, "t")
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.calls == origin.calls_of("t") == 1
    assert images_in(out) == {}


@pytest.mark.parametrize("body", [replies.zipped, without_length], ids=["gzip", "no length"])
async def test_unusual_but_whole_body_is_taken(fetch, out, body):
    """
    Gzip nobody asked for, or a body that ends with its connection, is an image if it is whole.
    """
    async with Origin({"t": [body(replies.body_of(png_of("t"), "t"))]}) as origin:
        (outcome,) = await fetch(origin, "t")
    assert outcome.status is OutcomeStatus.COMPLETED
    assert images_in(out) == {"t": png_of("t")}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (404, ["retired", "--endpoint deskew", "--base-url", "leave out /v5.0/ocr"]),
        (402, ["calls that the plan includes"]),
        (403, ["account may not include this endpoint"]),
        (501, ["--base-url does not offer this endpoint"]),
    ],
)
async def test_refusal_hints_at_what_to_do(fetch, out, code, words):
    """
    The detail of a refusal says what may have happened and what to set.
    """
    async with Origin({"t": [status(code)]}) as origin:
        (outcome,) = await fetch(origin, "t")
    assert all(word in outcome.detail for word in words)


async def test_dropped_kept_connection_is_a_call_that_counts(fetch, out):
    """
    A kept connection found dead is asked again by us, never silently by the HTTP library.
    """
    async with Origin({"second": [replies.hang_up, ready]}) as origin:
        first, second = await fetch(origin, "first", "second", concurrency=1)
    assert (first.calls, second.calls) == (1, 2)
    assert len(origin.calls) == 3
    assert origin.calls[0].connection == origin.calls[1].connection


async def test_attempts_are_one_row_of_faults(fetch, out):
    """
    An answer in between starts the count of attempts anew: pending is no fault.
    """
    script = [status(500), replies.pending, status(500), ready]
    async with Origin({"t": script}) as origin:
        (outcome,) = await fetch(origin, "t", polling="prompt")
    assert outcome.status is OutcomeStatus.COMPLETED
    assert outcome.calls == len(script)


@pytest.mark.parametrize("code", [201, 202, 203, 206])
@pytest.mark.parametrize("endpoint", ["deskew", "file"])
async def test_other_status_of_success(fetch, out, code, endpoint):
    """
    An answer counts by what it says: a pending task with status 202 is pending, a completed one
    is completed.
    """
    unready = http(replies.result("t", "Pending", "NotReady"), code)
    whole = http(IMAGE if endpoint == "file" else replies.body_of(IMAGE, "t"), code)
    script = [whole] if endpoint == "file" else [unready, unready, whole]
    async with Origin({"t": script}) as origin:
        (outcome,) = await fetch(origin, "t", polling="prompt", endpoint=endpoint)
    assert (outcome.status, outcome.calls) == (OutcomeStatus.COMPLETED, len(script))
    assert images_in(out) == {"t": IMAGE}


async def test_token_is_not_carried_to_another_origin(fetch, out):
    """
    A redirect is not followed, so the other origin hears nothing at all.
    """
    async with Origin() as other, Origin() as origin:
        origin.script["t"] = [replies.redirect(f"{other.base_url}/steal?id=t", 307)]
        (outcome,) = await fetch(origin, "t")
    assert outcome.reason == "redirect"
    assert other.calls == []


async def test_text_of_the_service_is_cut_and_tamed(fetch, out):
    """
    Messages keep a sane length and cannot move the terminal or forge a line of the log.
    """
    message = "\x1b[2J\x07first\nCRITICAL forged\u202e\x9b" + "x" * 20_000
    async with Origin({"t": [says("Error", messages=[message] * 20)]}) as origin:
        (outcome,) = await fetch(origin, "t")
    assert outcome.reason == "service_error"
    assert len(outcome.model_dump_json()) < 64 * 1024
    assert "first CRITICAL forged" in outcome.messages[0]
    assert all(text.isprintable() for text in (*outcome.messages, outcome.detail))


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(status(429, "Retry-After: 1"), id="429 in seconds"),
        pytest.param(status(503, "Retry-After: 1"), id="503 in seconds"),
        pytest.param(
            # Two seconds from the request on, not from the start of the test.
            lambda _: status(429, f"Retry-After: {http_date(2)}"),
            id="429 until a date",
        ),
    ],
)
async def test_everyone_keeps_the_pause(fetch, out, refusal):
    """
    Once one poller is told to wait, none asks before the time is over; then all are served.
    """
    task_ids = ["told", *map(str, range(20))]
    async with Origin({"told": [refusal, ready]}, default=slow) as origin:
        outcomes = await fetch(origin, *task_ids, concurrency=4)
    told, *others = (call.at for call in origin.calls)
    after = others[3:]  # Three more were in flight when it was said.
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.COMPLETED}
    assert len(after) == len(task_ids) - 3
    assert min(after) - told > 0.9


async def test_429_without_a_time_holds_everyone(fetch, out):
    """
    A 429 that gives no time makes a pause of our own choosing that all keep.
    """
    async with Origin({"told": [status(429), ready]}, default=slow) as origin:
        await fetch(origin, "told", *map(str, range(20)), concurrency=4)
    told, *others = (call.at for call in origin.calls)
    assert min(others[3:]) - told > 0.4
