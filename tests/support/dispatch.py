"""
The workers of a run with everything around them, for tests on virtual time.
"""

import json
from time import time

import anyio
from wiring import poller

from batchfetch.errors import BatchFetchError
from batchfetch.models import Job, JobState
from batchfetch.report import Interruptions
from batchfetch.run.supervisor import Supervisor
from batchfetch.run.workers import Workers
from batchfetch.scheduling import LocalPace, Outage, PollingPolicy, RetryPolicy, Scheduler
from batchfetch.service import Credentials, TokenSource
from batchfetch.settings import Polling, Settings


class Desk:
    """
    Grants `token-1`, `token-2`, … after so many *seconds* each, valid for *life* seconds.

    The first requests, so many *times*, end with *error*.
    """

    def __init__(self, seconds=0.0, *, life=3600.0, error=None, times=0):
        self.seconds = seconds
        self.life = life
        self.error = error
        self.times = times
        self.granted = 0

    async def request_token(self, client_id, client_secret):  # noqa: ARG002 - the protocol
        await anyio.sleep(self.seconds)
        if self.times > 0:
            self.times -= 1
            raise self.error
        self.granted += 1
        fields = {"access_token": f"token-{self.granted}", "expires_in": self.life}
        return json.dumps(fields).encode()


class Run:
    """
    A dispatch on its own, and everything around it to look at.
    """

    def __init__(  # noqa: PLR0913 - what can be set of a run
        self,
        storage,
        transport,
        *,
        slots=4,
        rate=None,
        max_calls=None,
        deadline=float("inf"),
        patience=1800.0,
        lookahead=1000,
        record=None,
        desk=None,
        outage=900.0,
        tell=None,
    ):
        self.epoch = time() - anyio.current_time()
        self.outcomes = {}
        self.failures = []
        self.slots = slots
        self.desk = desk or Desk()
        self.scheduler = Scheduler(
            PollingPolicy(Polling.THRIFTY, patience=patience), lookahead=lookahead
        )
        self.pace = LocalPace(slots=slots, rate=rate, max_calls=max_calls)
        retries = RetryPolicy(3, initial=1, spread=lambda _, most: most)
        self.tokens = TokenSource(
            Credentials(client_id="an-id", client_secret="a-secret"), self.desk
        )
        self.interruptions = Interruptions(epoch=self.epoch)
        self.supervisor = Supervisor(
            *(self.pace, self.tokens),
            Outage(limit=outage, slots=slots, pauses=retries),
            clock=anyio.current_time,
            interruptions=self.interruptions,
            tell=tell,
        )
        self.workers = Workers(
            self.scheduler,
            poller(transport, storage, Settings(), self.pace, retries, epoch=self.epoch),
            self.tokens,
            self.pace,
            self.supervisor,
            record or self.record,
            patience=patience,
            deadline=deadline,
        )
        self.offered = 0

    async def record(self, outcome):
        self.outcomes[outcome.task_id] = outcome

    def offer(self, *task_ids, **fields):
        """
        Offer jobs with these *fields*, as the manifest's reader does.
        """
        for task_id in task_ids:
            self.offered += 1
            job = Job(task_id, f"{task_id}.png", **fields)
            self.scheduler.offer(JobState(job, ordinal=self.offered))
        self.workers.notify()

    def close(self):
        """
        Offer no more.
        """
        self.scheduler.close()
        self.workers.notify()

    async def work(self):
        """
        Let one poller per slot work to the end.
        """
        async with anyio.create_task_group() as pollers:
            for _ in range(self.slots):
                pollers.start_soon(self._poll)

    async def fetch(self, *task_ids, **fields):
        """
        See these tasks through; return how long it took.
        """
        started = anyio.current_time()
        self.offer(*task_ids, **fields)
        self.close()
        await self.work()
        return anyio.current_time() - started

    async def _poll(self):
        try:
            await self.workers.work()
        except BatchFetchError as exc:
            self.failures.append(exc)
            self.workers.stop("failure")
