"""
The dispatch: who asks when, on virtual time and a transport that says what it is told.
"""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import anyio
import pytest
from dispatch import Desk, Run
from scripted import ScriptedTransport, Unsent, pending, ready, says, status
from virtual import VirtualLoop
from wiring import local_storage

from batchfetch.errors import (
    ConnectionLostError,
    CredentialsError,
    OutOfDescriptorsError,
    StorageError,
    TurnedAwayError,
    UnreachableError,
)
from batchfetch.settings import Durability

pytestmark = pytest.mark.anyio

RESET = ConnectionLostError("reset")
unknown = says("NotExist", "TaskNotFound")


@pytest.fixture
def anyio_backend():
    """
    Time passes only where everyone waits.
    """
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def begin(tmp_path):
    """
    Make a dispatch over a transport.
    """
    async with local_storage(tmp_path / "out", Durability.NONE) as storage:
        yield lambda transport, **settings: Run(storage, transport, **settings)


def ids(count):
    """
    Return so many task ids.
    """
    return [f"t{number}" for number in range(count)]


@pytest.mark.parametrize("slots", [1, 3, 16])
async def test_every_slot_is_used_and_none_more(begin, slots):
    """
    As many questions are in flight as there are slots, until every job has its outcome.
    """
    transport = ScriptedTransport(seconds=1.0)
    run = begin(transport, slots=slots)
    took = await run.fetch(*ids(48))
    assert transport.most_in_flight == slots
    assert 48 / slots <= took < 48 / slots + 2
    assert {outcome.status for outcome in run.outcomes.values()} == {"Completed"}
    assert len(run.outcomes) == len(transport.calls) == 48
    assert run.workers.stopped_by is None
    assert run.pace.concurrency.in_flight == 0


async def test_no_job_no_question(begin):
    """
    Without jobs there is nothing to ask, not even for a token.
    """
    transport = ScriptedTransport()
    run = begin(transport)
    assert await run.fetch() == 0
    assert (transport.calls, run.desk.granted) == ([], 0)


async def test_jobs_that_come_late(begin):
    """
    Pollers wait for the manifest, and ask as soon as a job is offered.
    """
    transport = ScriptedTransport()
    run = begin(transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.work)
        for task_id in ids(3):
            await anyio.sleep(100)
            run.offer(task_id)
        await anyio.sleep(100)
        run.close()
    first, second, third = (call.at for call in transport.calls)
    assert (second - first, third - second) == pytest.approx((100, 100))
    assert len(run.outcomes) == 3


async def test_rate_is_kept_by_all_together(begin):
    """
    Questions of all slots together keep the rate, faults and unfinished tasks included.
    """
    transport = ScriptedTransport({"t0": [RESET, RESET, ready], "t1": [pending, ready]})
    run = begin(transport, rate=10.0, slots=8)
    await run.fetch(*ids(40))
    times = [call.at for call in transport.calls]
    assert len(times) == 43
    assert all(later - earlier >= 1 / 10 - 0.021 for earlier, later in pairwise(times))
    assert all(times[i + 11] - times[i] > 1 for i in range(len(times) - 11))


@pytest.mark.parametrize("budget", [0, 1, 5, 29, 30, 31, 100])
async def test_budget_is_exact(begin, budget):
    """
    Never a call more than allowed, faults and refused tokens included; a stop only if it matters.
    """
    transport = ScriptedTransport(
        {"t1": [RESET, RESET, ready], "t2": [status(503), ready], "t3": [status(401)]},
        seconds=0.1,
    )
    run = begin(transport, max_calls=budget)
    await run.fetch(*ids(27))
    needed = 27 + 2 + 1
    assert len(transport.calls) == run.pace.budget.calls == min(budget, needed)
    assert run.workers.stopped_by == ("max-calls" if budget < needed else None)
    assert (len(run.outcomes) == 27) == (budget >= needed)


async def test_budget_spent_on_answers_in_flight(begin):
    """
    The last calls of a budget are waited for, and their answers count.
    """
    transport = ScriptedTransport(seconds=500.0)
    run = begin(transport, max_calls=3)
    assert await run.fetch(*ids(10)) == pytest.approx(500)
    assert len(run.outcomes) == 3


