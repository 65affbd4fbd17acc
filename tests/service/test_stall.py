"""
Patience: how long an answer is worth waiting for.
"""

import pytest

from batchfetch.service.stall import StallDetector

LIMITS = {"silence": 10.0, "deadline": 30.0}


@pytest.fixture
def waiting():
    """
    Patience with an answer that is waited for since second 100.
    """
    patience = StallDetector(100.0)
    patience.begin(100.0)
    return patience


def test_silence(waiting):
    """
    Nothing for longer than allowed is too long, from the last byte on.
    """
    assert waiting.check(109.0, **LIMITS, is_begun=True) is None
    waiting.received(109.0, 5000)
    assert waiting.check(118.0, **LIMITS, is_begun=True) is None
    assert waiting.check(120.0, **LIMITS, is_begun=True) == "nothing arrived for a time of 10 s"


def test_answer_that_does_not_begin(waiting):
    """
    Headers that keep coming are no answer.
    """
    for second in range(101, 131):
        waiting.received(second, 5000)
        assert waiting.check(second, **LIMITS, is_begun=False) is None
    assert waiting.check(131.0, **LIMITS, is_begun=True) is None
    assert waiting.check(131.0, **LIMITS, is_begun=False) == "no answer arrived in time"


@pytest.mark.parametrize(("each", "drips"), [(100, True), (255, True), (300, False)])
def test_drip(waiting, each, drips):
    """
    So few bytes a second that it would take for ever are a drip; a slow line is not.
    """
    complaints = set()
    for second in range(101, 200):
        waiting.received(second, each)
        complaints.add(waiting.check(second, **LIMITS, is_begun=True))
    assert (complaints != {None}) == drips
    if drips:
        assert f"the answer dripped: {11 * each} bytes in 11 s" in complaints


def test_drip_in_many_waits(waiting):
    """
    A drip is one, too, if every drop is taken away at once.
    """
    for second in range(101, 111):
        waiting.received(second, 1)
        waiting.end(second)
        waiting.begin(second)
        assert waiting.check(second, **LIMITS, is_begun=True) is None
    assert "dripped" in waiting.check(110.5, **LIMITS, is_begun=True)


def test_own_time_does_not_count(waiting):
    """
    While nobody waits, nobody loses patience, and what was missed is not held against it.
    """
    waiting.end(105.0)
    assert waiting.check(500.0, **LIMITS, is_begun=True) is None
    waiting.begin(500.0)
    assert waiting.check(504.0, **LIMITS, is_begun=True) is None
