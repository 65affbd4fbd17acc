"""
The account of a run and the leases drawn from it, on a virtual clock.
"""

import random
from dataclasses import replace

import pytest

from batchfetch.cluster.account import Account, Request
from batchfetch.cluster.pace import LeasedPace


class Drawn:
    """
    Workers with paces of their own that draw from one account; *now* goes on by `tick`.
    """

    def __init__(self, workers, *, rate=None, max_calls=None, slots=8) -> None:
        self.account = Account(rate=rate, max_calls=max_calls)
        self.paces = {number: LeasedPace(slots) for number in range(workers)}
        self.now = 1000.0
        self.starts = []

    def report(self, number):
        """
        Exchange the report of a worker for a lease.
        """
        pace = self.paces[number]
        pace.take(self.account.lease(number, pace.request(self.now), self.now), self.now)

    def tick(self, seconds, busy):
        """
        Let *seconds* pass; the workers *busy* start what they may, the others report.
        """
        self.now += seconds
        for number in sorted(self.paces, key=lambda _: random.random()):
            pace = self.paces[number]
            if number in busy:
                while pace.held_until(self.now) is None:
                    pace.start(self.now)
                    self.starts.append(self.now)
                    pace.finish()
            if pace.needs_lease.is_set() or pace.next_report(self.now) <= 0:
                pace.needs_lease.clear()
                self.report(number)

    def most_in(self, seconds):
        """
        Return the most calls that started within any so many *seconds*.
        """
        starts = self.starts
        return max(sum(1 for s in starts[i:] if s < t + seconds) for i, t in enumerate(starts))


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("rate", [0.5, 20.0, 200.0])
def test_the_rate_is_that_of_all_workers_together(workers, rate):
    """
    In any second there are no more calls than the rate and one lease; and hardly fewer.
    """
    drawn = Drawn(workers, rate=rate)
    for _ in range(3000):
        drawn.tick(0.01, range(workers))
    lease = max(1, rate * 0.1)
    assert drawn.most_in(1.0) <= max(1, rate) + lease
    assert len(drawn.starts) >= 0.9 * rate * 30 - 1


def test_idle_workers_take_no_share_of_the_rate():
    """
    What a worker with nothing to ask has leased goes back in time for those that are busy.
    """
    drawn = Drawn(4, rate=100.0)
    for number in range(4):
        drawn.paces[number].held_until(drawn.now)
    for _ in range(1000):
        drawn.tick(0.01, {0})
    assert len(drawn.starts) >= 0.9 * 100 * 10


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("rate", [None, 50.0])
def test_the_budget_is_spent_to_the_last_call(workers, rate):
    """
    Then every worker knows it: not one call more, and none less.
    """
    drawn = Drawn(workers, rate=rate, max_calls=100)
    for _ in range(1000):
        drawn.tick(0.01, range(workers))
    assert len(drawn.starts) == drawn.account.calls == 100
    assert [pace.calls_left for pace in drawn.paces.values()] == [0] * workers


def test_an_idle_worker_returns_what_another_needs():
    """
    A budget does not end while a worker holds calls that it does not make.
    """
    drawn = Drawn(2, max_calls=60)
    drawn.paces[0].held_until(drawn.now)
    drawn.report(0)
    for _ in range(500):
        drawn.tick(0.01, {1})
    assert len(drawn.starts) == 60
    assert drawn.paces[1].calls_left == 0


def test_what_a_lost_worker_holds_is_spent():
    """
    It counts as made, and the sum never exceeds the budget.
    """
    drawn = Drawn(2, max_calls=100)
    for _ in range(2):
        drawn.tick(0.01, {0, 1})
    made = len(drawn.starts)
    held = drawn.account.leased - drawn.account.calls
    assert held > 0
    drawn.account.lose(0)
    lost = drawn.account.unaccounted
    assert made <= drawn.account.calls
    del drawn.paces[0]
    for _ in range(500):
        drawn.tick(0.01, {1})
    assert drawn.account.calls == 100
    assert 100 - lost <= len(drawn.starts) <= 100