async def test_budget_spent_before_the_manifest_ends(begin):
    """
    Whether a spent budget matters is known only when more is to be asked.
    """
    run = begin(ScriptedTransport(), max_calls=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.work)
        run.offer("a", "b")
        await anyio.sleep(100)
        assert run.workers.stopped_by is None
        run.offer("c")
        await anyio.sleep(1)
        assert run.workers.stopped_by == "max-calls"
    assert len(run.outcomes) == 2


async def test_call_that_was_not_made_is_made_later(begin):
    """
    A question that found no descriptor gives its call back, and the budget is used up after all.
    """
    shortage = Unsent(OutOfDescriptorsError("no file descriptor is left"))
    transport = ScriptedTransport({"t1": [shortage, ready]}, seconds=1.0)
    run = begin(transport, max_calls=3)
    await run.fetch(*ids(4))
    assert len(run.outcomes) == run.pace.budget.calls == 3
    assert run.workers.stopped_by == "max-calls"


async def test_everyone_keeps_the_pause(begin):
    """
    After a 429 nobody asks before the time it names; then everyone is served.
    """
    transport = ScriptedTransport({"t5": [status(429, 60.0), ready]}, seconds=0.1)
    run = begin(transport, slots=4)
    await run.fetch(*ids(40))
    (refused, asked_again) = (call.at for call in transport.calls if call.task_id == "t5")
    during = [call.at for call in transport.calls if refused + 0.1 < call.at < refused + 60]
    assert during == []
    assert asked_again >= refused + 60
    assert len(run.outcomes) == 40


async def test_pause_beyond_the_deadline(begin):
    """
    A pause that outlasts the run ends it at once.
    """
    transport = ScriptedTransport(default=status(429, 3000.0), seconds=0.1)
    run = begin(transport, deadline=anyio.current_time() + 1000, slots=1)
    assert await run.fetch(*ids(3)) < 10
    assert run.workers.stopped_by == "max-runtime"
    assert run.outcomes == {}


async def test_window_shrinks_and_recovers(begin):
    """
    A service that says it is overloaded has fewer in flight, and more again as it answers.
    """
    script = {task_id: [status(503), ready] for task_id in ids(16)}
    transport = ScriptedTransport(script, seconds=1.0)
    run = begin(transport, slots=16)
    limits = []

    async def watch():
        while True:
            limits.append(run.pace.concurrency.limit)
            await anyio.sleep(0.5)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await run.fetch(*ids(400))
        tasks.cancel_scope.cancel()
    assert limits[0] == 16
    assert min(limits) <= 8
    assert limits[-1] > 12
    assert len(run.outcomes) == 400


async def test_patience_runs_out(begin):
    """
    A task that stays unfinished is TimedOut once patience is over, and others are not held up.
    """
    transport = ScriptedTransport({"t0": [pending]})
    run = begin(transport, patience=600.0)
    took = await run.fetch(*ids(20))
    assert run.outcomes["t0"].status == "TimedOut"
    assert 590 < took <= 601
    assert sum(outcome.status == "Completed" for outcome in run.outcomes.values()) == 19
    assert run.workers.too_early == run.outcomes["t0"].calls > 1


async def test_new_task_is_asked_again_like_a_pending_one(begin):
    """
    A task submitted just now that is unknown at first costs the calls of a pending one, and all
    but the last are too early.
    """
    calls = {}
    for answer in (pending, unknown):
        transport = ScriptedTransport({"t0": [answer, answer, answer, ready]})
        run = begin(transport)
        await run.fetch("t0", submitted_at=datetime.now(UTC))
        assert run.outcomes["t0"].status == "Completed"
        assert run.workers.too_early == 3
        start = transport.calls[0].at
        calls[answer] = [call.at - start for call in transport.calls]
    assert calls[pending] == pytest.approx(calls[unknown])


@pytest.mark.parametrize(
    ("age", "patience", "least", "most"),
    [(0, 1800, 120, 300), (100, 1800, 20, 200), (500, 1800, 0, 1), (0, 60, 59, 61)],
)
async def test_task_that_stays_unknown(begin, age, patience, least, most):
    """
    A task that stays unknown is NotExist: two minutes after its submission, or after the first
    look, or when patience ends, whichever is first.
    """
    run = begin(ScriptedTransport({"t0": [unknown]}), patience=patience)
    took = await run.fetch("t0", submitted_at=datetime.now(UTC) - timedelta(seconds=age))
    outcome = run.outcomes["t0"]
    assert (outcome.status, outcome.reason) == ("NotExist", "not_found")
    assert least <= took <= most
    assert run.workers.too_early >= outcome.calls - 1


