"""
The service without its HTTP: tasks come in, wait their turn, and have an answer.
"""

from collections.abc import Callable

import anyio.to_thread

from batchfetch.models import TaskStatus
from batchfetch.sandbox.filters import Filter, apply_filter
from batchfetch.sandbox.queue import Task, TaskQueue
from batchfetch.sandbox.scenario import Script, script_for
from batchfetch.sandbox.settings import SandboxSettings
from batchfetch.sandbox.studio import Studio
from batchfetch.sandbox.submissions import new_task_id

RUN_GAP = 60
"""Seconds without a question after which the next one begins a new run."""


class Tasks:
    """
    Every task there is.  *clock* returns seconds and never goes back.

    Clients ask for ids that nobody submitted here.  They believe to have submitted them before
    they began to ask, so that is when those tasks came in, in the order they are asked for.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._submitted = 0
        self._run_began = self._last_asked = float("-inf")
        self._studio = Studio(seed=settings.seed, largest=settings.largest_image)
        self._queue = TaskQueue(
            workers=settings.workers,
            processing_time=settings.processing_time,
            expire_after=settings.expire_after,
        )

    def find(self, task_id: str) -> Task | None:
        """
        Return the task of that id, as part of this run if it is new; None if it is unknown.
        """
        now = self._clock()
        if now - self._last_asked >= RUN_GAP:
            self._run_began = now
        self._last_asked = now
        if (task := self._queue.find(task_id)) is not None:
            return task
        if (script := script_for(task_id)) is None:
            return None
        # What is held is to be seen waiting, however late in the run it is asked for.
        return self._queue.submit(task_id, script, now if script.held else self._run_began)

    def look(self, task_id: str) -> tuple[Task | None, TaskStatus]:
        """
        Return the task of that id and where it stands now.
        """
        if (task := self.find(task_id)) is None:
            return None, TaskStatus.NOT_EXIST
        return task, self._queue.status(task, self._clock())

    def cancel(self, task_id: str) -> None:
        """
        Take the task of that id out of the queue, if it is still waiting there.
        """
        if (task := self.find(task_id)) is not None:
            self._queue.cancel(task, self._clock())

    async def submit(self, kind: Filter, image: bytes) -> str:
        """
        Queue *image* and return its task's id.  What cannot be filtered ends in Error.
        """
        script = await anyio.to_thread.run_sync(
            _process, kind, image, self._settings.filters, limiter=self._studio.limiter
        )
        self._submitted += 1
        task_id = new_task_id(self._settings.seed, self._submitted)
        self._queue.submit(task_id, script, self._clock())
        return task_id

    async def image(self, task: Task | None, status: TaskStatus) -> bytes | None:
        """
        Return the PNG that *task* has completed with, or None if there is none.
        """
        if task is None or status is not TaskStatus.COMPLETED or task.script.lost:
            return None
        return task.script.image or await self._studio.page(task.task_id, task.script.page_bytes)


def _process(kind: Filter, image: bytes, with_pillow: bool) -> Script:  # noqa: FBT001 - a thread takes no keywords
    try:
        return Script(image=apply_filter(kind, image, with_pillow=with_pillow))
    except ValueError as exc:
        return Script(failed=True, messages=(str(exc),))
