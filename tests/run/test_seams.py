"""
The seams: other storages, paces, transports and listeners run a whole batch.
"""

from contextlib import asynccontextmanager
from hashlib import sha256

import anyio
import anyio.lowlevel
import pytest
from replies import png_of
from scripted import ScriptedTransport, pending, ready, status

from batchfetch import (
    Answered,
    Asked,
    Credentials,
    Job,
    OutcomeStatus,
    OutputLockedError,
    Paused,
    ProgressHook,
    Settings,
    Settled,
    StorageError,
    UnsafeNameError,
    open_batch,
    open_client,
    read_report,
)
from batchfetch.exception_groups import unwrapped

pytestmark = pytest.mark.anyio

TOKEN = Credentials(access_token="a-token")


class MemoryStorage:
    """
    Files in memory; one run at a time.
    """

    def __init__(self, **files):
        self.files = files
        self.full = False
        self.aborted = 0
        self.owners = {}
        self.digests = {}
        self.released = []
        self._is_held = False

    @asynccontextmanager
    async def lock(self):
        if self._is_held:
            raise OutputLockedError("another run holds this memory")
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def open(self, name, size_hint=None, *, owner=None):  # noqa: ARG002 - the interface's
        self.owners[name] = owner
        return MemoryTarget(self, name)

    def is_claimed(self, name):
        return self.owners.get(name) is not None and name not in self.released

    async def is_owned_by(self, name, owner):
        return self.owners[name] == owner if name in self.owners else None

    async def release(self, names):
        self.released += names

    async def stat(self, names):
        return [self._found(name) for name in names]

    def _found(self, name):
        if name.startswith("forbidden/"):
            return UnsafeNameError(f"{name} cannot be here")
        return len(self.files[name]) if name in self.files else None

    async def read(self, name):
        for at in range(0, len(self.files[name]), 50):
            yield self.files[name][at : at + 50]


class MemoryTarget:
    """
    A file under construction in memory.
    """

    def __init__(self, storage, name):
        self._storage = storage
        self._name = name
        self._chunks = []
        self._is_open = True

    async def write(self, chunks):
        self._chunks.extend(chunks)

    async def commit(self, *, sha256=None):
        self._storage.digests[self._name] = sha256
        if self._storage.full:
            raise StorageError("the memory is full")
        await anyio.lowlevel.checkpoint()
        self._storage.files[self._name] = b"".join(self._chunks)
        self._is_open = False

    async def abort(self):
        self._storage.aborted += self._is_open
        self._is_open = False


class LeasedPace:
    """
    Draws its permits from an account that somebody else keeps, a few at a time.
    """

    limit = slots = 4
    cooling_until = float("-inf")

    def __init__(self, account):
        self._account = account
        self._permits = 0
        self._changed = lambda: None
        self.in_flight = self.calls = 0
        self.most_in_flight = 0

    @property
    def calls_left(self):
        return self._permits + self._account["left"]

    def listen(self, changed):
        self._changed = changed

    async def draw(self, every):
        """
        Bring a lease from time to time.
        """
        while True:
            await anyio.sleep(every)
            lease = min(5 - self._permits, self._account["left"])
            self._account["left"] -= lease
            self._permits += lease
            self._changed()

    def held_until(self, now):  # noqa: ARG002 - the interface's
        return None if self._permits and self.in_flight < self.slots else float("inf")

    def start(self, now):  # noqa: ARG002 - the interface's
        self._permits -= 1
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def give_back(self):
        self._permits += 1
        self.calls -= 1

    def finish(self):
        self.in_flight -= 1

    def answered(self):
        pass

    def overloaded(self, asked_at, now):
        pass

    def cool_down(self, now, retry_after):
        pass


@pytest.fixture
def settings(tmp_path):
    """
    A report, and an output that must not be made.
    """
    return Settings(output=tmp_path / "none", report=tmp_path / "report.jsonl")


async def drained(batch):
    """
    Return the outcomes of a whole run by task.
    """
    return {outcome.task_id: outcome async for outcome in batch}


