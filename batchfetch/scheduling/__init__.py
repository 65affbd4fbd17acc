"""
Scheduling: which task to poll and when, back-off, rate limits and cost estimates.

A poll that is too early costs one call, and an image that is ready but not fetched costs time.  The
price *λ* relates the two: the calls it is worth to fetch one image one second earlier.  If a poll
wastes *m* calls, and tasks become ready at *r* per second, the cheapest interval between polls is

    wait = √(2·m / (λ·r))                              (the minimum of m/wait + λ·r·wait/2)

The formula is used twice.  For one task known to be unfinished, *m* is 1 and *r* its hazard, which
`HazardEstimator` learns from other tasks of the same age.  For tasks not polled yet, `Sweep`
measures *m* and *r*: the service processes tasks roughly in the order of submission, so a sweep
polls them in that order, fetches each ready task with one call, and ends when too many are
unfinished.  Waiting one second at that point saves *h* calls, the hazard, for each unfinished task,
and costs *λ* for each ready one, so a sweep continues while

    unfinished / ready < λ / h

The user sets *λ* by the setting `polling`, and it rises near the end: the batch is done when its
last image is, and each second of that is worth *Λ* calls in all, shared by the tasks left:

    λ = max(λ₀, Λ / left)

Source of the square root: J. B. Keller, "Optimum Checking Schedules for Systems Subject to Random
Failure", Management Science 21 (1974); it is also the economic order quantity formula.
"""

from batchfetch.scheduling.base import Pace
from batchfetch.scheduling.forecast import Forecast, estimate
from batchfetch.scheduling.outage import Outage
from batchfetch.scheduling.pacing import LocalPace
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.refusals import Refusals, Suspicion, TokenTrial
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.scheduling.scheduler import Scheduler

__all__ = [
    "Forecast",
    "LocalPace",
    "Outage",
    "Pace",
    "PollingPolicy",
    "Refusals",
    "RetryPolicy",
    "Scheduler",
    "Suspicion",
    "TokenTrial",
    "estimate",
]
