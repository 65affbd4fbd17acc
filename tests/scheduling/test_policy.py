"""
Parts of the polling policy: prices, hazards, due times, sweeps and the forecast.
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
    Return a job first polled at *first* and last found unfinished at *last*.
    """
    job = Job(str(ordinal), f"{ordinal}.png")
    return JobState(job, ordinal=ordinal, first_asked=first, unfinished_at=last)


def test_hazard_is_learned():
    """
    With enough observations the prior does not matter: a mean life of 2 s is a hazard of 1/2.
    """
    random, hazards = Random(1), HazardEstimator()
    for _ in range(3000):
        life = random.expovariate(0.5)
        hazards.learn(0.0, min(life, 0.5), ready=life < 0.5)
    assert hazards.hazard(0.0) == pytest.approx(0.5, rel=0.3)


def test_rare_polls_do_not_lower_the_hazard():
    """
    Tasks that are ready after a minute may have been ready much earlier.
    """
    hazards = HazardEstimator()
    before = hazards.hazard(0.0)
    for _ in range(50):
        hazards.learn(0.0, 60.0, ready=True)
    assert hazards.hazard(0.0) == pytest.approx(before, rel=0.1)


def test_old_observations_fade():
    """
    When the service changes its speed, about the last hundred tasks determine the hazard.
    """
    hazards = HazardEstimator()
    for _ in range(10_000):
        hazards.learn(0.0, 0.01, ready=True)
    for _ in range(500):
        hazards.learn(0.0, 10.0, ready=True)
        hazards.learn(0.0, 10.0, ready=False)
    assert hazards.hazard(0.0) < 1


def test_ages_are_separate():
    """
    Observations of old tasks do not change the hazard of young ones.
    """
    hazards = HazardEstimator()
    young = hazards.hazard(0.0)
    for _ in range(100):
        hazards.learn(500.0, 100.0, ready=False)
    assert hazards.hazard(0.0) == young
    assert hazards.hazard(500.0) < 1e-4


def test_the_prior_hazard_falls_with_age():
    """
    Without observations the hazard falls with age, and increasingly fast.
    """
    hazards = [HazardEstimator().hazard(2.0**k) for k in range(12)]
    falls = [later / earlier for earlier, later in pairwise(hazards)]
    assert hazards == sorted(hazards, reverse=True)
    assert falls[-1] < falls[0]


@pytest.mark.parametrize("age", [0.0, 1.0, 60.0, 1e9])
@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1.0, 1e9])
def test_hazard_accepts_any_age_and_interval(age, seconds):
    """
    Very short and very long ages and intervals give a finite hazard.
    """
    hazards = HazardEstimator()
    hazards.learn(age, seconds, ready=True)
    hazards.learn(age, seconds, ready=False)
    assert 0 < hazards.hazard(age) < 1e3


def test_price_rises_for_the_last():
    """
    A batch ends with its last image, so the price rises as fewer tasks are left.
    """
    policy = PollingPolicy(Polling.THRIFTY, patience=PATIENCE)
    prices = [policy.price(left) for left in (math.inf, 100, 10, 1)]
    assert prices == sorted(prices)
    assert prices[-1] > 100 * prices[0]


def test_prompt_has_a_higher_price():
    """
    The setting determines the price, except when calls are scarce.
    """
    thrifty, prompt = (PollingPolicy(polling, patience=PATIENCE) for polling in Polling)
    assert prompt.price(math.inf) > 100 * thrifty.price(math.inf)
    assert prompt.price(1, scarce=True) == thrifty.price(math.inf)


def test_wait_is_the_square_root(policy):
    """
    The wait is halved if the price is multiplied by four.
    """
    waits = [policy.due(unfinished(), price) for price in (0.1, 0.4)]
    assert waits[0] == pytest.approx(2 * waits[1])


def test_due_times_are_spread(policy):
    """
    A thousand tasks found unfinished at the same time are not due at the same time.
    """
    dues = sorted(policy.due(unfinished(i), 0.1) for i in range(1000))
    gaps = [later - earlier for earlier, later in pairwise(dues)]
    assert max(gaps) < 5 * (dues[-1] - dues[0]) / len(gaps)


def test_wait_is_at_most_doubled(policy):
    """
    A wait is limited by the age of the task, at any price.
    """
    for age in (0.0, 30.0, 300.0):
        assert policy.due(unfinished(last=age), 1e-9) <= age + 1.25 * (20 + age)


def test_last_poll_is_at_the_end_of_the_patience(policy):
    """
    A task is never due after the end of its patience.
    """
    assert policy.due(unfinished(first=100.0, last=100.0 + PATIENCE - 5), 1e-9) == 100.0 + PATIENCE


def test_never_due_in_the_past(policy):
    """
    After the end of the patience a task is due at the time of its last answer.
    """
    assert policy.due(unfinished(last=2 * PATIENCE), 1.0) == 2 * PATIENCE


def test_expiring_results_are_polled_more_often(policy):
    """
    The sooner a result is deleted, the shorter is the wait.
    """
    assert policy.due(unfinished(last=600.0), 1e-9, expires=700.0) <= 650.0
    assert policy.due(unfinished(last=690.0), 1e-9, expires=700.0) <= 705.0