async def test_unfinished_tasks_hold_no_slot(begin):
    """
    However many wait for the service, the slots are free for those that are ready.
    """
    script = {task_id: [pending, pending, ready] for task_id in ids(30)}
    transport = ScriptedTransport(script, seconds=0.1)
    run = begin(transport, slots=2)
    await run.fetch(*ids(60))
    assert len(run.outcomes) == 60
    assert {outcome.status for outcome in run.outcomes.values()} == {"Completed"}


async def test_refused_token_is_renewed_once_for_all(begin):
    """
    When a token dies under many questions one request replaces it, and each is asked again.
    """
    transport = ScriptedTransport(seconds=1.0)
    run = begin(transport, slots=8)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.fetch, *ids(60))
        await anyio.sleep(3.5)
        transport.refused = {"token-1"}
        in_vain = run.pace.concurrency.in_flight
    assert in_vain == 8
    assert run.tokens.requests == 2
    assert len(run.outcomes) == 60
    # The first refusal set its task aside, so one more was asked before the second came.
    assert len(transport.calls) == 60 + in_vain + 1
    used = [call.token for call in transport.calls]
    assert used == sorted(used)  # Once there is another, the old one is not used again.


async def test_every_token_is_refused(begin):
    """
    A service that refuses a token it has just given ends the run with what is wrong.
    """
    run = begin(ScriptedTransport(default=status(401)), slots=1)
    await run.fetch(*ids(5))
    (failure,) = run.failures
    assert isinstance(failure, CredentialsError)
    assert run.pace.concurrency.in_flight == 0
    assert run.tokens.requests == 2


async def test_which_request_was_first_is_known_while_the_clock_stands_still(begin):
    """
    A token that is refused right after it was good is the token's trouble, not the task's, also if
    all of that happens in one tick of the clock.
    """
    script = {f"t{number}": [status(401)] for number in range(3, 9)}
    run = begin(ScriptedTransport(script, seconds=0.0), slots=1)
    await run.fetch(*ids(9))
    assert list(run.outcomes) == ["t0", "t1", "t2"]
    assert {outcome.status for outcome in run.outcomes.values()} == {"Completed"}
    (failure,) = run.failures
    assert isinstance(failure, CredentialsError)


async def test_failure_gives_its_slot_back(begin):
    """
    A poller that fails leaves the books right.
    """

    async def fail(outcome):
        raise StorageError("the disk is full")

    run = begin(ScriptedTransport(), record=fail, slots=1)
    await run.fetch("a", "b")
    assert [str(failure) for failure in run.failures] == ["the disk is full"]
    assert run.pace.concurrency.in_flight == 0


async def test_stop_asks_nothing_new(begin):
    """
    After `stop` what is in flight is answered and recorded, and nobody waits any longer.
    """
    transport = ScriptedTransport({"t9": [pending]}, seconds=10.0)
    run = begin(transport, slots=4)
    run.offer(*ids(20))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.work)
        await anyio.sleep(15)
        run.workers.stop("SIGTERM")
        run.workers.stop("SIGINT")
        stopped_at = anyio.current_time()
    assert run.workers.stopped_by == "SIGTERM"
    assert anyio.current_time() - stopped_at == pytest.approx(5)
    assert len(transport.calls) == len(run.outcomes) == 8


async def test_stop_while_everyone_waits(begin):
    """
    Waiting for a due time, a pause or the manifest ends with `stop`.
    """
    run = begin(ScriptedTransport(default=status(429, 600.0)))
    run.offer("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.work)
        await anyio.sleep(1)
        run.workers.stop("SIGTERM")
        stopped_at = anyio.current_time()
    assert anyio.current_time() == stopped_at


async def test_stop_while_a_token_is_awaited(begin):
    """
    A token that arrives after `stop` is not used.
    """
    transport = ScriptedTransport()
    run = begin(transport, desk=Desk(seconds=30.0))
    run.offer(*ids(5))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.work)
        await anyio.sleep(10)
        run.workers.stop("SIGTERM")
    assert transport.calls == []
    assert run.pace.budget.calls == 0


async def test_slow_recorder_holds_the_questions_back(begin):
    """
    While outcomes are not taken, no poller asks on.
    """
    taken = anyio.Semaphore(0)

    async def record(outcome):
        await taken.acquire()

    transport = ScriptedTransport()
    run = begin(transport, slots=4, record=record)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.fetch, *ids(100))
        await anyio.sleep(100)
        assert len(transport.calls) == 4
        taken.release()
        await anyio.sleep(100)
        assert len(transport.calls) == 5
        for _ in range(99):
            taken.release()
    assert len(transport.calls) == 100


