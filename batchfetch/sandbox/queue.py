"""
Who is worked on, and when: a first-in-first-out queue in front of a number of workers.

Nothing here waits or knows what time it is.  *now*, in seconds on any clock that does not go
back, comes with every question, and the queue works out what has happened until then.
"""

import heapq
from collections import deque
from dataclasses import dataclass

from batchfetch.models import TaskStatus
from batchfetch.sandbox.scenario import Script


@dataclass(slots=True)
class Task:
    """
    A submitted task.  Times are None until its turn has come.
    """

    task_id: str
    script: Script
    submitted_at: float
    started_at: float | None = None
    finished_at: float | None = None
    cancelled: bool = False


class TaskQueue:
    """
    The service's queue.  Ids are compared without regard to case.
    """

    def __init__(self, *, workers: int, processing_time: float, expire_after: float) -> None:
        self._processing_time = processing_time
        self._expire_after = expire_after
        self._tasks: dict[str, Task] = {}
        self._waiting: deque[Task] = deque()
        # A heap of the times at which each worker is free again.
        self._free = [float("-inf")] * workers

    def find(self, task_id: str) -> Task | None:
        """
        Return the task of that id if it was ever submitted, expired and cancelled ones too.
        """
        return self._tasks.get(task_id.lower())

    def submit(self, task_id: str, script: Script, at: float) -> Task:
        """
        Put a task at the end of the queue.  An id submitted before is left as it is.

        *at* may lie in the past: what nobody has asked about may have been there all along.
        """
        if (known := self.find(task_id)) is not None:
            return known
        task = Task(task_id, script, submitted_at=at)
        self._tasks[task_id.lower()] = task
        if script.held:
            self._start(task, at + script.held)
        else:
            self._waiting.append(task)
        return task

    def cancel(self, task: Task, now: float) -> None:
        """
        Take a task out of the queue, unless a worker has it already.
        """
        if self.status(task, now) is TaskStatus.PENDING:
            task.cancelled = True

    def status(self, task: Task, now: float) -> TaskStatus:
        """
        Return where *task* stands.
        """
        self._advance(now)
        if task.cancelled or now - task.submitted_at >= self._expire_after:
            return TaskStatus.NOT_EXIST
        if task.started_at is None or now < task.started_at:
            return TaskStatus.PENDING
        if task.finished_at is None or now < task.finished_at:
            return TaskStatus.PROCESSING
        return TaskStatus.ERROR if task.script.failed else TaskStatus.COMPLETED

    def _advance(self, now: float) -> None:
        while self._waiting:
            task = self._waiting[0]
            if not task.cancelled:
                start = max(self._free[0], task.submitted_at)
                if start > now:
                    return
                heapq.heapreplace(self._free, self._start(task, start))
            self._waiting.popleft()

    def _start(self, task: Task, at: float) -> float:
        takes = task.script.takes
        task.started_at = at
        task.finished_at = at + (self._processing_time if takes is None else takes)
        return task.finished_at
