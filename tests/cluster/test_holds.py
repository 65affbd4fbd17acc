"""
What stops all workers of a run, and what only one.
"""

from batchfetch.cluster.holds import Holds
from batchfetch.hooks import Held, Paused, Resumed
from batchfetch.report import Interruptions


def holds():
    """
    Return holds, where they are recorded, and what hooks are told.
    """
    interruptions, told = Interruptions(epoch=0.0), []
    return Holds(interruptions, told.append), interruptions, told


def test_a_pause_is_told_once():
    """
    All workers are mostly asked for the same.
    """
    found, interruptions, told = holds()
    found.pause(3.0, "429", 10.0)
    found.pause(3.0, "429", 10.1)
    found.pause(9.0, "429", 10.2)
    assert told == [Paused(3.0, "429"), Paused(9.0, "429")]
    (recorded,) = interruptions.record(30.0)
    assert recorded.seconds == 9.2


def test_a_run_is_held_when_all_workers_are():
    """
    And goes on when one of them does.
    """
    found, interruptions, told = holds()
    found.hold(1, 900.0, "reset", 10.0, [1, 2])
    assert told == []
    found.hold(2, 900.0, "reset", 12.0, [1, 2])
    assert told == [Held(900.0, "reset")]
    assert interruptions.present(13.0) is not None
    found.resume(1, 15.0)
    found.resume(2, 16.0)
    assert told[1:] == [Resumed(3.0)]
    assert interruptions.present(17.0) is None


def test_a_worker_that_is_gone_holds_nothing():
    """
    Only those at work count.
    """
    found, _, told = holds()
    found.hold(1, 900.0, "reset", 10.0, [1, 2])
    found.forget(1)
    found.hold(2, 900.0, "reset", 12.0, [2, 3])
    assert told == []
