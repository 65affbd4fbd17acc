"""
Prices, lifetimes and fronts: the parts of the polling policy.
"""

import math
from itertools import pairwise
from random import Random

import pytest

from batchfetch.models import Job, JobState
from batchfetch.scheduling import PollingPolicy, estimate
from batchfetch.scheduling.hazard import HazardEstimator
from batchfetch.scheduling.sweep import Sweep
from batchfetch.settings import Polling, Settings

PATIENCE = 1800.0


@pytest.fixture
def policy():
    return PollingPolicy(Polling.THRIFTY, patience=PATIENCE)


def unfinished(ordinal=0, first=0.0, last=0.0):
    """
    Return an inquiry first asked at *first* and last seen unfinished at *last*.
    """
    job = Job(str(ordinal), f"{ordinal}.png")
    return JobState(job, ordinal=ordinal, first_asked=first, unfinished_at=last)


def test_hazard_is_learned():
    """
    With enough tasks watched the prior does not matter: lives of 2 s are a hazard of 1/2.
    """
    random, hazards = Random(1), HazardEstimator()
    for _ in range(3000):
        life = random.expovariate(0.5)
        hazards.learn(0.0, min(life, 0.5), ready=life < 0.5)
    assert hazards.hazard(0.0) == pytest.approx(0.5, rel=0.3)


def test_rare_looks_do_not_look_like_long_lives():
    """
    That every task is ready after a minute says little of how much sooner it was.
    """
    hazards = HazardEstimator()
    before = hazards.hazard(0.0)
    for _ in range(50):
        hazards.learn(0.0, 60.0, ready=True)
    assert hazards.hazard(0.0) == pytest.approx(before, rel=0.1)


def test_old_lives_fade():
    """
    When a service changes its pace the last hundred or so tasks count.
    """
    hazards = HazardEstimator()
    for _ in range(10_000):
        hazards.learn(0.0, 0.01, ready=True)
    for _ in range(500):
        hazards.learn(0.0, 10.0, ready=True)
        hazards.learn(0.0, 10.0, ready=False)
    assert hazards.hazard(0.0) < 1


def test_ages_are_told_apart():
    """
    What is learned of old tasks is not held against young ones.
    """
    hazards = HazardEstimator()
    young = hazards.hazard(0.0)
    for _ in range(100):
        hazards.learn(500.0, 100.0, ready=False)
    assert hazards.hazard(0.0) == young
    assert hazards.hazard(500.0) < 1e-4


def test_the_older_the_more_likely_stuck():
    """
    Before anything is known, hazards fall with age, and ever faster.
    """
    hazards = [HazardEstimator().hazard(2.0**k) for k in range(12)]
    falls = [later / earlier for earlier, later in pairwise(hazards)]
    assert hazards == sorted(hazards, reverse=True)
    assert falls[-1] < falls[0]


@pytest.mark.parametrize("age", [0.0, 1.0, 60.0, 1e9])
@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1.0, 1e9])
def test_lifetimes_take_any_time(age, seconds):
    """
    No age and no interval is too short or too long to learn from.
    """
    hazards = HazardEstimator()
    hazards.learn(age, seconds, ready=True)
    hazards.learn(age, seconds, ready=False)
    assert 0 < hazards.hazard(age) < 1e3


def test_price_rises_for_the_last():
    """
    A batch waits for its last image, so the fewer are left the more each is worth.
    """
    policy = PollingPolicy(Polling.THRIFTY, patience=PATIENCE)
    prices = [policy.price(left) for left in (math.inf, 100, 10, 1)]
    assert prices == sorted(prices)
    assert prices[-1] > 100 * prices[0]


def test_prompt_pays_more():
    """
    The dial is the price; with scarce calls it does not matter.
    """
    thrifty, prompt = (PollingPolicy(polling, patience=PATIENCE) for polling in Polling)
    assert prompt.price(math.inf) > 100 * thrifty.price(math.inf)
    assert prompt.price(1, scarce=True) == thrifty.price(math.inf)


def test_wait_is_the_square_root(policy):
    """
    Four times the price halves the wait.
    """
    waits = [policy.due(unfinished(), price) for price in (0.1, 0.4)]
    assert waits[0] == pytest.approx(2 * waits[1])


def test_questions_about_many_are_spread(policy):
    """
    A thousand tasks that were seen unfinished at once are not asked again at once.
    """
    dues = sorted(policy.due(unfinished(i), 0.1) for i in range(1000))
    gaps = [later - earlier for earlier, later in pairwise(dues)]
    assert max(gaps) < 5 * (dues[-1] - dues[0]) / len(gaps)


def test_wait_is_at_most_doubled(policy):
    """
    However cheap waiting is, a task is asked again when it has been unfinished twice as long.
    """
    for age in (0.0, 30.0, 300.0):
        assert policy.due(unfinished(last=age), 1e-9) <= age + 1.25 * (20 + age)


def test_asked_a_last_time_when_patience_ends(policy):
    """
    A task is never put off beyond the end of the patience with it.
    """
    assert policy.due(unfinished(first=100.0, last=100.0 + PATIENCE - 5), 1e-9) == 100.0 + PATIENCE


def test_never_due_in_the_past(policy):
    """
    After the end of the patience the last answer is the earliest due time there is.
    """
    assert policy.due(unfinished(last=2 * PATIENCE), 1.0) == 2 * PATIENCE


