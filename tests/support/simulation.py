"""
Simulation of a batch in virtual time: the real scheduler, or a simple policy, against a service.

`python tests/support/simulation.py [SEEDS]` prints the calls and delays in every situation.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from heapq import heappop, heappush
from random import Random
from statistics import fmean
from typing import Protocol

from batchfetch.models import Answer, Job, JobState, TaskStatus
from batchfetch.scheduling import PollingPolicy
from batchfetch.scheduling.scheduler import Scheduler
from batchfetch.settings import Polling

NEVER = math.inf
EPOCH = 1_800_000_000.0
"""Unix time at which the virtual clock shows 0."""

BUSY, DONE, ERROR = map(Answer, (TaskStatus.PROCESSING, TaskStatus.COMPLETED, TaskStatus.ERROR))


# Situations.


@dataclass(frozen=True)
class Situation:
    """
    When the service has each result ready, and what the manifest tells about each task.

    Each list has one entry per task; times are seconds from the start of the run.
    """

    ready: list[float]
    offered: list[float] | None = None
    """When each task is written to the manifest; None if the manifest is complete at the start."""
    submitted: list[float] | None = None
    endpoint: list[str] | None = None
    errors: frozenset[int] = frozenset()

    def states(self) -> list[JobState]:
        """
        Return the jobs of the manifest.
        """
        return [
            JobState(
                Job(
                    str(i),
                    f"{i}.png",
                    submitted_at=self.submitted
                    and datetime.fromtimestamp(EPOCH + self.submitted[i], UTC),
                    endpoint=self.endpoint and self.endpoint[i],
                ),
                ordinal=i,
            )
            for i in range(len(self.ready))
        ]


def _processing(random: Random) -> float:
    return random.lognormvariate(math.log(3.0), 0.8)


def all_ready(_: Random, tasks: int) -> Situation:
    return Situation([0.0] * tasks)


def burst(random: Random, tasks: int) -> Situation:
    """
    Tasks submitted at the same time to a service without a queue.
    """
    return Situation([_processing(random) for _ in range(tasks // 5)])


def stream(random: Random, tasks: int, rate: float = 20.0) -> Situation:
    """
    Tasks submitted, and written to the manifest, during the run; no queue.
    """
    offered = [i / rate for i in range(tasks)]
    return Situation([at + _processing(random) for at in offered], offered)


def fifo(random: Random, tasks: int, rate: float = 50.0, *, crisp: bool = False) -> Situation:
    """
    A queue that *rate* tasks per second leave, to be processed, or ready at once if *crisp*.
    """
    return Situation([i / rate + (0 if crisp else _processing(random)) for i in range(tasks)])


def half_done(random: Random, tasks: int, *, crisp: bool = False) -> Situation:
    rest = fifo(random, tasks - tasks // 2, crisp=crisp).ready
    return Situation([0.0] * (tasks // 2) + rest)


def shuffled(random: Random, tasks: int, *, told: bool = False, crisp: bool = False) -> Situation:
    """
    A queue, and a manifest in random order, with the submission times if *told*.
    """
    ready = fifo(random, tasks, crisp=crisp).ready
    order = random.sample(range(tasks), tasks)
    return Situation(
        [ready[i] for i in order], submitted=[i / 50.0 - 600 for i in order] if told else None
    )


def changing(random: Random, tasks: int, *, crisp: bool = False) -> Situation:
    """
    A queue that 40, then 5, then 40 tasks per second leave.
    """
    ready, at = [], 0.0
    for i in range(tasks):
        at += 1 / (5.0 if 0.4 <= i / tasks < 0.6 else 40.0)
        ready.append(at + (0 if crisp else _processing(random)))
    return Situation(ready)


def stuck(random: Random, tasks: int, share: float = 0.01) -> Situation:
    return Situation([NEVER if random.random() < share else 0.0 for _ in range(tasks)])


def stuck_in_runs(random: Random, tasks: int, share: float, run: int) -> Situation:
    """
    A *share* of the tasks, in runs of neighbours, is never ready, and the rest is at once.
    """
    runs = [0.0] * (tasks // run)
    for i in random.sample(range(len(runs)), max(round(share * len(runs)), 1)):
        runs[i] = NEVER
    return Situation([at for at in runs for _ in range(run)])


def fifo_stuck(random: Random, tasks: int, share: float = 0.01) -> Situation:
    ready = fifo(random, tasks).ready
    return Situation([NEVER if random.random() < share else at for at in ready])


def paused(random: Random, tasks: int) -> Situation:
    """
    A queue that stands still for three minutes.
    """
    return Situation([at if at < 60 else at + 180 for at in fifo(random, tasks).ready])


def erring(random: Random, tasks: int) -> Situation:
    """
    A queue, and one task in twenty ends in Error.
    """
    errors = frozenset(i for i in range(tasks) if random.random() < 0.05)
    return Situation(fifo(random, tasks).ready, errors=errors)


def two_queues(random: Random, tasks: int, *, told: bool = False) -> Situation:
    """
    Two queues of different speed in turn, *told* apart by their endpoints or not.
    """
    return Situation(
        [(i // 2) / (40.0 if i % 2 else 10.0) + _processing(random) for i in range(tasks)],
        endpoint=[("deskew", "upscale")[i % 2] for i in range(tasks)] if told else None,
    )


def workers(random: Random, tasks: int, count: int = 20) -> Situation:
    """
    A queue served by *count* workers, one task at a time each.
    """
    free = [0.0] * count
    ready = []
    for _ in range(tasks):
        ready.append(heappop(free) + _processing(random))
        heappush(free, ready[-1])
    return Situation(ready)


SITUATIONS: dict[str, Callable[[Random, int], Situation]] = {
    "all ready": all_ready,
    "burst": burst,
    "stream": stream,
    "FIFO 10/s": partial(fifo, rate=10.0),
    "FIFO 50/s": fifo,
    "half done": half_done,
    "shuffled": shuffled,
    "shuffled, told": partial(shuffled, told=True),
    "40-5-40/s": changing,
    "1 % stuck": stuck,
    "FIFO 10/s, crisp": partial(fifo, rate=10.0, crisp=True),
    "FIFO 50/s, crisp": partial(fifo, crisp=True),
    "half done, crisp": partial(half_done, crisp=True),
    "shuffled, crisp": partial(shuffled, crisp=True),
    "40-5-40/s, crisp": partial(changing, crisp=True),
    "FIFO, 1 % stuck": fifo_stuck,
    "paused": paused,
    "5 % Error": erring,
    "two queues": two_queues,
    "two queues, told": partial(two_queues, told=True),
    "20 workers": workers,
}


STUCK_SHARES = (0.05, 0.10, 0.23, 0.50)


# Policies: the real scheduler, and simple ones for comparison.


class Poller(Protocol):
    """
    The methods of a scheduler that the simulation calls.
    """

    @property
    def wants_more(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    def offer(self, state: JobState) -> None: ...
    def close(self) -> None: ...
    def next(self, now: float, budget_left: int | None = None, /) -> JobState | float | None: ...
    def settled(self, state: JobState, now: float, /) -> None: ...
    def unfinished(self, state: JobState, now: float, /) -> None: ...


def real(polling: Polling, patience: float = 1800.0) -> Scheduler:
    return Scheduler(PollingPolicy(polling, patience=patience), epoch=EPOCH)


class Simple:
    """
    Polls each task again after *delay(calls, known unfinished, found per second)* seconds.

    No new task is polled while *limit* tasks are known to be unfinished.
    """

    wants_more = True

    def __init__(self, delay: Callable[[int, int, float], float], limit: float = math.inf) -> None:
        self._delay = delay
        self._limit = limit
        self._due: list[tuple[float, int, JobState]] = []
        self._fresh: list[tuple[int, JobState]] = []
        self._unfinished: set[int] = set()
        self._found = self._left = 0
        self._closed = False

    @property
    def finished(self) -> bool:
        return self._closed and not self._left

    def offer(self, state: JobState) -> None:
        self._left += 1
        heappush(self._fresh, (state.ordinal, state))

    def close(self) -> None:
        self._closed = True

    def next(self, now: float, _budget_left: int | None = None) -> JobState | float | None:
        if self._due and self._due[0][0] <= now:
            return heappop(self._due)[2]
        if self._fresh and len(self._unfinished) < self._limit:
            return heappop(self._fresh)[1]
        return self._due[0][0] if self._due else None

    def settled(self, state: JobState, _now: float) -> None:
        self._left -= 1
        self._found += 1
        self._unfinished.discard(state.ordinal)

    def unfinished(self, state: JobState, now: float) -> None:
        self._unfinished.add(state.ordinal)
        delay = self._delay(state.calls, len(self._unfinished), self._found / max(now, 0.1))
        heappush(self._due, (now + delay, state.ordinal, state))


def _fixed(_calls: int, _unfinished: int, _rate: float) -> float:
    return 2.0


def _exponential(calls: int, _unfinished: int, _rate: float) -> float:
    return min(30.0, 2.0 ** (calls - 1))


def _square_root(_calls: int, unfinished: int, rate: float) -> float:
    return min(30.0, max(0.5, math.sqrt(2 * unfinished / max(rate, 0.01))))


POLLERS: dict[str, Callable[[], Poller]] = {
    "fixed 2 s, all at once": partial(Simple, _fixed),
    "exponential, all at once": partial(Simple, _exponential),
    "exponential, at most 64": partial(Simple, _exponential, 64),
    "sqrt(2 U / k), at most 16": partial(Simple, _square_root, 16),
    "thrifty": partial(real, Polling.THRIFTY),
    "prompt": partial(real, Polling.PROMPT),
}


# Results.


@dataclass(frozen=True)
class SimulatedRun:
    """
    Calls and times of a simulated run.
    """

    calls: list[int]
    """Number of calls, by task."""
    fetched: list[float]
    """When each result was fetched; `NEVER` if it was not."""
    ready: list[float]

    @property
    def calls_each(self) -> float:
        """
        The mean number of calls per task.
        """
        return sum(self.calls) / len(self.calls)

    @property
    def after_last(self) -> float:
        """
        Seconds from the time the last result is ready to the time the last one is fetched.
        """
        last = max(at for at in self.ready if at < NEVER)
        return max(at for at in self.fetched if at < NEVER) - last

    @property
    def after_slots(self) -> float:
        """
        Seconds by which the last result is fetched later than 32 slots of 80 ms a call allow.
        """
        return max(at for at in self.fetched if at < NEVER) - math.ceil(len(self.calls) / 32) * 0.08

    @property
    def calls_each_ready(self) -> float:
        """
        The mean number of calls per task that becomes ready.
        """
        return fmean(c for c, at in zip(self.calls, self.ready, strict=True) if at < NEVER)

    @property
    def calls_each_stuck(self) -> float:
        """
        The mean number of calls per task that never becomes ready.
        """
        return fmean(c for c, at in zip(self.calls, self.ready, strict=True) if at == NEVER)

    @property
    def delays(self) -> list[float]:
        """
        Seconds from the time each result is ready to the time it is fetched, in rising order.
        """
        pairs = zip(self.fetched, self.ready, strict=True)
        return sorted(fetched - ready for fetched, ready in pairs if fetched < NEVER)

    @property
    def mean_delay(self) -> float:
        return fmean(self.delays)

    def delay_quantile(self, share: float) -> float:
        """
        Return the delay in seconds that *share* of the results do not exceed.
        """
        delays = self.delays
        return delays[math.ceil(share * len(delays)) - 1]


def simulate(
    poller: Poller,
    situation: Situation,
    *,
    slots: int = 32,
    seconds_per_call: float = 0.08,
    patience: float = 1800.0,
    budget: int | None = None,
) -> SimulatedRun:
    """
    Simulate the batch of *situation* to its end, or to the end of its *budget* of calls.

    The answer to a request is that of the time halfway through the call.
    """
    service = _Service(poller, situation, patience)
    manifest = situation.states()[::-1]
    flights: list[tuple[float, int, JobState]] = []
    now, left = 0.0, math.inf if budget is None else budget
    closed = False
    while not (poller.finished or (left == 0 and not flights)):
        while manifest and poller.wants_more and service.is_offered(manifest[-1], now):
            poller.offer(manifest.pop())
        if not manifest and not closed:
            poller.close()
            closed = True
        wake = service.offered(manifest[-1]) if manifest else NEVER
        while len(flights) < slots and left:
            step = poller.next(now, None if budget is None else int(left))
            if not isinstance(step, JobState):
                assert step is None or step > now, "a scheduler that is due in the past never waits"
                wake = min(wake, NEVER if step is None else step)
                break
            service.ask(step, now)
            left -= 1
            heappush(flights, (now + seconds_per_call, step.ordinal, step))
        if flights and flights[0][0] <= max(wake, now):
            now, _, state = heappop(flights)
            service.answer(state, now, asked=now - seconds_per_call / 2)
        else:
            assert wake < NEVER, "the simulation is deadlocked"
            now = max(now, wake)
    return SimulatedRun(service.calls, service.fetched, situation.ready)


class _Service:
    """
    The simulated service, and the record of one run.
    """

    def __init__(self, poller: Poller, situation: Situation, patience: float) -> None:
        self._poller = poller
        self._situation = situation
        self._patience = patience
        self.calls = [0] * len(situation.ready)
        self.fetched = [NEVER] * len(situation.ready)

    def offered(self, state: JobState) -> float:
        offered = self._situation.offered
        return offered[state.ordinal] if offered else 0.0

    def is_offered(self, state: JobState, now: float) -> bool:
        return self.offered(state) <= now

    def ask(self, state: JobState, now: float) -> None:
        if state.first_asked is None:
            state.first_asked = now
        state.calls += 1
        self.calls[state.ordinal] += 1

    def answer(self, state: JobState, now: float, *, asked: float) -> None:
        i = state.ordinal
        if self._situation.ready[i] <= asked:
            state.answer = ERROR if i in self._situation.errors else DONE
            self.fetched[i] = now
            self._poller.settled(state, now)
            return
        state.answer = BUSY
        assert state.first_asked is not None
        if now >= state.first_asked + self._patience:
            self._poller.settled(state, now)
        else:
            self._poller.unfinished(state, now)


def main(seeds: int = 3, tasks: int = 10_000) -> None:
    """
    Print, for each policy and situation, the worst of *seeds* runs.
    """
    write = sys.stdout.write
    for name, poller in POLLERS.items():
        write(f"\n{name}: calls per task (s after the last is ready), mean delay in s, 95 %\n")
        for title, situation in SITUATIONS.items():
            runs = [simulate(poller(), situation(Random(seed), tasks)) for seed in range(seeds)]
            write(
                f"  {title:18}"
                f" {max(run.calls_each for run in runs):6.3f}"
                f" ({max(run.after_last for run in runs):5.1f})"
                f" {max(run.mean_delay for run in runs):6.1f}"
                f" {max(run.delay_quantile(0.95) for run in runs):6.1f}\n"
            )
    write("\nthrifty: seconds after what the slots allow, calls per ready and per stuck task\n")
    for share in STUCK_SHARES:
        for length in (1, 50):
            runs = [
                simulate(POLLERS["thrifty"](), stuck_in_runs(Random(seed), tasks, share, length))
                for seed in range(seeds)
            ]
            write(
                f"  {share:4.0%} in runs of {length:2}"
                f" {max(run.after_slots for run in runs):6.1f}"
                f" {max(run.calls_each_ready for run in runs):6.3f}"
                f" {fmean(run.calls_each_stuck for run in runs):6.2f}\n"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
