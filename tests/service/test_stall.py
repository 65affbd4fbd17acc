"""
When an answer is given up: the detector as a pure value, and the watch on a clock of its own.
"""

import asyncio

import pytest
from virtual import VirtualLoop

from batchfetch.service.stall import StallDetector, StallWatch

LIMITS = {"silence": 10.0, "deadline": 30.0}


@pytest.fixture
def asked():
    """
    A detector for an answer that has been waited for since second 100.
    """
    detector = StallDetector(100.0)
    detector.begin(100.0)
    return detector


@pytest.fixture
def begun(asked):
    """
    The same, its head received at once.
    """
    asked.begin_body(100.0)
    return asked


def test_silence(begun):
    """
    Nothing for longer than allowed is too long, from the last byte on.
    """
    assert begun.check(109.0, **LIMITS) is None
    begun.received(109.0, 5000)
    assert begun.check(118.0, **LIMITS) is None
    assert begun.check(120.0, **LIMITS) == "nothing arrived for a time of 10 s"


def test_answer_that_does_not_begin(asked):
    """
    An answer without a head is given up at the deadline, not before.
    """
    assert asked.check(130.0, **LIMITS) is None
    assert asked.check(131.0, **LIMITS) == "no answer arrived in time"


def test_late_head_is_no_drip(asked):
    """
    The wait for the head does not count against the body.
    """
    asked.begin_body(129.0)
    assert asked.check(131.0, **LIMITS) is None
    asked.received(132.0, 5000)
    assert asked.check(138.0, **LIMITS) is None


@pytest.mark.parametrize(("each", "drips"), [(100, True), (255, True), (300, False)])
def test_drip(begun, each, drips):
    """
    So few bytes a second that it would take for ever are a drip; a slow line is not.
    """
    verdicts = set()
    for second in range(101, 200):
        begun.received(second, each)
        verdicts.add(begun.check(second, **LIMITS))
    assert (verdicts != {None}) == drips
    if drips:
        assert f"the answer dripped: {11 * each} bytes in 11 s" in verdicts


def test_drip_in_many_waits(begun):
    """
    A drip is one, too, if every drop is taken away at once.
    """
    for second in range(101, 111):
        begun.received(second, 1)
        begun.end(second)
        begun.begin(second)
        assert begun.check(second, **LIMITS) is None
    assert "dripped" in begun.check(110.5, **LIMITS)


def test_own_time_does_not_count(begun):
    """
    Time in which the answer is not waited for is not held against it.
    """
    begun.end(105.0)
    assert begun.check(500.0, **LIMITS) is None
    begun.begin(500.0)
    assert begun.check(504.0, **LIMITS) is None


class Waiting:
    """
    Remembers when, on the loop's clock, and why it was given up.
    """

    def __init__(self, watch):
        self._watch = watch
        self.detector = StallDetector(watch.now)
        self.detector.begin(watch.now)
        self.detector.begin_body(watch.now)
        watch.waiting.add(self)
        self.given_up = None

    def give_up(self, words):
        self._watch.waiting.discard(self)
        self.given_up = asyncio.get_running_loop().time(), words


def in_virtual_time(work):
    """
    Return what the coroutine *work* comes to, on a loop whose time passes only where it waits.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def test_watch_gives_up_what_is_silent():
    """
    Silence is noticed within an eighth of its time; what is no longer waited for is left alone.
    """

    async def scenario():
        began = asyncio.get_running_loop().time()
        watch = StallWatch(silence=8.0, deadline=30.0)
        silent, over = Waiting(watch), Waiting(watch)
        watch.waiting.discard(over)
        await asyncio.sleep(20)
        watch.close()
        return silent.given_up[0] - began, silent.given_up[1], over.given_up

    seconds, words, over = in_virtual_time(scenario())
    assert 8.0 < seconds <= 10.0
    assert words == "nothing arrived for a time of 8 s"
    assert over is None


def test_time_in_which_the_process_was_stopped_does_not_count():
    """
    After a leap of the clock an answer still has nearly all the time it had before.
    """

    async def scenario():
        loop = asyncio.get_running_loop()
        watch = StallWatch(silence=8.0, deadline=30.0)
        waiting = Waiting(watch)
        await asyncio.sleep(1)
        loop.leap(60.0)
        await asyncio.sleep(4)
        early = waiting.given_up
        await asyncio.sleep(6)
        watch.close()
        return early, waiting.given_up

    early, at_last = in_virtual_time(scenario())
    assert early is None
    assert at_last is not None
