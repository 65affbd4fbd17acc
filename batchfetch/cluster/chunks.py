"""
Chunks of jobs: what is handed out to whom, what is decided, and what was lost with its worker.
"""

from collections import deque
from dataclasses import dataclass, field

from batchfetch.models import JobState

# Jobs that are kept at hand for workers, unless two chunks are more.
_MOST_AT_HAND = 65_536


@dataclass(slots=True)
class Chunk:
    """
    Jobs that are handed out together.
    """

    jobs: dict[str, JobState]
    """Those that are not decided, by task id."""

    losses: list[str] = field(default_factory=list)
    """For each worker that was lost while it had the chunk: how."""


class Chunks:
    """
    Cuts the jobs that are offered into chunks of *size* and keeps account of them.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._fresh: deque[JobState] = deque()
        # A worker gets such a chunk alone: what else it has is not blamed if it dies, too.
        self._lost: deque[Chunk] = deque()
        self._held: dict[int, list[Chunk]] = {}
        self._chunk_of: dict[str, Chunk] = {}
        self._is_closed = False
        # Chunks whose worker is gone and which are looked at.
        self._recovering = 0
        self.settled = 0
        """Jobs that are decided."""

    @property
    def wants_more(self) -> bool:
        """
        Whether more jobs should be offered: a chunk for each worker and two more, as far as that
        is not too much memory.
        """
        at_hand = min((len(self._held) + 2) * self._size, max(2 * self._size, _MOST_AT_HAND))
        return not self._is_closed and len(self._fresh) < at_hand

    @property
    def has_chunk(self) -> bool:
        """
        Whether a whole chunk of fresh jobs can be taken, or all that will ever come.
        """
        return len(self._fresh) >= self._size or (self._is_closed and bool(self._fresh))

    @property
    def offers_more(self) -> bool:
        """
        Whether a worker that has some jobs should wait for more.

        If not, it ends with what it has, and may then be given a chunk that was lost.
        """
        return bool(self._fresh) or not (self._is_closed or self._lost)

    @property
    def is_exhausted(self) -> bool:
        """
        Whether no job is left to be handed out, unless a worker is lost.
        """
        return self._is_closed and not self._fresh and not self._lost

    @property
    def is_over(self) -> bool:
        """
        Whether every job is decided and none will be offered.
        """
        return self.is_exhausted and not self._chunk_of and not self._recovering

    @property
    def waiting(self) -> int:
        """
        Chunks that can be handed out.
        """
        return len(self._lost) + -(-len(self._fresh) // self._size)

    def offer(self, state: JobState) -> None:
        """
        Add a job.
        """
        self._fresh.append(state)

    def close(self) -> None:
        """
        Declare that no job will be added.
        """
        self._is_closed = True

    def take(self, worker: int, *, more: bool) -> Chunk | None:
        """
        Hand the next chunk to *worker*; None if there is none for it.

        With *more* it has some already: then it gets no chunk that was lost, and none beside one.
        """
        held = [chunk for chunk in self._held.get(worker, ()) if chunk.jobs]
        self._held[worker] = held
        if not more and self._lost:
            chunk = self._lost.popleft()
        elif self._fresh and not (more and self.has_suspect(worker)):
            number = min(self._size, len(self._fresh))
            jobs = [self._fresh.popleft() for _ in range(number)]
            chunk = Chunk({state.job.task_id: state for state in jobs})
        else:
            return None
        held.append(chunk)
        self._chunk_of.update(dict.fromkeys(chunk.jobs, chunk))
        return chunk

    def settle(self, task_id: str) -> JobState | None:
        """
        Note that the job *task_id* is decided, and return it; None if it was before.
        """
        if (chunk := self._chunk_of.pop(task_id, None)) is None:
            return None
        state = chunk.jobs.pop(task_id)
        self.settled += 1
        if not chunk.jobs and chunk in self._lost:
            self._lost.remove(chunk)  # The last lines of a worker came after its loss.
        return state

    def has_suspect(self, worker: int) -> bool:
        """
        Whether *worker* has a chunk that was lost with another.
        """
        return any(chunk.jobs and chunk.losses for chunk in self._held.get(worker, ()))

    def lose(self, worker: int, how: str) -> list[Chunk]:
        """
        Take from *worker*, which is lost, and *how*, what it had; for each chunk `again` has to
        follow.
        """
        lost = [chunk for chunk in self._held.pop(worker, ()) if chunk.jobs]
        for chunk in lost:
            chunk.losses.append(how)
        self._recovering += len(lost)
        return lost

    def again(self, chunk: Chunk) -> None:
        """
        Hand out what is left of *chunk*, which was lost.
        """
        self._recovering -= 1
        if chunk.jobs:
            self._lost.append(chunk)
