"""
The poller: one question, and what every answer makes of it.
"""

import re
from datetime import UTC, datetime, timedelta

import pytest
from replies import carrying, png_of, result, text_of
from scripted import ScriptedTransport, Unsent, pending, ready, says, status
from wiring import local_storage, poller

from batchfetch.endpoints import ENDPOINTS
from batchfetch.errors import (
    ConnectionLostError,
    OutOfDescriptorsError,
    ProxyRefusedError,
    RedirectedError,
    StaleConnectionError,
    StalledError,
    StorageError,
    TruncatedBodyError,
    UntrustedServerError,
)
from batchfetch.hooks import Paused
from batchfetch.models import Job, JobState, Outcome, OutcomeStatus
from batchfetch.run.poller import Unfinished, timed_out
from batchfetch.run.setbacks import Retry
from batchfetch.scheduling import LocalPace
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.settings import Durability, Settings

pytestmark = pytest.mark.anyio

BEGAN = datetime.now(UTC)
LONG_AGO = BEGAN - timedelta(hours=25)
RECENTLY = BEGAN - timedelta(hours=23)


class Bench:
    """
    A poller on its own, and everything around it to look at.
    """

    def __init__(self, storage, transport, **settings):
        self.now = 100.0
        self.pace = LocalPace(slots=8, rate=None, max_calls=None)
        self.transport = transport
        self.storage = storage
        self.poller = poller(
            transport,
            storage,
            Settings(**settings),
            self.pace,
            RetryPolicy(3, initial=1, spread=lambda _, most: most),
            clock=lambda: self.now,
            epoch=BEGAN.timestamp() - self.now,
        )

    async def ask(self, state):
        """
        Ask as the dispatch does.
        """
        self.pace.start(self.now)
        try:
            return await self.poller.ask(state, "a-token")
        finally:
            self.pace.finish()

    def files(self):
        """
        Return what is in the output.
        """
        root = self.storage.folder.path
        return {path.name: path.read_bytes() for path in root.iterdir() if path.suffix == ".png"}


@pytest.fixture
async def bench(tmp_path):
    """
    Make a poller whose transport says what the test tells it, about the task `t`.
    """
    async with local_storage(tmp_path / "out", Durability.NONE) as storage:
        yield lambda *script, **settings: Bench(
            storage, ScriptedTransport({"t": script}), **settings
        )


@pytest.fixture
def state():
    """
    The job `t`, not asked about yet.
    """
    return JobState(Job("t", "t.png"))


def about(**fields):
    """
    Return the job `t` with more known about it.
    """
    return JobState(Job("t", "t.png", **fields))


async def test_completed(bench, state):
    """
    A completed task's image is in its place, measured, and the outcome says all of it.
    """
    body = result("T", data=text_of(png_of("t")), messages=["m"], warnings=["w"])
    completed = bench(body)
    outcome = await completed.ask(state)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.reason, outcome.detail) == ("Completed", None, None)
    assert (outcome.messages, outcome.warnings) == (("m",), ("w",))
    assert (outcome.path, outcome.bytes, outcome.calls) == ("t.png", len(png_of("t")), 1)
    assert (outcome.task_status, outcome.response_status_code) == ("Completed", "Ok")
    assert completed.files() == {"t.png": png_of("t")}


@pytest.mark.parametrize("task_status", ["Pending", "Processing"])
async def test_unfinished(bench, state, task_status):
    """
    A task that is not ready is no outcome, and what was said is remembered.
    """
    assert isinstance(await bench(says(task_status, "NotReady")).ask(state), Unfinished)
    assert state.answer.status == task_status
    assert state.calls == 1


async def test_image_of_an_unfinished_task_is_not_kept(bench, state):
    """
    An image counts only if the answer around it says that the task is completed.
    """
    odd = bench(result("t", "Processing", data=text_of(png_of("t"))))
    assert isinstance(await odd.ask(state), Unfinished)
    assert odd.files() == {}


CODES = [
    "Ok",
    "PartiallyNotFound",
    "NoAnyResultData",
    "ResultDataLost",
    "TaskNotFound",
    "NotReady",
    "Error",
    None,
    "Unheard",
]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("task_status", "outcome", "usual"),
    [
        ("Completed", "Failed", "no_data"),
        ("Error", "Error", "service_error"),
        ("NotExist", "NotExist", "not_found"),
    ],
)
async def test_answer_without_an_image(bench, state, task_status, outcome, usual, code):
    """
    Without an image the status decides on the outcome, and `ResultDataLost` on its reason.
    """
    found = await bench(says(task_status, code)).ask(state)
    reason = "result_lost" if code == "ResultDataLost" else usual
    assert (found.status, found.reason) == (outcome, reason)
    assert found.detail
    assert found.path is found.bytes is found.sha256 is None


