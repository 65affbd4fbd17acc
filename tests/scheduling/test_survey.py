"""
Surveys behind the end of a sweep, and the odds that decide how far they go.
"""

from itertools import count, pairwise

import pytest

from batchfetch.scheduling.overtaken import OvertakenOdds
from batchfetch.scheduling.survey import Survey

LENGTH = 10_000


def polled_again(odds, answers, seconds=5.0):
    """
    Record for each of *answers* an overtaken task and its second answer.
    """
    for ordinal, ready in enumerate(answers):
        odds.watch(ordinal)
        odds.polled_again(ordinal, seconds, ready=ready)


def run(survey, is_ready, now=0.0):
    """
    Carry out an open survey; return the answers to its requests, a hundredth of a second each.
    """
    answers = []
    for ordinal in count():
        if not survey.admits() or ordinal == 1000:
            return answers
        survey.index(LENGTH)
        survey.asked(ordinal)
        answers.append(is_ready(ordinal))
        survey.answered(ordinal, now + ordinal / 100, ready=answers[-1])
    return answers


def test_stuck_tasks_lower_the_odds():
    """
    Overtaken tasks that stay unfinished say that waiting does not help.
    """
    odds = OvertakenOdds()
    polled_again(odds, [False] * 16)
    assert odds.value < 0.03


def test_ready_tasks_raise_the_odds():
    """
    If overtaken tasks are ready at the second request, the order is that of readiness, or nearly.
    """
    odds = OvertakenOdds()
    polled_again(odds, [True] * 8)
    assert odds.value == 1.0


def test_soon_unfinished_says_little():
    """
    A task that is still unfinished a moment later is hardly evidence.
    """
    odds = OvertakenOdds()
    before = odds.value
    polled_again(odds, [False] * 8, seconds=0.1)
    assert odds.value > 0.7 * before


def test_odds_follow_changes():
    """
    After many stuck tasks, two dozen that became ready are enough to change the odds.
    """
    odds = OvertakenOdds()
    polled_again(odds, [False] * 500)
    polled_again(odds, [True] * 24)
    assert odds.value > 0.5


def test_only_watched_tasks_count():
    """
    An answer to a task that is not watched, or one that tells nothing, changes nothing.
    """
    odds = OvertakenOdds()
    before = odds.value
    odds.polled_again(1, 30.0, ready=False)
    odds.watch(2)
    odds.polled_again(2, 30.0, ready=None)
    odds.polled_again(2, 30.0, ready=True)
    assert odds.value == before


def test_first_overtaken_tasks_are_polled_again_soon():
    """
    The second requests of the first overtaken tasks come early, one after another.
    """
    odds = OvertakenOdds()
    for ordinal in range(40):
        odds.watch(ordinal)
    waits = [odds.longest_wait(ordinal) for ordinal in range(40)]
    assert waits == sorted(waits)
    assert 0 < waits[0] < 1 < waits[31] < 15
    assert waits[32] == odds.longest_wait(999) == float("inf")


def test_watched_tasks_are_bounded():
    """
    A batch with any number of stuck tasks has few of them watched.
    """
    odds = OvertakenOdds()
    for ordinal in range(10_000):
        odds.watch(ordinal)
    polled_again(odds, [])
    for ordinal in range(10_000):
        odds.polled_again(ordinal, 5.0, ready=False)
    assert odds.value > 0.001


def test_constant_share_lowers_the_odds():
    """
    If half of the sampled tasks were ready from the start, and half are later, waiting is no help.
    """
    odds = OvertakenOdds()
    before = odds.value
    for i in range(40):
        odds.sampled(i / 4, ready=bool(i % 2))
    assert odds.value < before


def test_rising_share_raises_the_odds():
    """
    If none of the sampled tasks was ready at the start and half are later, waiting helps.
    """
    odds = OvertakenOdds()
    for i in range(12):
        odds.sampled(i / 4, ready=False)
    for i in range(12):
        odds.sampled(60.0 + i, ready=bool(i % 2))
    assert odds.value == 1.0


def test_few_samples_do_not_raise_the_odds():
    """
    Some unfinished tasks before the first ready ones may be chance.
    """
    odds = OvertakenOdds()
    before = odds.value
    for i in range(7):
        odds.sampled(i / 2, ready=i > 3)
    assert odds.value <= before


def test_survey_ends_soon_if_nothing_is_ready():
    """
    In a queue in order a survey costs a few calls, and surveys become ever rarer.
    """
    survey = Survey()
    answers, times = [], []
    for tenth in range(6000):
        now = tenth / 10
        if survey.opens(now, now, LENGTH):
            answers += run(survey, lambda _: False, now)
            times.append(now)
    assert len(answers) < 80
    assert not any(answers)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(later > 0.9 * earlier for earlier, later in pairwise(gaps))
    assert gaps[-1] == pytest.approx(60, abs=1)


@pytest.mark.parametrize("share", [2, 4, 10, 20])
def test_survey_goes_on_while_stuck_tasks_are_passed(share):
    """
    At low odds a survey polls all tasks, though one in *share* is stuck.
    """
    survey = Survey()
    polled_again(survey.odds, [False] * 24)
    assert survey.opens(0.0, 0.0, LENGTH)
    answers = run(survey, lambda ordinal: ordinal % share > 0)
    assert len(answers) == 1000


def test_survey_goes_through_the_whole_queue():
    """
    The places that a survey polls are spread over all distances.
    """
    survey = Survey()
    places = [survey.index(LENGTH) for _ in range(1000)]
    assert min(places) < 100
    assert max(places) > 9000
    assert all(0 <= place < LENGTH for place in places)
    assert 0.4 < sum(place < 800 for place in places) / 1000 < 0.6
    assert {survey.index(1) for _ in range(10)} == {0}


def test_survey_belongs_to_the_end_of_a_sweep():
    """
    Long after the end of a sweep, tasks behind it may have become ready: no survey begins.
    """
    survey = Survey()
    assert not survey.opens(20.0, 10.0, LENGTH)
    assert survey.opens(20.0, 19.0, LENGTH)
    assert not survey.opens(20.0, 19.0, LENGTH)


def test_short_queue_is_not_surveyed():
    """
    In a batch of twenty tasks nothing is asked out of turn.
    """
    assert not Survey().opens(0.0, 0.0, 20)


def test_survey_without_an_answer_changes_nothing():
    """
    A failed request releases its slot, and is no evidence.
    """
    survey = Survey()
    before = survey.odds.value
    assert survey.opens(0.0, 0.0, LENGTH)
    for ordinal in range(50):
        survey.asked(ordinal)
        assert survey.answered(ordinal, 1.0, ready=None)
    assert not survey.in_flight
    assert survey.admits()
    assert survey.odds.value == before
    assert not survey.answered(99, 1.0, ready=True)