def test_the_report_of_a_lost_worker_is_not_taken():
    """
    It may live on behind a broken network: what it returns may have been counted.
    """
    account = Account(rate=None, max_calls=10)
    lease = account.lease(1, Request(wanted=4), 0.0)
    account.lose(1)
    again = account.lease(1, Request(wanted=4, returned=lease.calls), 1.0)
    assert again.calls == 0
    assert account.unaccounted == lease.calls == account.calls


@pytest.mark.parametrize("every", [1, 7, 50])
@pytest.mark.parametrize(
    ("rate", "max_calls", "ticks", "least"),
    [(None, None, 50, 500), (None, 500, 500, 500), (200.0, None, 1000, 1800), (0.5, None, 2000, 9)],
)
def test_the_driver_knows_the_most_calls(every, rate, max_calls, ticks, least):
    """
    Never are more leased than it was told the last time, and knowing that costs no call.
    """
    drawn = Drawn(3, rate=rate, max_calls=max_calls)
    account, known = drawn.account, 0
    account.allow(known)
    for step in range(ticks):
        drawn.tick(0.01, range(3))
        assert account.leased <= known
        if step % every == 0 or account.is_near_ceiling:
            account.allow(known)
            known = account.announce()
            assert max_calls is None or known <= max_calls
    assert len(drawn.starts) >= least


def test_the_ceiling_is_not_far_above_what_is_leased():
    """
    It is what workers may want in the meantime, or the calls of a second.
    """
    account = Account(rate=None, max_calls=None)
    account.lease(1, Request(wanted=100), 0.0)
    assert account.announce() == 100 + 2 * 100
    account = Account(rate=20.0, max_calls=None)
    account.lease(1, Request(wanted=100), 0.0)
    assert account.leased < account.announce() <= account.leased + 21


def test_a_pause_reaches_all_workers():
    """
    After "too many requests" nothing is leased, and nobody starts what it has, until it is over.
    """
    drawn = Drawn(3, rate=100.0)
    for _ in range(50):
        drawn.tick(0.01, range(3))
    drawn.paces[1].cool_down(drawn.now, 2.0)
    paused_at, before = drawn.now, len(drawn.starts)
    for _ in range(400):
        drawn.tick(0.01, range(3))
    during = [start for start in drawn.starts[before:] if start < paused_at + 1.9]
    assert max(during, default=paused_at) <= paused_at + 0.6
    assert len(during) <= 3 * 0.6 * 100 / 3
    assert len(drawn.starts) > before + 100


def test_pauses_grow_until_there_is_an_answer():
    """
    Without a wait of the service's own each is longer than the one before.
    """
    account = Account(rate=None, max_calls=None)
    now, pauses, request = 0.0, [], Request()
    for _ in range(4):
        request = replace(request, refusals=(None,))
        pauses.append(account.lease(1, request, now).pause)
        now += pauses[-1] + 1
    assert pauses[3] > 2 * pauses[0]
    account.lease(1, replace(request, refusals=(), answered=1), now)
    assert account.lease(1, replace(request, answered=1), now + 1).pause <= 1.0


def test_a_call_that_was_not_sent_is_returned():
    """
    It is left for others.
    """
    drawn = Drawn(1, max_calls=5)
    pace = drawn.paces[0]
    pace.held_until(drawn.now)
    drawn.report(0)
    assert pace.held_until(drawn.now) is None
    pace.start(drawn.now)
    pace.give_back()
    pace.finish()
    pace.return_all()
    drawn.report(0)
    assert (drawn.account.calls, drawn.account.leased) == (0, 0)


def test_requests_in_flight_are_limited():
    """
    Leases do not raise a worker's own limit, and overload halves it.
    """
    drawn = Drawn(1, slots=4)
    pace = drawn.paces[0]
    pace.held_until(drawn.now)
    drawn.report(0)
    for _ in range(4):
        assert pace.held_until(drawn.now) is None
        pace.start(drawn.now)
    assert pace.held_until(drawn.now) == float("inf")
    pace.overloaded(drawn.now, drawn.now)
    assert pace.limit == 2