def ids(count):
    """
    Return so many task ids.
    """
    return [f"t{number}" for number in range(count)]


async def test_another_storage(settings):
    """
    A storage in memory gets the images; what is there is adopted, and what cannot be is Invalid.
    """
    memory = MemoryStorage(**{"t0.png": png_of("t0"), "t1.png": b"no image"})
    transport = ScriptedTransport({"t2": [pending, status(500), pending]}, pieces=3)
    jobs = [*ids(20), Job("x", name="forbidden/x"), Job("y", name="named/y")]
    options = {"credentials": TOKEN, "transport": transport, "storage": memory}
    async with open_batch(jobs, settings, **options) as batch:
        with pytest.raises(OutputLockedError):
            async with open_batch(jobs, settings, **options):
                pass
        outcomes = {}
        async for outcome in batch:
            outcomes[outcome.task_id] = outcome
            if len(outcomes) == 21:
                batch.stop("enough")  # t2 stays Pending.
    images = {f"{task_id}.png": png_of(task_id) for task_id in ids(20) if task_id != "t2"}
    assert memory.files == {**images, "named/y.png": png_of("y")}
    assert memory.owners == {
        f"{name}.png": name.rpartition("/")[2] for name in [*ids(20)[1:], "named/y"]
    }
    assert all(
        sha256(memory.files[name]).hexdigest() == memory.digests[name] for name in memory.digests
    )
    assert memory.released.count("named/y.png") == 1
    assert outcomes["t0"].calls == 0
    assert outcomes["t1"].calls == 1
    assert (outcomes["x"].status, outcomes["x"].reason) == (OutcomeStatus.INVALID, "bad_name")
    assert memory.aborted >= 1
    assert not settings.output.exists()


async def test_a_storage_that_is_full_ends_the_run(settings):
    """
    What a storage raises ends the run as the disk does.
    """
    memory = MemoryStorage()
    memory.full = True
    with pytest.raises(StorageError, match="the memory is full"):
        async with open_batch(
            ids(3), settings, credentials=TOKEN, transport=ScriptedTransport(), storage=memory
        ) as batch:
            await drained(batch)
    assert batch.summary.exit_code == 6
    assert memory.files == {}


class LosingStorage(MemoryStorage):
    """
    Files in memory that another run takes away when `is_taken` is set.
    """

    def __init__(self):
        super().__init__()
        self.is_taken = anyio.Event()

    @asynccontextmanager
    async def lock(self):
        async def lose():
            await self.is_taken.wait()
            raise StorageError("another run has taken the memory")

        with unwrapped():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lose)
                yield
                tasks.cancel_scope.cancel()


async def test_a_storage_whose_lock_is_lost_ends_the_run(settings):
    """
    A run that finds its storage taken stops, also if all that it does is to wait; what was decided
    is in the report.
    """
    transport = ScriptedTransport({"t1": [pending]})
    storage = LosingStorage()
    outcomes = []
    with pytest.raises(StorageError, match="another run has taken the memory"):
        async with open_batch(
            ids(2), settings, credentials=TOKEN, transport=transport, storage=storage
        ) as batch:
            async for outcome in batch:
                outcomes.append(outcome.task_id)
                storage.is_taken.set()
    assert outcomes == ["t0"]
    assert [outcome.task_id for outcome in read_report(settings.report)] == ["t0"]


@pytest.mark.parametrize(("budget", "exit_code"), [(30, 0), (12, 4)])
async def test_a_leased_pace(settings, budget, exit_code):
    """
    A pace that draws permits from a shared account runs the batch, and ends it with the account.
    """
    pace = LeasedPace({"left": budget})
    transport = ScriptedTransport()
    async with anyio.create_task_group() as leases:
        leases.start_soon(pace.draw, 0.01)
        async with open_batch(
            ids(20),
            settings,
            credentials=TOKEN,
            transport=transport,
            storage=MemoryStorage(),
            pace=pace,
        ) as batch:
            outcomes = await drained(batch)
        leases.cancel_scope.cancel()
    assert batch.summary.exit_code == exit_code
    assert len(outcomes) == len(transport.calls) == pace.calls == batch.summary.calls
    assert len(outcomes) == min(20, budget)
    assert pace.most_in_flight <= pace.slots


