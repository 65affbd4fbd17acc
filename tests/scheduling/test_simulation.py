"""
Calls and delays of the polling policy in simulated batches of ten thousand tasks.
"""

from functools import cache
from random import Random
from statistics import fmean

import pytest
from simulation import (
    NEVER,
    POLLERS,
    SITUATIONS,
    STUCK_SHARES,
    Situation,
    real,
    simulate,
    stuck_in_runs,
)

from batchfetch.scheduling import estimate
from batchfetch.settings import Polling, Settings

TASKS = 10_000


@cache
def simulated(poller, title, seed=1):
    """
    Return the simulated run of a situation; cached, because several tests use the same one.
    """
    return simulate(POLLERS[poller](), SITUATIONS[title](Random(seed), TASKS))


# The situation, the most calls per task, and the most seconds after the last task is ready.
THRIFTY = [
    ("all ready", 1.0, 26),  # 10 000 calls of 80 ms in 32 slots take 25 s.
    ("burst", 1.15, 5),
    ("stream", 1.2, 5),
    ("FIFO 10/s", 1.2, 5),
    ("FIFO 50/s", 1.08, 5),
    ("half done", 1.03, 5),
    ("shuffled", 1.15, 40),
    ("shuffled, told", 1.1, 5),
    ("40-5-40/s", 1.12, 5),
    ("1 % stuck", 1.1, 28),
    ("FIFO 10/s, crisp", 1.2, 5),
    ("FIFO 50/s, crisp", 1.08, 5),
    ("half done, crisp", 1.03, 5),
    # The tasks seem to become ready all at once; the next sweep begins 25 s of fetching.
    ("shuffled, crisp", 1.15, 50),
    ("40-5-40/s, crisp", 1.12, 5),
    ("paused", 1.12, 30),
    ("5 % Error", 1.08, 5),
    ("two queues, told", 1.12, 5),
    ("20 workers", 1.12, 5),
]


@pytest.mark.parametrize(("title", "calls", "seconds"), THRIFTY, ids=[row[0] for row in THRIFTY])
def test_thrifty_needs_about_one_call(title, calls, seconds):
    """
    Thrifty polling needs few calls per task, and is done soon after the last one is ready.
    """
    run = simulated("thrifty", title)
    assert run.calls_each <= calls
    assert run.after_last <= seconds


@pytest.mark.parametrize("title", [row[0] for row in THRIFTY if "shuffled" not in row[0]])
def test_thrifty_fetches_within_a_minute(title):
    """
    With thrifty polling 95 % of the images are fetched at most a minute after they are ready.
    """
    assert simulated("thrifty", title).delay_quantile(0.95) <= 60


PROMPT = [
    ("all ready", 1.0),
    ("burst", 1.8),
    ("stream", 3.0),
    ("FIFO 10/s", 3.0),
    ("FIFO 50/s", 3.0),
    ("half done", 1.6),
    ("shuffled, told", 3.0),
    ("40-5-40/s", 3.0),
    ("1 % stuck", 1.3),
    ("FIFO 50/s, crisp", 3.0),
]


@pytest.mark.parametrize(("title", "calls"), PROMPT, ids=[row[0] for row in PROMPT])
def test_prompt_is_bounded(title, calls):
    """
    Prompt polling takes more calls, but a limited number of them.
    """
    assert simulated("prompt", title).calls_each <= calls


@pytest.mark.parametrize(
    "title", ["stream", "FIFO 10/s", "FIFO 50/s", "shuffled, told", "40-5-40/s", "half done"]
)
def test_prompt_is_prompt(title):
    """
    With prompt polling images are fetched 1.5 s after they are ready on average.
    """
    run = simulated("prompt", title)
    backlog = 15 if title == "half done" else 0  # Seconds during which every slot is in use.
    pairs = zip(run.fetched, run.ready, strict=True)
    assert fmean(fetched - ready for fetched, ready in pairs if ready >= backlog) <= 1.5


def test_stuck_tasks_are_polled_ever_more_rarely():
    """
    A task that is unfinished for the whole patience of half an hour costs twelve calls at most.
    """
    run = simulated("thrifty", "1 % stuck")
    assert max(run.calls) <= 12
    assert max(c for c, at in zip(run.calls, run.ready, strict=True) if at < NEVER) == 1


@pytest.mark.parametrize("patience", [15.0, 1800.0])
@pytest.mark.parametrize("run", [1, 50])
@pytest.mark.parametrize("share", STUCK_SHARES)
def test_stuck_tasks_do_not_hold_back_ready_ones(share, run, patience):
    """
    Wherever stuck tasks are, the last ready image comes 10 s later than the slots allow at most.

    Each ready task takes one call, and a stuck one hardly more than its age demands: at least its
    first call and the one at the end of its patience.
    """
    for seed in range(12):
        situation = stuck_in_runs(Random(seed), 800, share, run)
        made = simulate(real(Polling.THRIFTY, patience), situation, patience=patience)
        assert made.after_slots <= 10
        assert made.calls_each_ready <= 1.02
        assert made.calls_each_stuck <= (4 if patience == 15 else 11)


