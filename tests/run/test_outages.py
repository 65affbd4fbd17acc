"""
A service that is away, fails, or turns everything away: what a run makes of it, over real sockets.
"""

import anyio
import pytest
import replies
from command import images_in
from origin import Origin
from replies import failing, png_of, ready, status

from batchfetch import Credentials, Held, Job, Resumed, Settings, UnavailableError, open_batch
from batchfetch.errors import CredentialsError
from batchfetch.report.runs import read_runs
from batchfetch.scheduling.retry import RetryPolicy

pytestmark = pytest.mark.anyio

TOKEN = Credentials(access_token="a-token")
PAIR = Credentials(client_id="an-id", client_secret="a-secret")
EITHER = pytest.mark.parametrize("credentials", [TOKEN, PAIR], ids=["token", "pair"])
SLOTS = 4
TASKS = [f"t{number}" for number in range(60)]


class Ending:
    """
    How a run ended.
    """

    def __init__(self, outcomes, summary, error):
        self.outcomes = {outcome.task_id: outcome for outcome in outcomes}
        self.summary = summary
        self.error = error

    @property
    def how(self):
        """
        Exit code, what stopped the run, and the outcomes.
        """
        summary = self.summary
        return int(summary.exit_code), summary.stopped_by, dict(summary.outcomes)

    def failed(self):
        """
        Return the reasons of the tasks that failed, by task id.
        """
        return {
            task_id: outcome.reason
            for task_id, outcome in self.outcomes.items()
            if outcome.status == "Failed"
        }


@pytest.fixture
def out(tmp_path):
    """
    Where images go.
    """
    return tmp_path / "out"


@pytest.fixture
def fetch(out):
    """
    Fetch `TASKS` with short pauses between tries and probes, a few at a time.
    """

    async def fetch(origin, jobs=TASKS, *, credentials=TOKEN, hooks=(), during=None, **settings):
        settings = {"concurrency": SLOTS, "attempts": 2} | settings
        settings = Settings(output=out, base_url=origin.base_url, **settings)
        retries = RetryPolicy(settings.attempts, initial=0.01, maximum=0.1)
        outcomes, error = [], None
        async with open_batch(
            jobs, settings, credentials=credentials, retries=retries, hooks=hooks
        ) as batch:
            if during is not None:
                await during(batch)
            try:
                async for outcome in batch:
                    outcomes.append(outcome)  # noqa: PERF401 - kept if an error ends it
            except (UnavailableError, CredentialsError) as exc:
                error = exc
        return Ending(outcomes, batch.summary, error)

    return fetch


# The service is away


@EITHER
async def test_service_that_is_not_there(fetch, out, credentials):
    """
    Nothing can connect: exit 8 after the time that was set, all tasks are left, nothing is billed.
    """
    async with Origin() as origin:
        pass
    ended = await fetch(origin, credentials=credentials, outage=0.5)
    assert ended.how == (8, "unreachable", {})
    assert "cannot be reached" in str(ended.error)
    assert (ended.summary.left, ended.summary.calls) == (len(TASKS), 0)
    assert (out / "report.jsonl").read_text() == ""
    (run,) = read_runs(out / "report.jsonl")
    (outage,) = run.interruptions
    assert (outage.cause, outage.seconds >= 0.5) == ("outage", True)
    assert outage.ended_at <= run.ended_at


@EITHER
async def test_service_that_goes_away_and_comes_back(fetch, out, credentials):
    """
    An outage in mid-run fails no task even if there is one attempt only, and costs few calls; hooks
    hear of its beginning and its end.
    """
    asked, heard = anyio.Event(), []
    script = {"t20": [lambda task_id: asked.set() or ready(task_id)]}
    async with Origin(script) as origin:

        async def interrupt():
            await asked.wait()
            await origin.go_away()
            await anyio.sleep(0.6)
            await origin.listen()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupt)
            ended = await fetch(
                origin, credentials=credentials, attempts=1, outage=60, hooks=[heard.append]
            )
    held, resumed = [event for event in heard if isinstance(event, Held | Resumed)]
    assert (type(held), held.seconds) == (Held, 60)
    assert (type(resumed), resumed.seconds > 0) == (Resumed, True)
    (run,) = read_runs(out / "report.jsonl")
    (outage,) = run.interruptions
    assert (outage.cause, outage.reason) == ("outage", held.reason)
    assert outage.seconds == pytest.approx(resumed.seconds, abs=0.01)
    assert run.began_at < outage.began_at < outage.ended_at < run.ended_at
    assert ended.how == (0, None, {"Completed": len(TASKS)})
    assert images_in(out) == {task_id: png_of(task_id) for task_id in TASKS}
    assert len(origin.calls) <= ended.summary.calls <= len(TASKS) + 2 * SLOTS


