"""
Refused requests and refused tokens: what is the fault of one task, and what of all.
"""

import pytest

from batchfetch.scheduling.refusals import Refusals, Suspicion, TokenTrial


def row(refusals, length, *, since=0):
    """
    Let so many requests be turned away, one a second, and return whether one of them decided.
    """
    return True in [refusals.refused(since + number, is_probe=False) for number in range(length)]


def test_thirty_in_a_row_are_to_be_confirmed():
    """
    After the thirtieth refusal the next request decides, after the twenty-ninth none does.
    """
    refusals = Refusals()
    assert not row(refusals, 29)
    assert not refusals.is_confirming
    assert not row(refusals, 1)
    assert refusals.is_confirming


def test_the_next_refusal_decides():
    """
    Refusals that were in flight do not decide; that of the request made for it does.
    """
    refusals = Refusals()
    row(refusals, 30)
    refusals.probe()
    assert refusals.is_probing
    assert not row(refusals, 9)
    assert refusals.refused(50, is_probe=True)


def test_another_answer_ends_the_row():
    """
    One other answer, and thirty more are needed.
    """
    refusals = Refusals()
    row(refusals, 30)
    refusals.probe()
    refusals.answered(31)
    assert not refusals.is_confirming
    assert not refusals.is_probing
    row(refusals, 29, since=40)
    assert not refusals.is_confirming


def test_answer_that_was_on_its_way_does_not_end_the_row():
    """
    When the calls of a plan are used up, images that were asked for before still arrive.
    """
    refusals = Refusals()
    row(refusals, 29, since=100)
    refusals.answered(99)
    row(refusals, 1, since=130)
    assert refusals.is_confirming


def test_request_without_an_answer_decides_nothing():
    """
    A deciding request that fails is followed by another one.
    """
    refusals = Refusals()
    row(refusals, 30)
    refusals.probe()
    refusals.probed()
    assert refusals.is_confirming
    assert not refusals.is_probing


def test_whether_all_were_turned_away():
    """
    Every request of the run, be they few: not if there was one answer, and not without requests.
    """
    refusals = Refusals()
    assert not refusals.are_all
    row(refusals, 2)
    assert refusals.are_all
    refusals.answered(5)
    row(refusals, 2, since=6)
    assert not refusals.are_all


@pytest.fixture
def trial():
    """
    The trial of the token `T`.
    """
    trial = TokenTrial()
    assert trial.begin("T") is None
    return trial


def test_first_refusal_sets_the_task_aside(trial):
    """
    One refusal tells nothing yet.
    """
    assert trial.refused("T", "a", 1, 2) is Suspicion.OPEN
    assert trial.suspect == "a"


def test_answer_to_another_task_clears_the_token(trial):
    """
    A token that is good for a task asked about later is not dead: it is the first task's fault.
    """
    trial.refused("T", "a", 1, 2)
    assert trial.answered(3, 4) == "a"
    assert trial.suspect is None
    assert trial.answered(5, 6) is None


def test_answer_that_came_first_clears_it_as_well(trial):
    """
    Answers may overtake each other: what counts is when they were asked for.
    """
    trial.answered(3, 4)
    assert trial.refused("T", "a", 1, 5) is Suspicion.TASK
    assert trial.suspect is None


def test_answer_from_before_does_not_clear_the_token(trial):
    """
    What was asked for before a token died may well be answered after that.
    """
    trial.refused("T", "a", 5, 6)
    assert trial.answered(4, 7) is None
    assert trial.suspect == "a"
    assert trial.refused("T", "b", 6, 8) is Suspicion.TOKEN


def test_two_tasks_in_a_row_condemn_the_token(trial):
    """
    Two different tasks, and no answer in between: the token is dead, and what others say about it
    is known already.
    """
    trial.refused("T", "a", 1, 2)
    assert trial.refused("T", "b", 1, 3) is Suspicion.TOKEN
    assert trial.release() == "a"
    assert trial.refused("T", "c", 1, 4) is Suspicion.RENEWED
    trial.begin("U")
    assert trial.refused("T", "d", 1, 5) is Suspicion.RENEWED


def test_token_in_place_of_another_has_a_trial_of_its_own(trial):
    """
    The task set aside with the one before is to be asked about again.
    """
    trial.refused("T", "a", 1, 2)
    assert trial.begin("U") == "a"
    assert trial.refused("U", "b", 3, 4) is Suspicion.OPEN


def test_two_tokens_in_a_row_without_an_answer(trial):
    """
    A token that has been good may be renewed as often as need be; two that never were end it.
    """
    for token in ("U", "V", "W"):
        trial.answered(1, 1)
        trial.refused(trial.token, "a", 2, 3)
        assert trial.refused(trial.token, "b", 2, 3) is Suspicion.TOKEN
        assert not trial.is_refused_again
        trial.begin(token)
    trial.refused("W", "a", 2, 3)
    trial.refused("W", "b", 2, 3)
    assert not trial.is_refused_again
    trial.begin("X")
    trial.refused("X", "a", 2, 3)
    trial.refused("X", "b", 2, 3)
    assert trial.is_refused_again


@pytest.mark.parametrize(
    ("before", "after", "renewable", "tokens_refused", "suspicion"),
    [
        (False, False, True, 1, Suspicion.TOKEN),
        (False, False, True, 2, Suspicion.TOKEN),
        (False, False, False, 1, Suspicion.TOKEN),
        (True, False, True, 1, Suspicion.TOKEN),
        (True, False, True, 2, Suspicion.TASK),
        (True, False, False, 1, Suspicion.TASK),
        (True, True, True, 1, Suspicion.TASK),
        (False, True, True, 1, Suspicion.TASK),
    ],
)
def test_when_no_other_task_is_left(trial, before, after, renewable, tokens_refused, suspicion):
    """
    A token that brought answers since is good; one that brought some before is renewed once, if
    that is possible; one that never brought any is dead.
    """
    if before:
        trial.answered(1, 2)
    trial.refused("T", "a", 10, 11)
    if after:
        trial.answered(5, 12)
    assert trial.conclude(renewable=renewable, tokens_refused=tokens_refused) is suspicion
