"""
First-in-first-out queue of the stand-in's tasks, processed by a number of workers.

Nothing here waits or reads a clock.  Every method takes the time, in seconds on any clock that
never goes back, and computes the state of the queue at that time.
"""

import heapq
from collections import deque
from dataclasses import dataclass

from batchfetch.models import TaskStatus
from batchfetch.sandbox.scenario import Script


@dataclass(slots=True)
class Task:
    """
    A submitted task.  Its other times are None until a worker starts it.
    """

    task_id: str
    script: Script
    submitted_at: float
    started_at: float | None = None
    finished_at: float | None = None
    cancelled: bool = False


class TaskQueue:
    """
    The queue of tasks.  The case of ids is ignored.
    """

    def __init__(self, *, workers: int, processing_time: float, expire_after: float) -> None:
        self._processing_time = processing_time
        self._expire_after = expire_after
        self._tasks: dict[str, Task] = {}
        self._waiting: deque[Task] = deque()
        # A heap of the times at which the workers become free.
        self._free = [float("-inf")] * workers

    def find(self, task_id: str) -> Task | None:
        """
        Return the task with *task_id*, even if expired or cancelled; None if never submitted.
        """
        return self._tasks.get(task_id.lower())

    def submit(self, task_id: str, script: Script, at: float) -> Task:
        """
        Add a task to the end of the queue, or return the existing one with *task_id*.

        *at* is the time of submission, which may be in the past.
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
        Remove a task from the queue, unless a worker has started it.
        """
        if self.status(task, now) is TaskStatus.PENDING:
            task.cancelled = True

    def status(self, task: Task, now: float) -> TaskStatus:
        """
        Return the status of *task* at *now*.
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
