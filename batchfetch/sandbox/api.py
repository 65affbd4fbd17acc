"""
The service's HTTP interface: requests in, replies out.

Source of paths, methods and shapes: the service's API reference and the vendor's SDK 24.11.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from batchfetch.endpoints import ENDPOINTS, TOKEN_PATH
from batchfetch.models import TaskStatus
from batchfetch.sandbox.faults import FaultPlan
from batchfetch.sandbox.queue import Task, TaskQueue
from batchfetch.sandbox.replies import (
    Reply,
    file_reply,
    json_reply,
    problem_reply,
    task_reply,
)
from batchfetch.sandbox.scenario import script_for
from batchfetch.sandbox.settings import Fault, SandboxSettings
from batchfetch.sandbox.studio import Studio
from batchfetch.sandbox.tally import Tally
from batchfetch.sandbox.tokens import Refusal, TokenDesk
from batchfetch.sandbox.wire import send

STATUS_PATH = "/v5.0/ocr/Utilities/GetTaskStatus"

Handler = Callable[[web.Request], Awaitable[Reply]]

# Faults that are answers in themselves: what was asked is not looked at.
_INSTEAD = {Fault.TOO_MANY_REQUESTS, Fault.SERVER_ERROR, Fault.RESET}


class Api:
    """
    Answers every request the service knows, and counts them.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._studio = Studio(seed=settings.seed, largest=settings.largest_image)
        self._faults = FaultPlan(settings.faults, settings.seed)
        self.tally = Tally()
        self.desk = TokenDesk(life=settings.token_life, seed=settings.seed)
        self.queue = TaskQueue(
            workers=settings.workers,
            processing_time=settings.processing_time,
            expire_after=settings.expire_after,
        )
        self._handlers = self._routes()

    def _routes(self) -> Mapping[tuple[str, str], Handler]:
        routes: dict[tuple[str, str], Handler] = {
            ("GET", ENDPOINTS["task"]): self._result,
            ("GET", ENDPOINTS["file"]): self._file,
            ("GET", STATUS_PATH): self._status,
        }
        for name in ("deskew", "dewarp", "upscale", "binarize"):
            routes["GET", ENDPOINTS[name]] = self._result
            routes["DELETE", ENDPOINTS[name]] = self._cancel
        return {(method, path.lower()): handler for (method, path), handler in routes.items()}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """
        Answer one request.  Paths and ids are compared without regard to case.
        """
        path = request.path.lower()
        if path == TOKEN_PATH:
            self.tally.token_requests += 1
            return await send(request, await self._token(request))

        subject = request.query.get("id", path).lower()
        attempt = self.tally.count_call(subject)
        if (refusal := self._refusal(request, path)) is not None:
            return await send(request, refusal)
        fault = self._faults.pick(subject, attempt)
        if fault in _INSTEAD:
            reply = Reply(200)
        else:
            reply = await self._handlers[request.method, path](request)
        if fault is not None:
            self.tally.faults[fault] += 1
            reply = self._faults.spoil(reply, fault, subject, attempt)
        return await send(request, reply, fault, slow_time=self._settings.slow_time)

    def submit(self, task_id: str) -> Task | None:
        """
        Return the task of that id, submitted now if it is new; None if it is to be unknown.
        """
        if (task := self.queue.find(task_id)) is not None:
            return task
        if (script := script_for(task_id)) is None:
            return None
        return self.queue.submit(task_id, script, self._clock())

    def _refusal(self, request: web.Request, path: str) -> Reply | None:
        if (request.method, path) not in self._handlers:
            if any(known == path for _, known in self._handlers):
                return problem_reply(405, "The path is not for this method.", request.path)
            return problem_reply(404, "There is no such path.", request.path)
        if not self.desk.accepts(request.headers.get("Authorization", ""), self._clock()):
            detail = "The access token is missing, unknown or expired."
            return problem_reply(401, detail, request.path, WWW_Authenticate="Bearer")
        if request.method != "POST" and not request.query.get("id"):
            return problem_reply(400, "The id is missing.", request.path)
        return None

    async def _token(self, request: web.Request) -> Reply:
        if request.method != "POST":
            return problem_reply(405, "The path is not for this method.", request.path)
        form = await request.post()
        token = self.desk.issue(
            str(form.get("grant_type", "")),
            str(form.get("client_id", "")),
            str(form.get("client_secret", "")),
            self._clock(),
        )
        if isinstance(token, Refusal):
            if token.retry_after is None:
                return json_reply({"error": token.error}, 400)
            return json_reply({"error": token.error}, 429, Retry_After=str(token.retry_after))
        life = round(self.desk.life)
        return json_reply({"access_token": token, "expires_in": life, "token_type": "Bearer"})

    async def _result(self, request: web.Request) -> Reply:
        task_id = request.query["id"]
        task, status = self._look(task_id)
        return task_reply(task_id, status, task, await self._image(task, status))

    async def _file(self, request: web.Request) -> Reply:
        return file_reply(await self._image(*self._look(request.query["id"])))

    async def _status(self, request: web.Request) -> Reply:
        task_id = request.query["id"]
        task, status = self._look(task_id)
        return task_reply(task_id, status, task, None)

    async def _cancel(self, request: web.Request) -> Reply:
        if (task := self.submit(request.query["id"])) is not None:
            self.queue.cancel(task, self._clock())
        return Reply(200)

    def _look(self, task_id: str) -> tuple[Task | None, TaskStatus]:
        task = self.submit(task_id)
        if task is None:
            return None, TaskStatus.NOT_EXIST
        return task, self.queue.status(task, self._clock())

    async def _image(self, task: Task | None, status: TaskStatus) -> bytes | None:
        if task is None or status is not TaskStatus.COMPLETED or task.script.lost:
            return None
        return task.script.image or await self._studio.page(task.task_id, task.script.page_bytes)
