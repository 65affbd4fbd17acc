"""
The service's HTTP interface: requests in, replies out.

Source of paths, methods and shapes: the service's API reference and the vendor's SDK 24.11.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from batchfetch.endpoints import ENDPOINTS, TOKEN_PATH
from batchfetch.sandbox.faults import FaultPlan, instead_of_answer, touches
from batchfetch.sandbox.filters import Filter
from batchfetch.sandbox.responses import (
    Response,
    file_response,
    json_response,
    problem_response,
    task_response,
    text_response,
)
from batchfetch.sandbox.settings import SandboxSettings
from batchfetch.sandbox.submissions import FILTERS, read_image
from batchfetch.sandbox.tally import Tally
from batchfetch.sandbox.tasks import Tasks
from batchfetch.sandbox.tokens import Refusal, TokenDesk
from batchfetch.sandbox.wire import send

STATUS_PATH = "/v5.0/ocr/Utilities/GetTaskStatus"

Handler = Callable[[web.Request], Awaitable[Response]]


class Api:
    """
    Answers every request the service knows, and counts them all.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._slow_time = settings.slow_time
        self._clock = clock
        self._faults = FaultPlan(settings.faults, settings.seed)
        self._handlers = self._routes()
        self.tally = Tally()
        self.desk = TokenDesk(life=settings.token_life, seed=settings.seed)
        self.tasks = Tasks(settings, clock)

    def _routes(self) -> Mapping[tuple[str, str], Handler]:
        routes: dict[tuple[str, str], Handler] = {
            ("GET", ENDPOINTS["task"]): self._result,
            ("GET", ENDPOINTS["file"]): self._file,
            ("GET", STATUS_PATH): self._status,
        }
        for kind in Filter:
            routes["GET", ENDPOINTS[kind]] = self._result
            routes["DELETE", ENDPOINTS[kind]] = self._cancel
        for path in FILTERS:
            routes["POST", path] = self._submit
        return {(method, path.lower()): handler for (method, path), handler in routes.items()}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """
        Answer one request.  Paths and ids are compared without regard to case.
        """
        try:
            return await self._answer(request)
        except ConnectionError:
            # The client has left.  What it does not send or read is not our failure.
            return web.Response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lower()
        if path == TOKEN_PATH:
            self.tally.token_requests += 1
            return await send(request, await self._token(request))

        task_id = request.query.get("id", "").lower()
        attempt = self.tally.count_call(task_id)
        if (refusal := self._refusal(request, path)) is not None:
            return await send(request, refusal)
        fault = self._faults.pick(task_id, attempt)
        reply = instead_of_answer(fault, request.path) if fault else None
        if reply is None:
            reply = await self._handlers[request.method, path](request)
        if fault is None or not touches(fault, reply):
            return await send(request, reply)
        self.tally.faults[fault] += 1
        reply = self._faults.spoil(reply, fault, task_id, attempt)
        return await send(request, reply, fault, slow_time=self._slow_time)

    def _refusal(self, request: web.Request, path: str) -> Response | None:
        if (request.method, path) not in self._handlers:
            if any(known == path for _, known in self._handlers):
                return problem_response(405, "The path is not for this method.", request.path)
            return problem_response(404, "There is no such path.", request.path)
        if not self.desk.accepts(request.headers.get("Authorization", ""), self._clock()):
            detail = "The access token is missing, unknown or expired."
            return problem_response(401, detail, request.path, {"WWW-Authenticate": "Bearer"})
        if request.method != "POST" and not request.query.get("id"):
            return problem_response(400, "The id is missing.", request.path)
        return None

    async def _token(self, request: web.Request) -> Response:
        if request.method != "POST":
            return problem_response(405, "The path is not for this method.", request.path)
        try:
            form = await request.post()
        except (ValueError, LookupError):  # Not the encoding it claims, or none that exists.
            return json_response({"error": "invalid_request"}, 400)
        token = self.desk.issue(
            str(form.get("grant_type", "")),
            str(form.get("client_id", "")),
            str(form.get("client_secret", "")),
            self._clock(),
        )
        if isinstance(token, Refusal):
            if token.retry_after is None:
                return json_response({"error": token.error}, 400)
            headers = {"Retry-After": str(token.retry_after)}
            return json_response({"error": token.error}, 429, headers)
        life = round(self.desk.life)
        return json_response({"access_token": token, "expires_in": life, "token_type": "Bearer"})

    async def _result(self, request: web.Request) -> Response:
        task_id = request.query["id"]
        task, status = self.tasks.look(task_id)
        return task_response(task_id, status, task, await self.tasks.image(task, status))

    async def _file(self, request: web.Request) -> Response:
        return file_response(await self.tasks.image(*self.tasks.look(request.query["id"])))

    async def _status(self, request: web.Request) -> Response:
        task_id = request.query["id"]
        task, status = self.tasks.look(task_id)
        return task_response(task_id, status, task, None)

    async def _cancel(self, request: web.Request) -> Response:
        self.tasks.cancel(request.query["id"])
        return Response(200)

    async def _submit(self, request: web.Request) -> Response:
        try:
            image = await read_image(request)
        except ValueError as exc:
            return problem_response(400, str(exc), request.path)
        task_id = await self.tasks.submit(FILTERS[request.path.lower()], image)
        return text_response(task_id, request.headers.get("Accept", ""))