@pytest.mark.parametrize(
    "reply",
    [
        status(500),
        status(502),
        status(503),
        status(408),
        replies.hang_up,
        replies.reset_before_headers,
        replies.reset_in_body,
    ],
    ids=["500", "502", "503", "408", "hang-up", "reset", "reset in body"],
)
@pytest.mark.parametrize("first", [0, 20], ids=["from the start", "in mid-run"])
async def test_service_that_only_fails_for_a_time(fetch, out, reply, first):
    """
    Nothing but failures, from the start or in mid-run: none of the tasks fails, however few their
    attempts, and the calls of that time are those in flight and a few probes.
    """
    async with Origin(default=failing(reply, first=first, times=20)) as origin:
        ended = await fetch(origin, attempts=1, outage=60)
    assert ended.how == (0, None, {"Completed": len(TASKS)})
    assert images_in(out) == {task_id: png_of(task_id) for task_id in TASKS}
    assert len(origin.calls) == ended.summary.calls == len(TASKS) + 20
    assert sum(outcome.calls for outcome in ended.outcomes.values()) == ended.summary.calls


async def test_service_that_is_silent_for_a_time(fetch, out):
    """
    As many time-outs in a row as may be in flight are an outage, too.
    """
    # Twelve at once, and at most eleven that are asked before the last of these has timed out.
    async with Origin(default=failing(replies.silence, first=20, times=26)) as origin:
        ended = await fetch(
            origin, concurrency=12, attempts=1, connect_timeout=0.5, read_timeout=0.5, outage=60
        )
    assert ended.how == (0, None, {"Completed": len(TASKS)})
    assert images_in(out) == {task_id: png_of(task_id) for task_id in TASKS}
    assert len(origin.calls) == ended.summary.calls == len(TASKS) + 26


async def test_service_that_only_fails(fetch, out):
    """
    When the failures do not end in the time that was set: exit 8, and no task has failed.
    """
    async with Origin(default=status(502)) as origin:
        ended = await fetch(origin, outage=0.5)
    assert ended.how == (8, "unreachable", {})
    assert "502" in str(ended.error)
    assert ended.summary.left == len(TASKS)
    assert len(origin.calls) == ended.summary.calls < 60


async def test_task_that_always_fails_is_not_taken_for_an_outage(fetch):
    """
    One that fails while others are answered is Failed after its attempts, and so is one that is
    left alone with its failures.
    """
    script = {task_id: [status(500)] for task_id in ("t7", "t8", "t59")}
    async with Origin(script) as origin:
        ended = await fetch(origin, outage=60)
        alone = await fetch(origin, ["t7", "t8"], attempts=20, outage=60)
    assert ended.failed() == dict.fromkeys(script, "http_500")
    assert ended.how == (3, None, {"Completed": 57, "Failed": 3})
    assert alone.how == (3, None, {"Failed": 2})
    assert {outcome.calls for outcome in alone.outcomes.values()} == {20}


@pytest.mark.parametrize(
    ("first", "count", "outage"),
    [(0, 20, 60), (20, 20, 60), (48, 12, 3)],
    ids=["at the head", "in the middle", "at the end"],
)
async def test_block_of_tasks_that_always_fail_stops_nothing(fetch, first, count, outage):
    """
    So many neighbours fail that it looks like an outage: a task from further on shows that it is
    none, all others are fetched, and those are Failed after their attempts.
    """
    broken = TASKS[first : first + count]
    async with Origin({task_id: [status(500)] for task_id in broken}) as origin:
        ended = await fetch(origin, outage=outage)
    assert ended.failed() == dict.fromkeys(broken, "http_500")
    assert ended.how == (3, None, {"Completed": 60 - count, "Failed": count})
    assert len(origin.calls) == ended.summary.calls <= 60 + 5 * count + 30


async def test_many_tasks_that_always_fail_are_no_outage(fetch):
    """
    Every third task fails always: at the end only those are left, which is not held for.
    """
    broken = TASKS[::3]
    heard = []
    async with Origin({task_id: [status(500)] for task_id in broken}) as origin:
        ended = await fetch(origin, attempts=5, outage=600, hooks=[heard.append])
    assert ended.failed() == dict.fromkeys(broken, "http_500")
    assert ended.how == (3, None, {"Completed": 40, "Failed": 20})
    assert len(origin.calls) == ended.summary.calls == 40 + 20 * 5
    assert not [event for event in heard if isinstance(event, Held)]