@pytest.mark.parametrize("task_status", ["Pending", "Processing"])
@pytest.mark.parametrize("code", CODES)
async def test_code_does_not_finish_a_task(bench, state, task_status, code):
    """
    Whatever the code beside it, an unfinished task is unfinished.
    """
    assert isinstance(await bench(says(task_status, code)).ask(state), Unfinished)


@pytest.mark.parametrize(
    ("messages", "detail"),
    [(["blank page", "more"], "blank page"), ([], "the service gave no reason")],
)
async def test_error_of_the_service(bench, state, messages, detail):
    """
    An Error's detail is the service's first message, and all are kept.
    """
    found = await bench(says("Error", "Error", messages=messages)).ask(state)
    assert found.detail == detail
    assert list(found.messages) == messages


@pytest.mark.parametrize(
    ("submitted_at", "reason"),
    [(None, "not_found"), (RECENTLY, "not_found"), (LONG_AGO, "expired")],
)
async def test_expired_or_unknown(bench, submitted_at, reason):
    """
    A result that must be deleted by now has expired; otherwise the task is unknown.
    """
    unknown = about(submitted_at=submitted_at)
    found = await bench(says("NotExist", "TaskNotFound")).ask(unknown)
    assert (found.status, found.reason) == ("NotExist", reason)


@pytest.mark.parametrize(
    ("age", "looks"),
    [(-7200, 4), (0, 4), (10, 3), (70, 2), (119.9, 1), (120, 0), (3600, 0)],
)
async def test_unknown_task_that_was_just_submitted(bench, age, looks):
    """
    NotExist is "not yet" until two minutes after the submission or the first look, whichever is
    earlier; a look is every 39 seconds here, from so many seconds after the submission.
    """
    new = bench(says("NotExist", "TaskNotFound"))
    state = about(submitted_at=BEGAN - timedelta(seconds=age))
    for _ in range(looks):
        assert isinstance(await new.ask(state), Unfinished)
        new.now += 39
    found = await new.ask(state)
    assert (found.status, found.reason, found.calls) == ("NotExist", "not_found", looks + 1)


async def test_new_task_without_its_time_is_unknown_at_once(bench, state):
    """
    Without `submitted_at` nothing says that a task is new.
    """
    found = await bench(says("NotExist", "TaskNotFound")).ask(state)
    assert (found.status, found.calls) == ("NotExist", 1)


@pytest.mark.parametrize("code", ["TaskNotFound", "ResultDataLost", None])
async def test_new_task_appears_after_all(bench, code):
    """
    A new task that is unknown, then pending, then ready is Completed.
    """
    new = bench(says("NotExist", code), pending, says("NotExist", code), ready)
    state = about(submitted_at=BEGAN)
    verdicts = [await new.ask(state) for _ in range(4)]
    assert [type(verdict) for verdict in verdicts] == [Unfinished, Unfinished, Unfinished, Outcome]
    assert verdicts[-1].status is OutcomeStatus.COMPLETED


async def test_new_task_without_a_file_yet(bench):
    """
    The endpoint `file` says with 204 that it has no file, of a new task as well.
    """
    new = bench(status(204), png_of("t"), endpoint="file")
    state = about(submitted_at=BEGAN)
    assert isinstance(await new.ask(state), Unfinished)
    assert (await new.ask(state)).status is OutcomeStatus.COMPLETED


@pytest.mark.parametrize(
    ("code", "reason"), [("TaskNotFound", "not_found"), ("ResultDataLost", "result_lost")]
)
async def test_patience_that_ends_before_a_task_is_known(bench, code, reason):
    """
    What is still not known when patience ends is NotExist, not TimedOut.
    """
    state = about(submitted_at=BEGAN)
    await bench(says("NotExist", code)).ask(state)
    found = timed_out(state, 60)
    assert (found.status, found.reason, found.task_status) == ("NotExist", reason, "NotExist")


@pytest.mark.parametrize("endpoint", ["file", ENDPOINTS["file"].upper()])
async def test_204_of_the_file_endpoint(bench, state, endpoint):
    """
    Where files are answered, 204 means that there is none any more.
    """
    found = await bench(status(204), endpoint=endpoint).ask(state)
    assert (found.status, found.reason) == ("NotExist", "not_found")
    found = await bench(status(204)).ask(about(endpoint=endpoint, submitted_at=LONG_AGO))
    assert (found.status, found.reason) == ("NotExist", "expired")


