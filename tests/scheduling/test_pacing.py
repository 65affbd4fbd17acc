"""
How fast: back-off, rate, pause, window and budget, on a clock that only the test moves.
"""

import pytest

from batchfetch.scheduling.pacing import Budget, ConcurrencyLimit, Cooldown, LocalPace, RateLimit
from batchfetch.scheduling.retry import RetryPolicy


def longest(low, high):
    """
    The jitter that always draws the ceiling.
    """
    return high


def test_delays_double_up_to_their_ceiling():
    """
    The ceilings are initial, times multiplier each, and never more than the maximum.
    """
    policy = RetryPolicy(initial=1, maximum=5, multiplier=2, spread=longest)
    assert [policy.delay(faults) for faults in range(1, 7)] == [1, 2, 4, 5, 5, 5]


def test_delays_are_drawn_from_zero_up():
    """
    Full jitter: a delay may be anything between zero and its ceiling.
    """
    drawn = []
    policy = RetryPolicy(initial=3, spread=lambda low, high: drawn.append((low, high)) or low)
    assert policy.delay(1) == 0
    assert drawn == [(0, 3)]


def test_a_million_faults_cost_nothing():
    """
    The ceiling is reached by multiplying, so no number of faults overflows or takes long.
    """
    assert RetryPolicy(spread=longest).delay(1_000_000) == 60


@pytest.mark.parametrize(("faults", "over"), [(4, False), (5, True), (6, True)])
def test_gives_up_after_its_attempts(faults, over):
    """
    Five attempts are five, not six.
    """
    assert RetryPolicy(attempts=5).gives_up(faults) is over


def starts(limit, until, step=0.001):
    """
    When requests start if there is always one to start.
    """
    ticks, times = int(until / step), []
    for tick in range(ticks):
        now = tick * step
        while limit.ready_at() <= now:
            limit.take(now)
            times.append(now)
    return times


def test_rate_is_kept_in_every_window():
    """
    Neither over the whole nor in any second do more requests start than the rate allows.
    """
    times = starts(RateLimit(50), until=10)
    assert len(times) == pytest.approx(500, abs=2)
    for begin in times:
        assert sum(begin <= time < begin + 1 for time in times) <= 51


def test_rate_saves_nothing_up():
    """
    After a silence requests are spaced as before: no burst.
    """
    limit = RateLimit(10)
    limit.take(0)
    limit.take(100)
    assert limit.ready_at() == pytest.approx(100.08, abs=0.03)


def test_no_rate_no_wait():
    """
    Without a rate any number may start at once.
    """
    limit = RateLimit(None)
    for _ in range(1000):
        assert limit.ready_at() <= 5
        limit.take(5)


def test_pause_obeys_retry_after():
    """
    The service's own word decides, and the longest of several.
    """
    pause = Cooldown(RetryPolicy())
    pause.trip(10, retry_after=30)
    pause.trip(11, retry_after=5)
    assert pause.until == 40


def test_pause_is_not_for_ever():
    """
    A service that asks for years is asked again after an hour.
    """
    pause = Cooldown(RetryPolicy())
    pause.trip(0, retry_after=1e9)
    assert pause.until == Cooldown.LONGEST


def test_pause_without_a_word_grows():
    """
    Refusals without a date double the wait; those that arrive during it belong to it.
    """
    pause = Cooldown(RetryPolicy(spread=longest))
    waits, now = [], 0.0
    for _ in range(4):
        pause.trip(now, None)
        pause.trip(now + 0.1, None)
        waits.append(pause.until - now)
        now = pause.until
    assert waits == [1, 2, 4, 8]


def test_pause_starts_small_again():
    """
    One proper answer, and the next refusal is the first.
    """
    pause = Cooldown(RetryPolicy(spread=longest))
    pause.trip(0, None)
    pause.trip(10, None)
    pause.reset()
    pause.trip(20, None)
    assert pause.until == 21


def full(window):
    """
    Start all the requests that *window* allows.
    """
    while window.is_open:
        window.in_flight += 1
    return window.in_flight


def test_window_halves_once_for_one_overload():
    """
    All the requests that were under way when it happened tell of one overload, not of many.
    """
    window = ConcurrencyLimit(32)
    full(window)
    for _ in range(32):
        window.shrink(asked_at=0, now=1)
        window.in_flight -= 1
    assert window.limit == 16
    full(window)
    window.shrink(asked_at=2, now=3)
    assert window.limit == 8


def test_window_grows_by_one_a_round():
    """
    A window's worth of answers makes it one larger, never larger than asked for.
    """
    window = ConcurrencyLimit(32)
    window.in_flight = 16
    window.shrink(asked_at=0, now=1)
    assert window.limit == 8
    for _ in range(9):
        window.grow()
    assert window.limit == 9
    for _ in range(2000):
        window.grow()
    assert window.limit == 32


def test_window_never_closes():
    """
    However often the service is overloaded, one request may be in flight.
    """
    window = ConcurrencyLimit(2)
    for time in range(10):
        window.in_flight = 1
        window.shrink(asked_at=time, now=time)
    assert window.limit == 1


def test_budget_ends_exactly():
    """
    The last call allowed is allowed, the next is not.
    """
    budget = Budget(2)
    budget.take()
    assert (budget.is_spent, budget.left) == (False, 1)
    budget.take()
    assert (budget.is_spent, budget.left) == (True, 0)


def test_budget_without_limit_counts():
    """
    Calls are counted where they are not limited, too.
    """
    budget = Budget()
    for _ in range(10):
        budget.take()
    assert (budget.calls, budget.left, budget.is_spent) == (10, None, False)


def test_pace_says_when_a_question_may_start():
    """
    The latest of rate and pause counts; slots and budget depend on answers, not on time.
    """
    pace = LocalPace(slots=2, rate=1, max_calls=3)
    assert pace.held_until(0) is None
    pace.start(0)
    assert pace.held_until(0.5) == pytest.approx(1, abs=0.05)
    pace.cooldown.trip(0.5, retry_after=10)
    assert pace.held_until(2) == 10.5
    pace.start(11)
    assert pace.held_until(20) == float("inf")
    pace.finish()
    assert pace.held_until(20) is None
    pace.start(20)
    pace.finish()
    assert pace.held_until(99) == float("inf")