async def test_tasks_that_fail_every_night(fetch, caplog):
    """
    Failing tasks that are left alone are held for, Failed then, and the next run on its own knows
    them; without an answer and without that, it is an outage.
    """
    broken = TASKS[-4:]
    async with Origin({task_id: [status(500)] for task_id in broken}) as origin:
        first = await fetch(origin, attempts=5, outage=0.5)
        said = caplog.text
        second = await fetch(origin, attempts=5, outage=0.5)
        third = await fetch(origin, broken, attempts=5, outage=0.5, overwrite=True)
    assert first.how == (3, None, {"Completed": 56, "Failed": 4})
    assert "each is tried --attempts times more" in said
    assert second.how == third.how == (3, None, {"Failed": 4})
    assert first.failed() == second.failed() == dict.fromkeys(broken, "http_500")


@pytest.mark.parametrize("budget", [5, 12, 40])
async def test_budget_of_calls_is_exact_in_an_outage(fetch, budget):
    """
    Probes are calls, and not one more than allowed is made.
    """
    async with Origin(default=status(502)) as origin:
        ended = await fetch(origin, max_calls=budget, outage=60)
    assert len(origin.calls) == ended.summary.calls == budget
    assert (ended.summary.exit_code, ended.summary.stopped_by) == (4, "max-calls")


async def test_runtime_goes_on_in_an_outage(fetch):
    """
    `--max-runtime` ends a run that is held: exit 4.
    """
    async with Origin() as origin:
        pass
    ended = await fetch(origin, max_runtime=0.4, outage=60)
    assert ended.how == (4, "max-runtime", {})


async def test_stop_ends_a_hold_at_once(fetch):
    """
    A run that is held does not wait for its next probe to stop.
    """
    heard, is_held = [], anyio.Event()

    def hear(event):
        if isinstance(event, Held | Resumed):
            heard.append(event)
            is_held.set()

    async def stop(batch):
        await is_held.wait()
        batch.stop("SIGTERM")

    async with Origin() as origin:
        pass
    ended = await fetch(origin, outage=600, hooks=[hear], during=stop)
    assert ended.how == (143, "SIGTERM", {})
    assert "cannot be reached" in heard[0].reason
    assert heard == [Held(600, heard[0].reason)]


async def test_hold_is_in_the_log(fetch, caplog):
    """
    One line when a run is held, which says why and for how long, and one when it goes on.
    """
    async with Origin(default=failing(status(502), times=15)) as origin:
        await fetch(origin, outage=60)
    lines = [record.message for record in caplog.records if record.levelname == "WARNING"]
    held, resumed = (line for line in lines if "asks for a pause" not in line)
    assert "502" in held
    assert "60 s at most" in held
    assert "the run goes on" in resumed


# Tokens


@pytest.mark.parametrize(
    "answer",
    [status(503), status(500), replies.http(b"<html>", 200), replies.hang_up],
    ids=["503", "500", "html", "hang-up"],
)
async def test_token_endpoint_that_fails(fetch, answer):
    """
    Without a token nothing can be asked: held like any outage, exit 8, and 5 is for refusals only.
    """
    async with Origin(tokens=[answer] * 999) as origin:
        ended = await fetch(origin, credentials=PAIR, outage=0.4)
        origin.tokens = [answer] * (len(origin.token_requests) + 3)
        again = await fetch(origin, credentials=PAIR, outage=60)
    assert ended.how == (8, "unreachable", {})
    assert ended.summary.token_requests > 1
    assert origin.calls[0].at > 0
    assert again.how == (0, None, {"Completed": len(TASKS)})


@pytest.mark.parametrize("code", [402, 404, 405, 410, 501])
async def test_token_endpoint_that_is_not_there(fetch, code):
    """
    A token endpoint that turns requests away is no refusal of the credentials: exit 8, at once.
    """
    async with Origin(tokens=[status(code)] * 9) as origin:
        ended = await fetch(origin, credentials=PAIR)
    assert ended.how == (8, "refusals", {})
    assert str(code) in str(ended.error)
    assert len(origin.token_requests) == 1


@EITHER
async def test_one_task_that_is_refused(fetch, credentials):
    """
    A task that answers 401 with a token that is good for others is Failed, and the token stays.
    """
    script = {"t0": [status(401)], "t30": [status(401)], "t59": [status(401)]}
    async with Origin(script) as origin:
        ended = await fetch(origin, credentials=credentials)
    assert ended.failed() == dict.fromkeys(script, "http_401")
    assert "good for other tasks" in ended.outcomes["t0"].detail
    assert ended.summary.exit_code == 3
    assert ended.outcomes["t0"].calls == ended.outcomes["t30"].calls == 1
    assert len(origin.token_requests) <= 2


