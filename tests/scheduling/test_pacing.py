"""
Back-off, rate limit, cooldown, concurrency limit and call budget, on a clock set by the tests.
"""

import pytest

from batchfetch.scheduling.pacing import Budget, ConcurrencyLimit, Cooldown, LocalPace, RateLimit
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.settings import Settings


def longest(low, high):
    """
    Return the ceiling: a jitter that is not random.
    """
    return high


def test_delays_double_up_to_their_ceiling():
    """
    The first ceiling is *initial*, each next one is multiplied, and none is above the maximum.
    """
    policy = RetryPolicy(initial=1, maximum=5, multiplier=2, spread=longest)
    assert [policy.delay(faults) for faults in range(1, 7)] == [1, 2, 4, 5, 5, 5]


def test_delays_are_drawn_from_zero_up():
    """
    Full jitter: a delay is drawn between zero and its ceiling.
    """
    drawn = []
    policy = RetryPolicy(initial=3, spread=lambda low, high: drawn.append((low, high)) or low)
    assert policy.delay(1) == 0
    assert drawn == [(0, 3)]


def test_a_million_faults_do_not_overflow():
    """
    The ceiling is computed without powers, so no number of faults overflows or takes long.
    """
    assert RetryPolicy(spread=longest).delay(1_000_000) == 60


@pytest.mark.parametrize(("faults", "over"), [(4, False), (5, True), (6, True)])
def test_gives_up_after_its_attempts(faults, over):
    """
    A request is not repeated after exactly the configured number of attempts.
    """
    assert RetryPolicy(attempts=5).gives_up(faults) is over


def starts(limit, until, step=0.001):
    """
    Return the start times of requests if each starts as soon as *limit* allows.
    """
    ticks, times = int(until / step), []
    for tick in range(ticks):
        now = tick * step
        while limit.ready_at() <= now:
            limit.take(now)
            times.append(now)
    return times


def test_rate_is_kept_in_every_second():
    """
    No more requests start than the rate allows, in total and in any second.
    """
    times = starts(RateLimit(50), until=10)
    assert len(times) == pytest.approx(500, abs=2)
    for begin in times:
        assert sum(begin <= time < begin + 1 for time in times) <= 51


def test_rate_allows_no_burst_after_idle_time():
    """
    After idle time requests are spaced as before.
    """
    limit = RateLimit(10)
    limit.take(0)
    limit.take(100)
    assert limit.ready_at() == pytest.approx(100.08, abs=0.03)


def test_no_rate_no_wait():
    """
    Without a rate any number of requests may start at once.
    """
    limit = RateLimit(None)
    for _ in range(1000):
        assert limit.ready_at() <= 5
        limit.take(5)


def test_cooldown_obeys_retry_after():
    """
    A cooldown lasts for the longest Retry-After received.
    """
    cooldown = Cooldown(RetryPolicy())
    cooldown.trip(10, retry_after=30)
    cooldown.trip(11, retry_after=5)
    assert cooldown.until == 40


def test_cooldown_has_a_maximum():
    """
    A cooldown lasts an hour at most, even if the service asks for more.
    """
    cooldown = Cooldown(RetryPolicy())
    cooldown.trip(0, retry_after=1e9)
    assert cooldown.until == Cooldown.LONGEST


def test_cooldown_without_retry_after_grows():
    """
    Refusals without Retry-After double the cooldown; those that arrive during it do not count.
    """
    cooldown = Cooldown(RetryPolicy(spread=longest))
    waits, now = [], 0.0
    for _ in range(4):
        cooldown.trip(now, None)
        cooldown.trip(now + 0.1, None)
        waits.append(cooldown.until - now)
        now = cooldown.until
    assert waits == [1, 2, 4, 8]


def test_cooldown_starts_small_after_a_reset():
    """
    After a regular answer the next cooldown is the shortest again.
    """
    cooldown = Cooldown(RetryPolicy(spread=longest))
    cooldown.trip(0, None)
    cooldown.trip(10, None)
    cooldown.reset()
    cooldown.trip(20, None)
    assert cooldown.until == 21


def fill(limit):
    """
    Start all the requests that *limit* allows.
    """
    while limit.is_open:
        limit.in_flight += 1
    return limit.in_flight


def test_concurrency_limit_halves_once_for_one_overload():
    """
    The requests in flight at an overload report the same one, so the limit is halved once.
    """
    limit = ConcurrencyLimit(32)
    fill(limit)
    for _ in range(32):
        limit.shrink(asked_at=0, now=1)
        limit.in_flight -= 1
    assert limit.limit == 16
    fill(limit)
    limit.shrink(asked_at=2, now=3)
    assert limit.limit == 8


def test_concurrency_limit_grows_by_one_a_round():
    """
    As many answers as the limit increase it by one, and never above its maximum.
    """
    limit = ConcurrencyLimit(32)
    limit.in_flight = 16
    limit.shrink(asked_at=0, now=1)
    assert limit.limit == 8
    for _ in range(9):
        limit.grow()
    assert limit.limit == 9
    for _ in range(2000):
        limit.grow()
    assert limit.limit == 32


def test_concurrency_limit_is_at_least_one():
    """
    One request may be in flight, regardless of the number of overloads.
    """
    limit = ConcurrencyLimit(2)
    for time in range(10):
        limit.in_flight = 1
        limit.shrink(asked_at=time, now=time)
    assert limit.limit == 1


@pytest.mark.parametrize(("rate", "count"), [(20, 8), (1, 4), (100, 3)])
def test_rates_of_shards_add_up(rate, count):
    """
    Parts that begin at the same moment keep the rate of the whole together: in a minute one request
    more for each part at most, and so in any second.
    """
    shares = [Settings(shard=f"{i}/{count}", rate=rate).rate_share for i in range(1, count + 1)]
    times = sorted(time for share in shares for time in starts(RateLimit(share), 60))
    assert rate * 60 <= len(times) <= rate * 60 + count
    for number, time in enumerate(times):
        in_a_second = sum(1 for later in times[number:] if later < time + 1)
        assert in_a_second <= rate + count


def test_budget_ends_exactly():
    """
    Exactly the configured number of calls is allowed.
    """
    budget = Budget(2)
    budget.take()
    assert (budget.is_spent, budget.left) == (False, 1)
    budget.take()
    assert (budget.is_spent, budget.left) == (True, 0)


def test_budget_without_limit_counts():
    """
    Calls are counted even if they are not limited.
    """
    budget = Budget()
    for _ in range(10):
        budget.take()
    assert (budget.calls, budget.left, budget.is_spent) == (10, None, False)


def test_pace_tells_when_a_request_may_start():
    """
    The later of rate limit and cooldown decides; slots and budget depend on events, not on time.
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