@pytest.mark.parametrize("polling", Polling)
@pytest.mark.parametrize("run", [1, 50])
@pytest.mark.parametrize("share", [0.05, 0.50])
def test_stuck_tasks_do_not_hold_back_thousands(share, run, polling):
    """
    The same for ten thousand tasks, half of which may be stuck, and with prompt polling.
    """
    made = simulate(real(polling), stuck_in_runs(Random(1), TASKS, share, run))
    assert made.after_slots <= 10
    assert made.calls_each_ready <= 1.02


def test_stuck_tasks_do_not_hide_an_endpoint():
    """
    If every task of one endpoint is stuck, those of another are fetched as if it were alone.
    """
    situation = Situation(
        [NEVER if i % 2 else 0.0 for i in range(800)], endpoint=["deskew", "upscale"] * 400
    )
    made = simulate(real(Polling.THRIFTY), situation)
    assert made.after_slots <= 2
    assert made.calls_each_ready == 1


@pytest.mark.parametrize("polling", Polling)
def test_a_small_batch_is_soon_done(polling):
    """
    Twenty tasks submitted at the start are fetched seconds after the last is ready.
    """
    runs = [simulate(real(polling), SITUATIONS["burst"](Random(s), 100)) for s in range(20)]
    assert fmean(run.calls_each for run in runs) <= (2.0 if polling is Polling.THRIFTY else 3.0)
    assert max(run.after_last for run in runs) <= 6


def test_slow_calls_are_not_wasted():
    """
    If a call takes a second, the requests in flight are taken into account.
    """
    situation = SITUATIONS["FIFO 10/s"](Random(1), TASKS)
    run = simulate(real(Polling.THRIFTY), situation, seconds_per_call=1.0)
    assert run.calls_each <= 1.2
    assert run.after_last <= 6


def test_a_short_budget_is_spent_on_ready_tasks():
    """
    With fewer calls left than tasks even prompt polling wastes few of them.
    """
    situation = SITUATIONS["FIFO 50/s"](Random(1), TASKS)
    run = simulate(real(Polling.PROMPT), situation, budget=TASKS // 2)
    assert sum(run.calls) == TASKS // 2
    assert sum(at < NEVER for at in run.fetched) >= 0.95 * TASKS // 2


@pytest.mark.parametrize("polling", Polling)
@pytest.mark.parametrize("tasks", [20, 500, TASKS])
def test_forecast_is_about_right(polling, tasks):
    """
    The calls estimated for a batch behind a queue are within a fifth of the simulated ones.
    """
    runs = [simulate(real(polling), SITUATIONS["20 workers"](Random(s), tasks)) for s in range(3)]
    calls = fmean(sum(run.calls) for run in runs)
    expected = estimate(tasks, Settings(polling=polling)).expected_calls
    assert calls == pytest.approx(expected, rel=0.2 if tasks > 20 else 0.4)


# Validation of the simulation: simple policies need as many calls as theory predicts.


def test_fixed_interval_costs_the_predicted_calls():
    """
    Without a queue, polling every 2 s costs 4.1 / 2 calls for the mean time, plus 1 and 0.5.
    """
    assert simulated("fixed 2 s, all at once", "stream").calls_each == pytest.approx(3.56, rel=0.05)


def test_polling_everything_uses_every_slot():
    """
    Behind a queue, polling all tasks uses every slot: 400 calls per second for 200 s.
    """
    run = simulated("fixed 2 s, all at once", "FIFO 50/s")
    assert run.calls_each == pytest.approx(8.0, rel=0.05)


def test_limiting_unfinished_tasks_saves_calls():
    """
    With a limit on the tasks known unfinished, exponential back-off is cheaper and ends later.
    """
    free = simulated("exponential, all at once", "FIFO 50/s")
    limited = simulated("exponential, at most 64", "FIFO 50/s")
    assert free.calls_each == pytest.approx(6, rel=0.15)
    assert limited.calls_each == pytest.approx(1.5, rel=0.15)
    assert limited.after_last > 5


def test_the_square_root_is_soon_done():
    """
    Waits that follow the square root of unfinished tasks over their rate end early.
    """
    run = simulated("sqrt(2 U / k), at most 16", "FIFO 50/s")
    assert run.calls_each == pytest.approx(1.3, rel=0.15)
    assert run.after_last <= 5
