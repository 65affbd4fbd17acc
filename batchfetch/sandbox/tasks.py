"""
Tasks of the stand-in: submission, queue, status and image, independent of HTTP.
"""

from collections import Counter
from collections.abc import Callable

import anyio.to_thread

from batchfetch.models import TaskStatus
from batchfetch.sandbox.filters import Filter, apply_filter
from batchfetch.sandbox.queue import Task, TaskQueue
from batchfetch.sandbox.renderer import PageRenderer
from batchfetch.sandbox.scenario import Script, script_for
from batchfetch.sandbox.settings import SandboxSettings
from batchfetch.sandbox.submissions import new_task_id

RUN_GAP = 60
"""Seconds without a request after which the next one begins a new run."""


class Tasks:
    """
    All tasks of the stand-in.  *clock* returns seconds and never goes back.

    Clients also request ids that were not submitted here.  Such a task counts as submitted at the
    first request of the client's run, in the order of the first requests.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._submitted: Counter[bytes] = Counter()
        self._run_began = self._last_request = float("-inf")
        self._renderer = PageRenderer(seed=settings.seed, largest=settings.largest_image)
        self._queue = TaskQueue(
            workers=settings.workers,
            processing_time=settings.processing_time,
            expire_after=settings.expire_after,
        )

    def find(self, task_id: str) -> Task | None:
        """
        Return the task with *task_id*, submitted in this run if it is new; None if unknown.
        """
        now = self._clock()
        if now - self._last_request >= RUN_GAP:
            self._run_began = now
        self._last_request = now
        if (task := self._queue.find(task_id)) is not None:
            return task
        if (script := script_for(task_id)) is None:
            return None
        # A held task is submitted now, so that it is Pending at its first request in any case.
        return self._queue.submit(task_id, script, now if script.held else self._run_began)

    def find_with_status(self, task_id: str) -> tuple[Task | None, TaskStatus]:
        """
        Return the task with *task_id*, or None if it is unknown, and its status now.
        """
        if (task := self.find(task_id)) is None:
            return None, TaskStatus.NOT_EXIST
        return task, self._queue.status(task, self._clock())

    def cancel(self, task_id: str) -> None:
        """
        Remove the task with *task_id* from the queue, if it is still waiting.
        """
        if (task := self.find(task_id)) is not None:
            self._queue.cancel(task, self._clock())

    async def submit(self, kind: Filter, image: bytes, digest: bytes) -> str:
        """
        Submit *image*, which has this *digest*, and return the task's id; the task ends in Error if
        the filter fails.
        """
        script = await anyio.to_thread.run_sync(
            _process, kind, image, self._settings.filters, limiter=self._renderer.limiter
        )
        self._submitted[digest] += 1
        task_id = new_task_id(self._settings.seed, digest, self._submitted[digest])
        self._queue.submit(task_id, script, self._clock())
        return task_id

    async def image(self, task: Task | None, status: TaskStatus) -> bytes | None:
        """
        Return the PNG of *task* if it has completed with one, otherwise None.
        """
        if task is None or status is not TaskStatus.COMPLETED or task.script.lost:
            return None
        return task.script.image or await self._renderer.page(task.task_id, task.script.page_bytes)


def _process(kind: Filter, image: bytes, with_pillow: bool) -> Script:  # noqa: FBT001 - a thread takes no keywords
    try:
        return Script(image=apply_filter(kind, image, with_pillow=with_pillow))
    except ValueError as exc:
        return Script(failed=True, messages=(str(exc),))