def test_expiring_results_are_asked_for(policy):
    """
    The nearer a result is to its end, the more often it is asked for.
    """
    assert policy.due(unfinished(last=600.0), 1e-9, expires=700.0) <= 650.0
    assert policy.due(unfinished(last=690.0), 1e-9, expires=700.0) <= 705.0


def test_tolerance_grows_when_waiting_does_not_help(policy):
    """
    Tasks that stay unfinished however long one waits are no reason to wait.
    """
    before = policy.tolerance(0.004)
    for _ in range(100):
        policy.hazards.learn(0.0, 60.0, ready=False)
    assert policy.tolerance(0.004) > 10 * before


class Walk:
    """
    A front, and a line of tasks of which the first *ready* are ready.
    """

    def __init__(self, policy, ready, price=0.005):
        self.front = Sweep(policy)
        self.ready = ready
        self.asked = self.missed = 0
        self.now = 0.0
        self.most_in_flight = 0
        self._price = price

    def sweep(self, slots=32):
        """
        Ask until the sweep ends; answers take a tenth of a second.
        """
        self.front.opens(self.now)
        while self.front.is_open:
            flying = []
            while len(flying) < slots and self.front.admits(self.now, self._price):
                flying.append((self.asked, self.front.asked(self.now)))
                self.asked += 1
            self.most_in_flight = max(self.most_in_flight, len(flying))
            self.now += 0.1
            for task, sweep in flying:
                self.front.answered(
                    sweep, self.now, self._price, 10_000 - self.asked, ready=task < self.ready
                )
                self.missed += task >= self.ready
        self.asked = min(self.asked, self.ready)


def test_front_begins_carefully(policy):
    """
    If nothing is ready, that costs a handful of calls.
    """
    walk = Walk(policy, 0)
    walk.sweep()
    assert walk.missed <= 4


def test_front_is_soon_at_full_speed(policy):
    """
    If everything is ready, every slot is busy after a few answers.
    """
    walk = Walk(policy, 200)
    walk.sweep()
    assert walk.most_in_flight == 32
    assert walk.now < 1.5


def test_front_foresees_how_far_it_has_come(policy):
    """
    At a steady rate a sweep takes what is ready at full speed and hardly overshoots.
    """
    walk = Walk(policy, 100)
    for _ in range(10):
        walk.missed = walk.most_in_flight = 0
        walk.sweep()
        walk.ready = 100 + int(50 * walk.front.opens_at)
        walk.now = walk.front.opens_at
    assert walk.most_in_flight == 32
    assert walk.missed <= 16


def test_front_is_looked_for_more_rarely_while_nothing_comes(policy):
    """
    A queue that stands still is asked about at intervals that double, to less than a minute.
    """
    walk = Walk(policy, 0)
    waits = []
    for _ in range(8):
        walk.sweep()
        waits.append(walk.front.opens_at - walk.now)
        walk.now = walk.front.opens_at
    assert waits[:3] == pytest.approx([3, 6, 12])
    assert 10 <= min(waits[3:]) <= max(waits[3:]) <= 60


def test_faster_service_is_looked_at_more_often(policy):
    """
    The wait follows the rate at which tasks become ready.
    """
    waits = {}
    for rate in (2, 50):
        walk = Walk(policy, 0)
        for _ in range(10):
            walk.sweep()
            waits[rate] = walk.front.opens_at - walk.now
            walk.now = walk.front.opens_at
            walk.ready = int(rate * walk.now)
    assert waits[50] < waits[2]


def test_few_unfinished_tasks_do_not_end_a_sweep(policy):
    """
    One task in fifty that is not ready is passed by.
    """
    front = Sweep(policy)
    for i in range(1000):
        front.answered(front.asked(0.0), 1.0, 0.005, 1000, ready=bool(i % 50 or not i))
    assert front.is_open


def test_late_answers_belong_to_their_own_sweep(policy):
    """
    An answer that comes in the next sweep does not end it, nor takes a slot of it.
    """
    front = Sweep(policy)
    late = [front.asked(0.0) for _ in range(4)]
    front.answered(late.pop(), 1.0, 0.005, 100, ready=False)
    front.answered(late.pop(), 1.0, 0.005, 100, ready=False)
    assert not front.is_open
    assert front.opens(front.opens_at)
    assert front.admits(10.0, 0.005)
    for sweep in late:
        front.answered(sweep, 10.0, 0.005, 100, ready=False)
    assert front.is_open
    assert front.in_flight == 0


def test_unanswered_questions_say_nothing(policy):
    """
    A question that met a fault only gives its slot back.
    """
    front = Sweep(policy)
    for _ in range(100):
        front.answered(front.asked(0.0), 1.0, 0.005, 100, ready=None)
    assert front.is_open
    assert front.in_flight == 0


def test_forecast_of_nothing():
    """
    No tasks take no calls.
    """
    assert estimate(0, Settings()).expected_calls == 0


def test_forecast_counts_money():
    """
    With a price, what is least and what is expected are told in money, too.
    """
    told = estimate(1000, Settings(price_per_call=0.05))
    assert told.least_cost == pytest.approx(50)
    assert told.expected_cost == pytest.approx(0.05 * told.expected_calls)
    assert estimate(1000, Settings()).expected_cost is None


def test_forecast_knows_the_rate():
    """
    A run takes no less time than its rate allows.
    """
    told = estimate(1000, Settings(rate=2.0))
    assert told.expected_seconds == pytest.approx(told.expected_calls / 2)
    assert estimate(1000, Settings()).expected_seconds < 10