def test_tolerance_grows_when_waiting_does_not_help(policy):
    """
    If unfinished tasks do not become ready, a sweep passes more of them.
    """
    before = policy.tolerance(0.004)
    for _ in range(100):
        policy.hazards.learn(0.0, 60.0, ready=False)
    assert policy.tolerance(0.004) > 10 * before


class Walk:
    """
    Sweeps over a queue of tasks of which the first *ready* are ready.
    """

    def __init__(self, policy, ready, price=0.005):
        self.sweep = Sweep(policy)
        self.ready = ready
        self.asked = self.missed = 0
        self.now = 0.0
        self.most_in_flight = 0
        self._price = price

    def run(self, slots=32):
        """
        Poll until the sweep ends; each call takes a tenth of a second.
        """
        self.sweep.opens(self.now)
        while self.sweep.is_open:
            in_flight = []
            while len(in_flight) < slots and self.sweep.admits(self.now, self._price):
                in_flight.append((self.asked, self.sweep.asked(self.now)))
                self.asked += 1
            self.most_in_flight = max(self.most_in_flight, len(in_flight))
            self.now += 0.1
            for task, number in in_flight:
                self.sweep.answered(
                    number, self.now, self._price, 10_000 - self.asked, ready=task < self.ready
                )
                self.missed += task >= self.ready
        self.asked = min(self.asked, self.ready)


def test_first_sweep_wastes_few_calls(policy):
    """
    If nothing is ready, the first sweep takes four calls at most.
    """
    walk = Walk(policy, 0)
    walk.run()
    assert walk.missed <= 4


def test_first_sweep_soon_uses_every_slot(policy):
    """
    If everything is ready, every slot is used after a few answers.
    """
    walk = Walk(policy, 200)
    walk.run()
    assert walk.most_in_flight == 32
    assert walk.now < 1.5


def test_sweep_predicts_the_number_of_ready_tasks(policy):
    """
    At a steady rate a sweep fetches the ready tasks with every slot and few wasted calls.
    """
    walk = Walk(policy, 100)
    for _ in range(10):
        walk.missed = walk.most_in_flight = 0
        walk.run()
        walk.ready = 100 + int(50 * walk.sweep.opens_at)
        walk.now = walk.sweep.opens_at
    assert walk.most_in_flight == 32
    assert walk.missed <= 16


def test_sweeps_become_rarer_while_nothing_is_ready(policy):
    """
    If no task becomes ready, the intervals between sweeps double, to less than a minute.
    """
    walk = Walk(policy, 0)
    waits = []
    for _ in range(8):
        walk.run()
        waits.append(walk.sweep.opens_at - walk.now)
        walk.now = walk.sweep.opens_at
    assert waits[:3] == pytest.approx([3, 6, 12])
    assert 10 <= min(waits[3:]) <= max(waits[3:]) <= 60


def test_faster_service_is_polled_more_often(policy):
    """
    The interval between sweeps follows the rate at which tasks become ready.
    """
    waits = {}
    for rate in (2, 50):
        walk = Walk(policy, 0)
        for _ in range(10):
            walk.run()
            waits[rate] = walk.sweep.opens_at - walk.now
            walk.now = walk.sweep.opens_at
            walk.ready = int(rate * walk.now)
    assert waits[50] < waits[2]


def test_few_unfinished_tasks_do_not_end_a_sweep(policy):
    """
    A sweep continues if one task in fifty is not ready.
    """
    sweep = Sweep(policy)
    for i in range(1000):
        sweep.answered(sweep.asked(0.0), 1.0, 0.005, 1000, ready=bool(i % 50 or not i))
    assert sweep.is_open


def test_late_answers_belong_to_their_own_sweep(policy):
    """
    An answer that arrives during the next sweep neither ends it nor uses one of its slots.
    """
    sweep = Sweep(policy)
    late = [sweep.asked(0.0) for _ in range(4)]
    sweep.answered(late.pop(), 1.0, 0.005, 100, ready=False)
    sweep.answered(late.pop(), 1.0, 0.005, 100, ready=False)
    assert not sweep.is_open
    assert sweep.opens(sweep.opens_at)
    assert sweep.admits(10.0, 0.005)
    for number in late:
        sweep.answered(number, 10.0, 0.005, 100, ready=False)
    assert sweep.is_open
    assert sweep.in_flight == 0


def test_failed_requests_are_not_evidence(policy):
    """
    A failed request releases its slot and does not change the credit of the sweep.
    """
    sweep = Sweep(policy)
    for _ in range(100):
        sweep.answered(sweep.asked(0.0), 1.0, 0.005, 100, ready=None)
    assert sweep.is_open
    assert sweep.in_flight == 0


def test_forecast_of_nothing():
    """
    No tasks take no calls.
    """
    assert estimate(0, Settings()).expected_calls == 0


def test_forecast_counts_money():
    """
    With a price, the least and the expected cost are estimated as well.
    """
    forecast = estimate(1000, Settings(price_per_call=0.05))
    assert forecast.least_cost == pytest.approx(50)
    assert forecast.expected_cost == pytest.approx(0.05 * forecast.expected_calls)
    assert estimate(1000, Settings()).expected_cost is None


def test_forecast_respects_the_rate():
    """
    The estimated time is not shorter than the rate allows.
    """
    forecast = estimate(1000, Settings(rate=2.0))
    assert forecast.expected_seconds == pytest.approx(forecast.expected_calls / 2)
    assert estimate(1000, Settings()).expected_seconds < 10