async def test_204_elsewhere(bench, state):
    """
    Elsewhere 204 means nothing that is known of, and is tried again in the next run.
    """
    found = await bench(status(204)).ask(state)
    assert (found.status, found.reason) == ("Failed", "http_204")


async def test_file_is_the_image_itself(bench, state):
    """
    The endpoint `file` answers with the bytes of the image.
    """
    direct = bench(png_of("t"), endpoint="file")
    assert (await direct.ask(state)).status == "Completed"
    assert direct.files() == {"t.png": png_of("t")}
    assert direct.transport.calls[0].path == ENDPOINTS["file"]


async def test_endpoint_of_the_job_comes_first(bench):
    """
    A job's own endpoint overrides that of the settings.
    """
    chosen = bench(ready, endpoint="task")
    await chosen.ask(about(endpoint="deskew"))
    await chosen.ask(JobState(Job("u", "u.png")))
    assert [call.path for call in chosen.transport.calls] == [
        ENDPOINTS["deskew"],
        ENDPOINTS["task"],
    ]


async def test_calls_and_times_are_noted(bench, state):
    """
    Every question counts, also one without an answer; the first one's time stays.
    """
    slow = bench(ConnectionLostError("reset"), pending, ready)
    before = datetime.now(UTC)
    await slow.ask(state)
    slow.now += 50
    await slow.ask(state)
    outcome = await slow.ask(state)
    assert outcome.calls == 3
    assert state.first_asked == 100.0
    assert before <= outcome.first_call_at <= datetime.now(UTC)


async def test_passing_faults_in_a_row(bench, state):
    """
    A passing fault asks to be tried again later, each time later, until there are too many.
    """
    broken = bench(ConnectionLostError("reset"))
    replies = [await broken.ask(state) for _ in range(3)]
    assert [verdict.delay for verdict in replies[:2]] == [1, 2]
    assert all(isinstance(verdict, Retry) for verdict in replies[:2])
    assert (replies[2].status, replies[2].reason) == ("Failed", "connection")
    assert (replies[2].detail, replies[2].calls) == ("reset", 3)


async def test_answer_in_between_starts_anew(bench, state):
    """
    Faults count in a row: an answer, be it "not yet", is the end of it.
    """
    fault = status(500)
    flaky = bench(fault, fault, pending, fault, fault, ready)
    replies = [await flaky.ask(state) for _ in range(6)]
    assert [type(verdict) for verdict in replies] == [
        Retry,
        Retry,
        Unfinished,
        Retry,
        Retry,
        Outcome,
    ]
    assert replies[-1].status is OutcomeStatus.COMPLETED


@pytest.mark.parametrize("error", [status(404), status(400), RedirectedError("elsewhere")])
async def test_lasting_fault(bench, state, error):
    """
    What will not pass is Failed at once.
    """
    found = await bench(error).ask(state)
    assert (found.status, found.reason, found.calls) == ("Failed", error.reason, 1)
    assert found.detail == str(error)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "bad_response"),
        (ready("t")[:-40], "connection"),
        (b"", "bad_response"),
        (b"".join(carrying("AA*A")("t").pieces()).split(b"\r\n\r\n")[1], "bad_base64"),
        (result("t", data=text_of(b"\xff\xd8\xff JFIF")), "not_png"),
        (result("t", data=text_of(png_of("t")[:-3])), "corrupt_png"),
    ],
)
async def test_garbled_answer(bench, state, body, reason):
    """
    A body that is not what was promised is a passing fault, and leaves nothing.
    """
    garbled = bench(body)
    verdict = await garbled.ask(state)
    assert isinstance(verdict, Retry)
    assert verdict.error.reason == reason
    assert state.answer is None
    assert garbled.files() == {}


@pytest.mark.parametrize(
    ("body", "settings", "reason"),
    [
        (ready("t"), {"max_image_bytes": 20}, "too_large"),
    ],
)
async def test_answer_that_will_not_change(bench, state, body, settings, reason):
    """
    Some bodies are wrong for good.
    """
    wrong = bench(body, **settings)
    found = await wrong.ask(state)
    assert (found.status, found.reason) == ("Failed", reason)
    assert wrong.files() == {}


async def test_answer_about_another_task_is_asked_once_more(bench, state):
    """
    The first is the connection's fault and costs no attempt; the second is final.
    """
    wrong = bench(ready("another"))
    verdict = await wrong.ask(state)
    assert (type(verdict), verdict.delay, state.faults) == (Retry, 0.0, 0)
    found = await wrong.ask(state)
    assert (found.status, found.reason, found.calls) == ("Failed", "wrong_id", 2)
    assert wrong.files() == {}


