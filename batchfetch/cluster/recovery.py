"""
What becomes of the chunks of a worker that is gone.
"""

from collections import Counter, deque
from collections.abc import Iterable

from batchfetch.cluster.chunks import Chunk, Chunks
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.run.fetcher import Wiring
from batchfetch.storage import FileExecutor, open_storage

# Files of a worker that may wait for their release: twice as many as it releases together.
_MOST_UNRELEASED = 1024

# Workers that a chunk may cost.
_MOST_LOSSES = 3


class Recorded:
    """
    Records outcomes of the jobs in *chunks*, each once, and remembers whose files they are.
    """

    def __init__(self, wiring: Wiring, chunks: Chunks) -> None:
        self._wiring = wiring
        self._chunks = chunks
        self._files: dict[int, deque[str]] = {}

    async def take(self, worker: int, outcomes: Iterable[Outcome]) -> bool:
        """
        Record *outcomes* that *worker* has sent, and return whether they are written.
        """
        files = self._files.setdefault(worker, deque(maxlen=_MOST_UNRELEASED))
        for outcome in outcomes:
            if outcome.path is not None:
                files.append(outcome.path)
            await self.decide(outcome)
        return await self._wiring.recorder.until_written()

    async def decide(self, outcome: Outcome) -> None:
        """
        Record *outcome*, unless its job was decided before.
        """
        if outcome.task_id is not None and self._chunks.settle(outcome.task_id) is not None:
            await self._wiring.parts.record(outcome)

    def forget(self, worker: int) -> list[str]:
        """
        Return the files that *worker* may not have released, and forget them.
        """
        return [*self._files.pop(worker, ())]


async def recover(wiring: Wiring, recorded: Recorded, lost: list[Chunk], files: list[str]) -> None:
    """
    Decide what can be decided of the *lost* chunks of a worker: jobs whose images are in their
    places, and all jobs of a chunk that has cost too many workers.

    *files* are those which it may not have released.  Raises `StorageError`.
    """
    if lost or files:
        await _find(wiring, recorded, lost, files)
    for chunk in lost:
        if len(chunk.losses) >= _MOST_LOSSES:
            await _give_up(recorded, chunk)


async def _find(wiring: Wiring, recorded: Recorded, lost: list[Chunk], named: list[str]) -> None:
    settings = wiring.parts.settings
    states = [state for chunk in lost for state in chunk.jobs.values()]
    with FileExecutor() as files:
        # Opened anew, because what was opened before may not see what others did since.
        opened = open_storage(settings.output, settings.durability, files, make=False)
        async with opened as storage:
            for state in states:
                outcome = await wiring.intake.recover(state, storage)
                if outcome is not None:
                    await recorded.decide(outcome)
            await wiring.recorder.until_written()
            await wiring.report.sync()
            await storage.release([*named, *(state.job.filename for state in states)])


async def _give_up(recorded: Recorded, chunk: Chunk) -> None:
    how = ", ".join(f"{times} {how}" for how, times in Counter(chunk.losses).items())
    workers = f"{len(chunk.losses)} workers in a row were lost while they had this task's chunk"
    for state in [*chunk.jobs.values()]:
        await recorded.decide(
            Outcome.of(
                state,
                OutcomeStatus.FAILED,
                reason="worker_lost",
                detail=f"{workers}: {how}",
            )
        )