async def test_only_task_that_is_refused(fetch):
    """
    If there is no other task to tell by, the token is renewed once, and then given up.
    """
    async with Origin(default=status(401)) as origin:
        renewed = await fetch(origin, ["t"], credentials=PAIR)
        assert len(origin.token_requests) == 2
        given = await fetch(origin, ["t"], credentials=TOKEN)
    assert renewed.how == given.how == (5, "credentials", {})
    assert renewed.summary.left == given.summary.left == 1
    assert len(origin.calls) == 3


async def test_token_that_dies_is_renewed_as_often_as_it_dies(fetch, out):
    """
    Two tasks in a row are refused: the token is renewed once, and every image comes.
    """
    dying = {f"t{number}": [lambda _: origin.revoke() or status(401), ready] for number in (9, 40)}
    async with Origin(dying) as origin:
        ended = await fetch(origin, credentials=PAIR)
    assert ended.how == (0, None, {"Completed": len(TASKS)})
    assert len(origin.token_requests) == ended.summary.token_requests == 3
    assert len(images_in(out)) == len(TASKS)


async def test_dead_token_that_cannot_be_renewed(fetch):
    """
    Two different tasks in a row are refused: exit 5, with what is left.
    """
    async with Origin({task_id: [status(401)] for task_id in TASKS[20:]}) as origin:
        ended = await fetch(origin, concurrency=1)
    assert ended.how == (5, "credentials", {"Completed": 20})
    assert ended.summary.left == 40
    assert len(origin.calls) == 22


# Everything is turned away


@pytest.mark.parametrize("code", [402, 403, 404, 405, 410, 501])
@pytest.mark.parametrize("first", [0, 20], ids=["from the start", "in mid-run"])
async def test_everything_is_turned_away(fetch, code, first):
    """
    Thirty in a row, and one from further on: exit 8; what was asked is Failed, the rest is left.
    """
    tasks = [f"t{number}" for number in range(300)]
    async with Origin(default=failing(status(code), first=first)) as origin:
        ended = await fetch(origin, tasks)
    failed = ended.failed()
    assert (ended.summary.exit_code, ended.summary.stopped_by) == (8, "refusals")
    assert str(code) in str(ended.error)
    assert set(failed.values()) == {f"http_{code}"}
    assert 31 <= len(failed) <= 31 + SLOTS
    assert ended.summary.left == 300 - len(failed) - first
    assert ended.summary.calls == len(origin.calls) == first + len(failed)
    asked = [int(call.task_id.removeprefix("t")) for call in origin.calls]
    assert max(asked) > len(asked)  # The last one was from further on.


async def test_everything_is_redirected(fetch):
    """
    Redirects of every request are an address to be corrected: exit 8 as well.
    """
    async with Origin(default=replies.redirect("https://elsewhere.test/")) as origin:
        ended = await fetch(origin)
    assert (ended.summary.exit_code, ended.summary.stopped_by) == (8, "refusals")
    assert "elsewhere.test" in str(ended.error)
    assert "--base-url" in str(ended.error)


async def test_some_are_turned_away(fetch):
    """
    A hundred in a row, and then another answer: the run goes on, and those after it are fetched.
    """
    tasks = [f"t{number}" for number in range(150)]
    async with Origin({task_id: [status(404)] for task_id in tasks[:100]}) as origin:
        ended = await fetch(origin, tasks)
    assert ended.how == (3, None, {"Completed": 50, "Failed": 100})


async def test_one_endpoint_turns_away(fetch):
    """
    The request that decides is about another endpoint, if there is one.
    """
    retired = [Job(f"r{number}", endpoint="/retired") for number in range(80)]
    good = [Job(f"g{number}", endpoint="deskew") for number in range(10)]
    script = {job.task_id: [status(404)] for job in retired}
    async with Origin(script) as origin:
        ended = await fetch(origin, [*good, *retired], concurrency=1)
    assert ended.summary.outcomes["Completed"] == 10


@pytest.mark.parametrize("count", [1, 29, 30])
async def test_few_are_turned_away(fetch, caplog, count):
    """
    A manifest of no more than thirty ends with exit 3, and the same hint.
    """
    async with Origin(default=status(404)) as origin:
        ended = await fetch(origin, TASKS[:count])
    assert ended.how == (3, None, {"Failed": count})
    (hint,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert "every request was turned away" in hint
    assert "--endpoint deskew" in hint
    assert "leave out /v5.0/ocr" in hint


async def test_no_hint_if_some_are_answered(fetch, caplog):
    """
    The hint is for a run without an answer.
    """
    async with Origin({"t5": [status(404)]}) as origin:
        await fetch(origin, TASKS[:6])
    assert caplog.text == ""
