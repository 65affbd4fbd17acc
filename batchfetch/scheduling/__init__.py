"""
When it is worth asking.

Two things cost: a question that comes too early costs a call, an image that lies ready costs time.
One price weighs them: *λ* calls for each second that an image lies ready.  If looking costs *m*
wasted calls, and finds what became ready at a rate of *r* a second, the cheapest time between two
looks is

    wait = √(2·m / (λ·r))                                 (where m/wait + λ·r·wait/2 is least)

This is used twice. For one task known to be unfinished *m* is 1 and *r* its hazard, learned by
`HazardEstimator` from other tasks of its age. For tasks not asked about yet *m* and *r* are
measured by `Sweep`: the service works more or less in the order of submission, so a sweep goes
along the tasks in that order, fetches what is ready with one call each, and ends where too much is
not. To wait a second there saves *h* calls, the hazard, for each unfinished task, and costs *λ*
for each ready one, so a sweep goes on while

    unfinished / ready < λ / h

*λ* is the user's dial, and rises near the end.  The batch waits for its last image, which costs *Λ*
calls a second however many are left, so the last few share that and are worth hurrying for:

    λ = max(λ₀, Λ / left)

Source of the square root: J. B. Keller, "Optimum Checking Schedules for Systems Subject to Random
Failure", Management Science 21 (1974); it is also the economic order quantity.
"""

from batchfetch.scheduling.base import Pace
from batchfetch.scheduling.forecast import Forecast, estimate
from batchfetch.scheduling.pacing import LocalPace
from batchfetch.scheduling.policy import PollingPolicy
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.scheduling.scheduler import Scheduler

__all__ = ["Forecast", "LocalPace", "Pace", "PollingPolicy", "RetryPolicy", "Scheduler", "estimate"]