async def test_closed_connection_costs_no_attempt(bench, state):
    """
    A kept connection that was closed is no fault of the task: it is asked again at once, for ever.
    """
    stale = bench(StaleConnectionError("closed"), attempts=1)
    for calls in range(1, 4):
        verdict = await stale.ask(state)
        assert (type(verdict), verdict.delay) == (Retry, 0.0)
        assert (state.calls, state.faults) == (calls, 0)


async def test_refused_token_is_no_fault(bench, state):
    """
    A first 401 is to be asked again at once, with another token, and counts as a call.
    """
    verdict = await bench(status(401)).ask(state)
    assert (type(verdict), verdict.delay) == (Retry, 0.0)
    assert (state.calls, state.faults, state.refusals) == (1, 0, 1)


async def test_refused_tokens_are_counted_in_a_row(bench, state):
    """
    How often in a row a job's token was refused is noted, and nothing is made of it here.
    """
    refused = bench(status(401), status(401), pending)
    verdicts = [await refused.ask(state) for _ in range(2)]
    assert all(isinstance(verdict, Retry) for verdict in verdicts)
    assert (state.calls, state.faults, state.refusals) == (2, 0, 2)
    await refused.ask(state)
    assert state.refusals == 0


@pytest.mark.parametrize(
    "error", [ConnectionLostError("refused"), StalledError("no connection in time")]
)
async def test_connection_that_was_not_made_costs_no_attempt(bench, state, error):
    """
    What was never sent is no call and no attempt, however often.
    """
    unconnected = bench(Unsent(error), attempts=1)
    for _ in range(5):
        assert isinstance(await unconnected.ask(state), Retry)
    assert (state.calls, state.faults) == (0, 0)


async def test_patience_begins_with_the_first_call(bench, state):
    """
    A request that was never sent is no look at the task.
    """
    late = bench(Unsent(ConnectionLostError("refused")), pending, pending)
    for _ in range(3):
        late.now += 10
        await late.ask(state)
    assert state.first_asked == 120


@pytest.mark.parametrize("error", [UntrustedServerError("unknown"), ProxyRefusedError("407")])
async def test_blocked_way_is_no_fault_of_the_task(bench, state, error):
    """
    What a person has to change costs no attempt.
    """
    verdict = await bench(Unsent(error)).ask(state)
    assert (type(verdict), verdict.delay, state.faults) == (Retry, 0.0, 0)


async def test_two_refused_tokens_an_answer_apart(bench, state):
    """
    Tokens that were good for a while are replaced as often as need be.
    """
    tired = bench(status(401), pending, status(401), pending, status(401), ready)
    replies = [await tired.ask(state) for _ in range(6)]
    assert replies[-1].status is OutcomeStatus.COMPLETED


@pytest.mark.parametrize(
    ("error", "window", "paused_for"),
    [
        (status(429, 7.0), 2, 7.0),
        (status(503, 7.0), 2, 7.0),
        (status(503), 2, None),
        (OutOfDescriptorsError("no file descriptor is left"), 2, None),
        (status(500), 8, None),
        (status(502, 7.0), 8, None),
        (ConnectionLostError("reset"), 8, None),
    ],
)
async def test_overload_slows_everyone_down(bench, state, error, window, paused_for):
    """
    Overload halves what is in flight, and a time to wait is one for all.
    """
    busy = bench(error)
    busy.pace.concurrency.in_flight = 4 - 1
    assert isinstance(await busy.ask(state), Retry)
    assert busy.pace.concurrency.limit == window
    until = busy.pace.cooldown.until
    assert until == (busy.now + paused_for if paused_for else float("-inf"))


async def test_429_without_a_time_pauses_everyone(bench, state):
    """
    A 429 that names no time makes a pause of our own.
    """
    busy = bench(status(429))
    await busy.ask(state)
    assert busy.now < busy.pace.cooldown.until <= busy.now + 1


@pytest.mark.parametrize("retry_after", [0, -5, float("nan")])
async def test_wait_of_no_time_is_none(bench, state, retry_after):
    """
    A 429 whose time to wait is zero or less pauses everyone as one without a time.
    """
    busy = bench(status(429, retry_after))
    await busy.ask(state)
    assert busy.now + 0.5 <= busy.pace.cooldown.until <= busy.now + 1


