"""
Workers: each takes the next due job, asks about it, and hands on what became of it.

They follow the leader/followers pattern: one worker at a time, the leader, waits until a job is due
and may be asked about, takes it, and lets the next one lead while it asks.  No task exists only to
wake others.  Source: Schmidt et al., "Leader/Followers", 2000.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf, nextafter

import anyio

from batchfetch.errors import JobError
from batchfetch.models import JobState, Outcome
from batchfetch.run.agenda import Agenda, Asker
from batchfetch.run.poller import Unfinished, timed_out
from batchfetch.run.rulings import Again, Aside, Ruled
from batchfetch.run.setbacks import Retry
from batchfetch.run.supervisor import Supervisor
from batchfetch.scheduling import Pace
from batchfetch.service import Tokens


class Workers:
    """
    Brings every job that the scheduler is offered to its outcome, unless stopped before.

    *record* takes each outcome; a worker asks nothing while it waits for that.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        scheduler: Agenda,
        poller: Asker,
        tokens: Tokens,
        pace: Pace,
        supervisor: Supervisor,
        record: Callable[[Outcome], Awaitable[None]],
        *,
        patience: float,
        deadline: float = inf,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._scheduler = scheduler
        self._poller = poller
        self._tokens = tokens
        self._pace = pace
        self._supervisor = supervisor
        self._record = record
        self._patience = patience
        self._deadline = deadline
        self._clock = clock
        # asyncio's: anyio's asks for the backend and the task every time it is taken.
        self._leader = asyncio.Lock()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._asking_for_token = anyio.CancelScope()
        pace.listen(self.notify)
        self._asked_at = -inf
        self.stopped_by: str | None = None
        """Why nothing new is asked; None while all goes on."""

        self.too_early = 0
        """Questions that were answered with "not yet"."""

        self.asked = 0
        """Tasks asked about, each counted once."""

        self.settled = 0
        """Those of them that have an outcome."""

    def notify(self) -> None:
        """
        Wake the leader: a job was offered, or a slot is free.
        """
        self._changed.set()

    def stop(self, by: str) -> None:
        """
        Ask nothing new.  The first reason given stays.
        """
        self.stopped_by = self.stopped_by or by
        self._asking_for_token.cancel()
        self._room.set()
        self.notify()

    async def room(self) -> None:
        """
        Wait until the scheduler wants more jobs, or none any more.
        """
        while self.stopped_by is None and not self._scheduler.wants_more:
            self._room.clear()
            await self._room.wait()

    async def work(self) -> None:
        """
        Ask one question after another until all is settled or stopped.  To be run once per slot.

        Raises `CredentialsError`, `UnavailableError` and `StorageError`.
        """
        while (question := await self._next()) is not None:
            state, token = question
            calls, asked_at = state.calls, self._asked_now()
            self.asked += state.first_asked is None
            try:
                verdict = await self._poller.ask(state, token)
            finally:
                if state.calls == calls:
                    self._pace.give_back()  # It never left this machine.
                self._pace.finish()
                self.notify()
            was_sent = state.calls > calls
            await self._apply(
                self._supervisor.judge(state, token, asked_at, verdict, was_sent=was_sent)
            )
            self.notify()
        await self._apply(self._supervisor.give_up())

    def _asked_now(self) -> float:
        """
        Return the time, later than at any call before: which request was first decides whom a
        refused token is to be blamed on, and the loop's clock may stand still for a millisecond.
        """
        self._asked_at = max(self._clock(), nextafter(self._asked_at, inf))
        return self._asked_at

    async def _next(self) -> tuple[JobState, str] | None:
        """
        Return the next question, and a token for it, when it may be asked; None at the end.
        """
        if not self._leader.locked() and (question := self._at_hand()):
            return question  # As nearly always: there is nothing to wait for, and no leader.
        async with self._leader:
            while self.stopped_by is None and not self._scheduler.finished:
                if rulings := self._conclude():
                    await self._apply(rulings)
                    continue
                now = self._clock()
                self._look_around()
                until = self._supervisor.held_until(now)
                if until is None:
                    due = self._due(now)
                    if isinstance(due, JobState):
                        if (token := await self._token()) is not None:
                            return self._start(due, token)
                        self._scheduler.again(due, now)
                        continue
                    until = due
                elif self._pace.calls_left == 0 and self._is_work_left():
                    self.stop("max-calls")
                elif self._pace.cooling_until >= self._deadline:
                    self.stop("max-runtime")  # Now, rather than after hours of waiting.
                if self.stopped_by is None:
                    await self._changed_before(until)
        return None

    def _at_hand(self) -> tuple[JobState, str] | None:
        """
        Return the next question, and a token for it, if both are at hand and it may be asked now.
        """
        token = self._tokens.at_hand
        now = self._clock()
        if token is None or self.stopped_by is not None or not self._supervisor.is_open:
            return None
        if self._pace.held_until(now) is not None:
            return None
        state = self._scheduler.next(now, self._pace.calls_left)
        return self._start(state, token) if isinstance(state, JobState) else None

    def _due(self, now: float) -> JobState | float | None:
        """
        Return the job to ask about now, or when one is due, or None.
        """
        scheduler, supervisor = self._scheduler, self._supervisor
        if supervisor.wants_another(are_left=scheduler.are_others_left):
            return scheduler.last(but_of=supervisor.failing_endpoint)
        return scheduler.next(now, self._pace.calls_left)

    def _look_around(self) -> None:
        """
        Tell the supervisor if no job is left but failing ones, unless all goes well.
        """
        if not (self._supervisor.is_open or self._scheduler.are_others_left):
            self._supervisor.leave_alone(self._scheduler.failing)

    def _is_work_left(self) -> bool:
        """
        Whether something would have to be asked that no answer in flight can settle.
        """
        scheduler = self._scheduler
        idle = self._pace.in_flight == 0
        return idle and bool(scheduler.waiting or scheduler.known_unfinished)

    def _conclude(self) -> list[Ruled]:
        """
        Return what becomes of the jobs that are kept undecided, if nothing else is to be asked.
        """
        if not self._supervisor.has_open_cases:
            return []
        if self._pace.in_flight or not self._scheduler.is_idle:
            return []
        return self._supervisor.conclude(are_others=not self._scheduler.is_closed)

    async def _token(self) -> str | None:
        """
        Return a token that is valid now; None if there is none, or the run is stopped.
        """
        if (token := self._tokens.at_hand) is not None:
            return token
        asked_at = self._clock()
        self._supervisor.token_awaited()
        # It may take long; a run that is stopped does not wait for it.
        with anyio.CancelScope() as self._asking_for_token:
            try:
                token = await self._tokens.token()
            except JobError as exc:
                await self._apply(self._supervisor.token_failed(exc))
            else:
                self._supervisor.token_came(asked_at)
        return token if self.stopped_by is None else None

    def _start(self, state: JobState, token: str) -> tuple[JobState, str]:
        now = self._clock()
        self._room.set()
        self._pace.start(now)
        other = self._supervisor.start(state, token, now)
        if other is not None:
            self._scheduler.again(other, now)
        return state, token

    async def _changed_before(self, until: float | None) -> None:
        # asyncio's event and timer: a cancel scope for every wait was a twentieth of all the time.
        self._changed.clear()
        if until is None or until == inf:
            await self._changed.wait()
            return
        timer = asyncio.get_running_loop().call_at(until, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    async def _apply(self, rulings: list[Ruled]) -> None:
        for state, ruling in rulings:
            now = self._clock()
            match ruling:
                case Again():
                    self._scheduler.again(state, now)
                case Aside():
                    self._scheduler.set_aside(state, now)
                case Retry(delay=delay):
                    self._scheduler.again(state, now + delay)
                case Unfinished():
                    await self._take_unfinished(state, now)
                case Outcome():
                    await self._settle(state, ruling, now)

    async def _take_unfinished(self, state: JobState, now: float) -> None:
        self.too_early += 1
        state.excuse(self._supervisor.held(now))
        if state.first_asked is None or now < state.first_asked + self._patience:
            self._scheduler.unfinished(state, now)
        else:
            await self._settle(state, timed_out(state, self._patience), now)

    async def _settle(self, state: JobState, outcome: Outcome, now: float) -> None:
        self._scheduler.settled(state, now)
        self.settled += 1
        await self._record(outcome)
