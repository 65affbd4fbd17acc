"""
What the policy comes to: batches of ten thousand tasks, played through in virtual time.
"""

from functools import cache
from random import Random
from statistics import fmean

import pytest
from simulation import ASKERS, NEVER, SITUATIONS, play, real

from batchfetch.scheduling import estimate
from batchfetch.settings import Polling, Settings

TASKS = 10_000


@cache
def played(asker, title, seed=1):
    """
    Return what came of a situation; several tests look at one.
    """
    return play(ASKERS[asker](), SITUATIONS[title](Random(seed), TASKS))


# Situation, calls for each task at most, seconds after the last is ready at most.
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
    # All becomes ready to the eye at once; 25 s of fetching begin when that is next looked for.
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
    Thrifty polling needs few calls for each task, and is done soon after the last one is ready.
    """
    run = played("thrifty", title)
    assert run.calls_each <= calls
    assert run.after_last <= seconds


@pytest.mark.parametrize("title", [row[0] for row in THRIFTY if "shuffled" not in row[0]])
def test_thrifty_lets_nothing_lie_for_long(title):
    """
    In thrifty polling, too, 95 % of the images lie ready no longer than a minute.
    """
    assert played("thrifty", title).lying_at_most(0.95) <= 60


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
    Prompt polling pays for speed, within bounds.
    """
    assert played("prompt", title).calls_each <= calls


@pytest.mark.parametrize(
    "title", ["stream", "FIFO 10/s", "FIFO 50/s", "shuffled, told", "40-5-40/s", "half done"]
)
def test_prompt_is_prompt(title):
    """
    In prompt polling an image lies ready for a second and a half on average, where slots allow.
    """
    run = played("prompt", title)
    backlog = 15 if title == "half done" else 0  # Seconds in which every slot has better to do.
    pairs = zip(run.fetched, run.ready, strict=True)
    assert fmean(fetched - ready for fetched, ready in pairs if ready >= backlog) <= 1.5


def test_stuck_tasks_are_asked_ever_more_rarely():
    """
    A task that is stuck for all of half an hour costs no more than a dozen calls.
    """
    run = played("thrifty", "1 % stuck")
    assert max(run.calls) <= 12
    assert max(c for c, at in zip(run.calls, run.ready, strict=True) if at < NEVER) == 1


@pytest.mark.parametrize("polling", Polling)
def test_a_small_batch_is_soon_done(polling):
    """
    Twenty images submitted a moment ago are all there seconds after the last is ready.
    """
    runs = [play(real(polling), SITUATIONS["burst"](Random(s), 100)) for s in range(20)]
    assert fmean(run.calls_each for run in runs) <= (2.0 if polling is Polling.THRIFTY else 3.0)
    assert max(run.after_last for run in runs) <= 6


def test_slow_answers_are_not_asked_for_twice():
    """
    When a call takes a second, what is under way is counted.
    """
    situation = SITUATIONS["FIFO 10/s"](Random(1), TASKS)
    run = play(real(Polling.THRIFTY), situation, seconds_a_call=1.0)
    assert run.calls_each <= 1.2
    assert run.after_last <= 6


def test_a_short_budget_goes_to_what_is_ready():
    """
    With fewer calls left than tasks even prompt polling wastes next to none.
    """
    situation = SITUATIONS["FIFO 50/s"](Random(1), TASKS)
    run = play(real(Polling.PROMPT), situation, budget=TASKS // 2)
    assert sum(run.calls) == TASKS // 2
    assert sum(at < NEVER for at in run.fetched) >= 0.95 * TASKS // 2


@pytest.mark.parametrize("polling", Polling)
@pytest.mark.parametrize("tasks", [20, 500, TASKS])
def test_forecast_is_about_right(polling, tasks):
    """
    The calls foretold for a batch behind a queue are the calls it takes, give or take a fifth.
    """
    runs = [play(real(polling), SITUATIONS["20 workers"](Random(s), tasks)) for s in range(3)]
    calls = fmean(sum(run.calls) for run in runs)
    foretold = estimate(tasks, Settings(polling=polling)).expected_calls
    assert calls == pytest.approx(foretold, rel=0.2 if tasks > 20 else 0.4)


# The harness itself: simple policies need in it what arithmetic says.


def test_asking_every_two_seconds_is_what_it_must_be():
    """
    Without a queue, asking every 2 s costs the mean of 4.1 s over 2, the first, and half a miss.
    """
    assert played("fixed 2 s, all at once", "stream").calls_each == pytest.approx(3.56, rel=0.05)


def test_asking_about_everything_fills_every_slot():
    """
    Behind a queue, all at once costs what the slots can carry: 400 calls a second for 200 s.
    """
    run = played("fixed 2 s, all at once", "FIFO 50/s")
    assert run.calls_each == pytest.approx(8.0, rel=0.05)


def test_known_remedies_help_as_much_as_is_known():
    """
    A limit on the tasks known unfinished makes the exponential much cheaper, and late at the end.
    """
    free = played("exponential, all at once", "FIFO 50/s")
    limited = played("exponential, at most 64", "FIFO 50/s")
    assert free.calls_each == pytest.approx(6, rel=0.15)
    assert limited.calls_each == pytest.approx(1.5, rel=0.15)
    assert limited.after_last > 5


def test_the_square_root_helps_at_the_end():
    """
    Waiting for the root of how many are unfinished over how fast they come is soon done.
    """
    run = played("sqrt(2 U / k), at most 16", "FIFO 50/s")
    assert run.calls_each == pytest.approx(1.3, rel=0.15)
    assert run.after_last <= 5