async def test_hooks_hear_of_everything(settings):
    """
    Each listener is told of questions, answers, pauses and outcomes, in their order.
    """
    script = {"a": [pending], "b": [status(429, 0.05)], "c": [status(404)]}
    transport = ScriptedTransport({task: [*steps, ready] for task, steps in script.items()})
    heard, again, tallies = [], [], []
    progress = ProgressHook(tallies.append, every=0.0)
    async with open_batch(
        ["a", "b", "c"],
        settings,
        credentials=TOKEN,
        transport=transport,
        storage=MemoryStorage(),
        hooks=[heard.append, again.append, progress],
    ) as batch:
        outcomes = await drained(batch)
    assert heard == again
    assert sum(isinstance(event, Asked) for event in heard) == len(transport.calls) == 5
    results = [(event.job.task_id, event.result) for event in heard if isinstance(event, Answered)]
    by_task = {task: [said for other, said in results if other == task] for task in "abc"}
    assert by_task == {
        "a": ["Pending", "Completed"],
        "b": ["http_429", "Completed"],
        "c": ["http_404"],
    }
    (pause,) = [event for event in heard if isinstance(event, Paused)]
    assert pause.seconds == pytest.approx(0.05)
    (recorded,) = batch.interruptions
    assert (recorded.cause, recorded.seconds) == ("pause", pytest.approx(0.05))
    settled = {
        event.outcome.task_id: event.outcome for event in heard if isinstance(event, Settled)
    }
    assert settled == outcomes
    assert tallies[-1].asked == 5
    assert tallies[-1].outcomes == {OutcomeStatus.COMPLETED: 2, OutcomeStatus.FAILED: 1}
    assert tallies[-1].settled == 3


async def test_what_a_hook_raises_ends_the_run(settings):
    """
    A listener that fails is a defect, and not silenced.
    """

    def broken(event):
        raise ZeroDivisionError(type(event).__name__)

    with pytest.raises(ZeroDivisionError, match="Asked"):
        async with open_batch(
            ["a"],
            settings,
            credentials=TOKEN,
            transport=ScriptedTransport(),
            storage=MemoryStorage(),
            hooks=[broken],
        ) as batch:
            await drained(batch)


async def test_a_client_without_storage(settings):
    """
    A client has what it takes to ask, and nothing else.
    """
    transport = ScriptedTransport()
    async with open_client(settings, credentials=TOKEN, transport=transport) as client:
        sent = []
        token = await client.tokens.token()
        asking = client.transport.get_result("/path", "t", token, on_sent=lambda: sent.append(1))
        async with asking as body:
            assert body.length == len(await body.read()) * 2
    assert sent == [1]
    assert client.pace.slots == settings.concurrency
    assert client.pace.calls == 0


async def test_settled_tasks_are_handed_out_if_wanted(settings):
    """
    A second run says nothing of what is settled, or all that the report knows of it.
    """
    memory = MemoryStorage()
    options = {"credentials": TOKEN, "storage": memory}
    script = {"t1": [status(404)]}
    async with open_batch(
        ids(3), settings, transport=ScriptedTransport(script), **options
    ) as batch:
        first = await drained(batch)
    again = ScriptedTransport()
    kept = settings.model_copy(update={"retry": frozenset()})
    async with open_batch(ids(4), kept, transport=again, **options) as batch:
        assert set(await drained(batch)) == {"t3"}
    async with open_batch(ids(4), kept, transport=again, include_settled=True, **options) as batch:
        everything = await drained(batch)
    assert {task_id: everything[task_id] for task_id in ids(3)} == first
    assert len(again.calls) == 1
    assert (batch.summary.already, batch.summary.outcomes) == (4, {})
    assert {outcome.task_id: outcome for outcome in read_report(settings.report)} == everything