async def test_room_waits_for_the_scheduler(begin):
    """
    Whoever reads the manifest waits while enough jobs do, and goes on as they are asked about.
    """
    transport = ScriptedTransport(seconds=1.0)
    run = begin(transport, slots=2, lookahead=10)
    read = []

    async def feed():
        for task_id in ids(50):
            run.offer(task_id)
            read.append(task_id)
            await run.workers.room()
        run.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed)
        await anyio.sleep(100)
        assert len(read) == 10
        tasks.start_soon(run.work)
        await anyio.sleep(5.5)
        assert len(read) == 10 + len(transport.calls)
    assert len(run.outcomes) == 50


async def test_room_does_not_wait_after_a_stop(begin):
    """
    A stop lets the reader of the manifest go, whether it waits already or asks later.
    """
    run = begin(ScriptedTransport(), lookahead=1)
    run.offer("a", "b")
    let_go = []

    async def read_on():
        await run.workers.room()
        let_go.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_on)
        await anyio.sleep(1)
        assert let_go == []
        stopped_at = anyio.current_time()
        run.workers.stop("SIGTERM")
    await read_on()
    assert let_go == [stopped_at, stopped_at]


# Outages


class Away:
    """
    Lets connections fail between two times on the clock, and answers *step* otherwise.
    """

    def __init__(self, begin, end, step=ready):
        self._times = begin, end
        self._step = step

    def __call__(self, task_id):
        begin, end = self._times
        if begin <= anyio.current_time() < end:
            return Unsent(ConnectionLostError("refused"))
        return self._step(task_id)


async def test_patience_is_not_used_up_while_a_run_is_held(begin):
    """
    Ten minutes without the service are no ten minutes of waiting for a task.
    """

    async def fetch(away_for):
        begins = anyio.current_time() + 100
        away = Away(begins, begins + away_for, pending)
        run = begin(ScriptedTransport({"t0": [away]}, default=away, seconds=0.1), patience=300.0)
        took = await run.fetch(*ids(4))
        assert {outcome.status for outcome in run.outcomes.values()} == {"TimedOut"}
        return took, run.outcomes["t0"].calls

    undisturbed, calls = await fetch(0)
    disturbed, calls_then = await fetch(600)
    assert 300 <= undisturbed < 400
    assert 590 < disturbed - undisturbed < 690
    assert calls_then <= calls + 5


async def test_failures_on_the_way_into_a_hold_are_forgiven(begin):
    """
    A task has all its attempts, three of them, after an outage: the failures of that do not count.
    """
    asked = itertools.count()
    script = {"t0": [status(502), status(500), status(500), ready]}
    transport = ScriptedTransport(
        script, default=lambda task_id: status(502) if next(asked) < 20 else ready(task_id)
    )
    run = begin(transport)
    await run.fetch(*ids(30))
    assert {outcome.status for outcome in run.outcomes.values()} == {"Completed"}
    assert run.outcomes["t0"].calls == 4
    assert run.pace.calls == len(transport.calls) == 30 + 20 + 3


async def test_one_probe_at_a_time(begin):
    """
    While a run is held no two requests are in flight, and the pauses between them grow.
    """
    transport = ScriptedTransport(default=status(502), seconds=0.5)
    run = begin(transport, slots=8, outage=300.0)
    took = await run.fetch(*ids(100))
    assert [type(failure) for failure in run.failures] == [UnreachableError]
    assert run.outcomes == {}
    assert 300 < took < 310
    times = [call.at for call in transport.calls]
    probes = [time for time in times if time > times[0] + 10]
    assert len(probes) < 20
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(probes))
    assert max(later - earlier for earlier, later in pairwise(times)) > 25