async def test_pause_is_said_once(bench, caplog):
    """
    All that are told to wait during one pause are one line of the log and one event; a pause that
    turns out twice as long, and the next pause, are said again.
    """
    told = []
    waits = [5, 5.1, 4, 7, None, 600, 600, 600]
    busy = bench(*(status(429, seconds) for seconds in waits))
    busy.poller = poller(
        *(busy.transport, busy.storage, Settings(), busy.pace, RetryPolicy(100)),
        clock=lambda: busy.now,
        epoch=0.0,
        tell=told.append,
    )
    state = about()
    for _ in waits:
        await busy.ask(state)
        busy.now += 0.1
    assert [event.seconds for event in told if isinstance(event, Paused)] == [5, 600]
    assert re.findall(r"pausing for (\S+) s", caplog.text) == ["5", "600"]
    busy.now += 601
    await busy.ask(state)
    assert re.findall(r"pausing for (\S+) s", caplog.text) == ["5", "600", "600"]


async def test_answers_speed_up_again(bench, state):
    """
    Each good answer lets the window grow and the pauses start small again.
    """
    recovering = bench(status(503), *[pending] * 40)
    recovering.pace.concurrency.in_flight = 3
    await recovering.ask(state)
    recovering.pace.concurrency.in_flight = 0
    limits = []
    for _ in range(40):
        await recovering.ask(state)
        limits.append(recovering.pace.concurrency.limit)
    assert limits[0] == 2
    assert limits[-1] == 8
    assert limits == sorted(limits)


async def test_shortage_of_descriptors_fails_no_task(bench, state):
    """
    As long as fewer may be in flight, a shortage of our own is waited for and is no fault.
    """
    short = bench(OutOfDescriptorsError("no file descriptor is left"))
    short.pace.concurrency.in_flight = 6
    replies = []
    while short.pace.concurrency.limit > 1:
        short.now += 1
        replies.append(await short.ask(state))
        short.pace.concurrency.in_flight //= 2
    assert len(replies) > 1
    assert all(isinstance(verdict, Retry) and verdict.delay == 1 for verdict in replies[:-1])


async def test_shortage_that_stays_ends_the_run(bench, state):
    """
    When even one question at a time finds no descriptor, the run ends and says what to do.
    """
    short = bench(OutOfDescriptorsError("no file descriptor is left"))
    with pytest.raises(StorageError, match=r"no file descriptor is left; .*ulimit -n"):
        for _ in range(10):
            short.now += 1
            await short.ask(state)


@pytest.mark.parametrize("was_sent", [True, False])
async def test_request_that_was_never_sent_is_no_call(bench, state, was_sent):
    """
    Without a connection nothing was sent, so nothing is counted; without a file it was.
    """
    error = OutOfDescriptorsError("no file descriptor is left")
    await bench(error if was_sent else Unsent(error)).ask(state)
    assert state.calls == int(was_sent)


async def test_token_in_an_answer_is_not_repeated(bench, state):
    """
    A service that quotes the token does not get it into the outcome.
    """
    quoted = "your a-token is fine"
    found = await bench(says("Error", quoted, messages=[quoted, "other"], warnings=[quoted])).ask(
        state
    )
    assert "a-token" not in found.model_dump_json()
    assert found.messages[1] == "other"
    assert found.messages[0].startswith("your ")


async def test_token_in_a_fault_is_not_repeated(bench, state):
    """
    Nor does it get there by way of an error's words.
    """
    found = await bench(RedirectedError("to /?token=a-token")).ask(state)
    assert "a-token" not in found.model_dump_json()


async def test_unsafe_place(bench, tmp_path):
    """
    A place that turns out to be a folder makes its row Invalid, not the run.
    """
    blocked = bench(ready)
    (blocked.storage.folder.path / "t.png").mkdir()
    found = await blocked.ask(about())
    assert (found.status, found.reason, found.calls) == ("Invalid", "bad_name", 1)


async def test_disk_that_fails(bench, state):
    """
    A failing disk is everybody's trouble and comes out as it is.
    """
    broken = bench(ready)
    root = broken.storage.folder.path
    (root / ".batchfetch.lock").unlink()
    root.rmdir()
    with pytest.raises(StorageError):
        await broken.ask(state)


@pytest.mark.parametrize(
    ("script", "words"), [([pending], "still Pending"), ([TruncatedBodyError("x")], "unfinished")]
)
async def test_timed_out(bench, state, script, words):
    """
    Patience that ran out is an outcome that says how long it was and what was said last.
    """
    await bench(*script).ask(state)
    outcome = timed_out(state, 90.4)
    assert (outcome.status, outcome.reason) == ("TimedOut", "still_pending")
    assert words in outcome.detail
    assert outcome.detail.endswith("90 s after the first question")
    assert outcome.calls == 1