async def test_a_short_hold_is_shown_as_one(begin):
    """
    Where only failing tasks are left, what is shown of the hold is when it ends, and not when an
    outage would.
    """
    broken = {task_id: [status(502)] for task_id in ids(30)[20:]}
    run = begin(ScriptedTransport(broken, seconds=0.5), outage=900.0)
    seen = []

    async def look():
        while True:
            await anyio.sleep(5)
            seen.append(run.interruptions.present(anyio.current_time()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await run.fetch(*ids(30))
        tasks.cancel_scope.cancel()
    left = [present.left for present in seen if present is not None]
    assert 30 < max(left) <= 60
    assert Counter(outcome.status for outcome in run.outcomes.values())["Failed"] == 10


async def test_nothing_is_lost_if_there_is_no_token_for_a_time(begin):
    """
    A token endpoint that is away in mid-run holds the run; tasks that failed before are forgiven.
    """
    run = begin(
        ScriptedTransport(seconds=1.0), desk=Desk(error=ConnectionLostError("refused"), times=12)
    )
    await run.fetch(*ids(30))
    assert {outcome.status for outcome in run.outcomes.values()} == {"Completed"}
    assert run.tokens.requests == 13
    assert run.pace.calls == 30


async def test_busy_token_endpoint_is_waited_for(begin):
    """
    The seconds that a 429 for a token names are waited for, and then one request is made.
    """
    run = begin(ScriptedTransport(), desk=Desk(error=status(429, 600.0), times=1))
    assert await run.fetch(*ids(3)) == pytest.approx(600)
    assert run.tokens.requests == 2


async def test_busy_token_endpoint_is_not_waited_for_longer_than_a_hold(begin):
    """
    When it names more than the run is held for, the run ends at the end of that.
    """
    run = begin(ScriptedTransport(), desk=Desk(error=status(429, 3600.0), times=9))
    assert await run.fetch(*ids(3)) == pytest.approx(900)
    assert [type(failure) for failure in run.failures] == [UnreachableError]


async def test_task_set_aside_is_asked_again_with_the_next_token(begin):
    """
    A token that expires by the clock before another task could clear it tells nothing.
    """
    transport = ScriptedTransport({"t0": [status(401), ready]}, seconds=0.5)
    run = begin(transport, desk=Desk(life=2.0), slots=1, rate=0.5)
    await run.fetch("t0")
    assert run.outcomes["t0"].status == "Completed"


async def test_request_that_decides_may_fail(begin):
    """
    If the one request that decides about refusals brings no answer, another one does.
    """
    tasks = ids(200)
    script = {tasks[-1]: [RESET, RESET, ready], tasks[-2]: [Unsent(RESET), status(404)]}
    transport = ScriptedTransport(script, default=status(404), seconds=0.1)
    run = begin(transport)
    await run.fetch(*tasks)
    assert [type(failure) for failure in run.failures] == [TurnedAwayError]
    assert len(run.outcomes) < 40


async def test_stop_keeps_those_set_aside_for_the_next_run(begin):
    """
    A task whose refusal is not explained is left when the budget is spent.
    """
    run = begin(ScriptedTransport(default=status(401)), max_calls=1)
    await run.fetch(*ids(5))
    assert run.outcomes == {}
    assert run.workers.stopped_by == "max-calls"


async def test_last_attempt_decides_although_more_jobs_may_come(begin):
    """
    A manifest that is still being written does not keep back the outcome of a task that failed.
    """
    run = begin(ScriptedTransport({"a": [RESET], "b": [status(401)]}))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.work)
        run.offer("a", "b")
        await anyio.sleep(100)
        assert list(run.outcomes) == ["a"]
        run.offer("c")
        await anyio.sleep(100)
        assert {task_id: outcome.reason for task_id, outcome in run.outcomes.items()} == {
            "a": "connection",
            "b": "http_401",
            "c": None,
        }
        run.close()


async def test_failing_tasks_that_are_left_alone_cost_a_minute(begin):
    """
    Four tasks at the end that fail always: a minute's hold with a few probes, their attempts,
    and Failed; a service that comes back within that minute costs nothing.
    """
    broken = ids(60)[-4:]
    transport = ScriptedTransport({task_id: [status(500)] for task_id in broken})
    run = begin(transport, slots=1)
    took = await run.fetch(*ids(60))
    assert 60 < took < 90
    assert Counter(each.status for each in run.outcomes.values()) == {"Completed": 56, "Failed": 4}
    assert len(transport.calls) <= 56 + 10 + 30 + 12

    until = anyio.current_time() + 45

    def fails_for_a_time(task_id):
        return status(502) if anyio.current_time() < until else ready(task_id)

    run = begin(ScriptedTransport({task_id: [fails_for_a_time] for task_id in broken}), slots=1)
    assert await run.fetch(*ids(60)) < 90
    assert {each.status for each in run.outcomes.values()} == {"Completed"}
