"""
HTTP interface of the stand-in: routing, authorization, faults and responses.

Source of paths, methods and documents: the service's API reference and the vendor's SDK 24.11.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio.to_thread
from aiohttp import web

from batchfetch.endpoints import ENDPOINTS, TOKEN_PATH
from batchfetch.sandbox.faults import FaultPlan, applies_to, replacement_response
from batchfetch.sandbox.filters import Filter
from batchfetch.sandbox.responses import (
    Response,
    acceptance,
    file_response,
    json_response,
    problem_response,
    task_response,
)
from batchfetch.sandbox.settings import InjectedFault, SandboxSettings
from batchfetch.sandbox.submissions import FILTERS, digest_of, read_image
from batchfetch.sandbox.tally import Tally
from batchfetch.sandbox.tasks import Tasks
from batchfetch.sandbox.tokens import Refusal, TokenIssuer
from batchfetch.sandbox.wire import send

STATUS_PATH = "/v5.0/ocr/Utilities/GetTaskStatus"

TALLY_PATH = "/tally"
"""What was counted so far.  The service has no such path."""

Handler = Callable[[web.Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    A request and the response that is sent to it, for a log.
    """

    method: str
    target: str
    """Path and query, as they were asked for."""

    status: int
    note: str
    """The task's status, or what is wrong with the request; may be empty."""

    fault: InjectedFault | None

    def __str__(self) -> str:
        fault = f"injected fault {self.fault}" if self.fault else ""
        note = "" if self.fault and self.status >= 400 else self.note  # It says the same.
        answer = ", ".join(filter(None, (str(self.status), note, fault)))
        return f"{self.method} {self.target}: {answer}"


class Api:
    """
    Handles the requests to the service's documented paths, and counts all requests.

    *tell* is told of each, just before its response is sent.
    """

    def __init__(
        self,
        settings: SandboxSettings,
        clock: Callable[[], float],
        tell: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._tell = tell
        self._slow_time = settings.slow_time
        self._clock = clock
        self._faults = FaultPlan(settings.faults, settings.seed)
        self._handlers = self._routes()
        self.tally = Tally()
        self.tokens = TokenIssuer(life=settings.token_life, seed=settings.seed)
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
        Handle one request.  The case of paths and ids is ignored.
        """
        try:
            return await self._answer(request)
        except ConnectionError:
            # The client has closed the connection, which is not an error of the server.
            return web.Response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        response, fault = await self._response(request)
        if self._tell is not None:
            exchange = (request.method, request.path_qs, response.status, response.note, fault)
            self._tell(Exchange(*exchange))
        return await send(request, response, fault, slow_time=self._slow_time)

    async def _response(self, request: web.Request) -> tuple[Response, InjectedFault | None]:
        """
        Return the response to *request*, and the fault that is injected into it, if any.
        """
        path = request.path.lower()
        if path == TOKEN_PATH:
            self.tally.token_requests += 1
            return await self._token(request), None
        if path == TALLY_PATH and request.method == "GET":
            return json_response(self.tally.as_json()), None

        task_id = request.query.get("id", "").lower()
        attempt = self.tally.count_call(task_id)
        if (refusal := self._refusal(request, path)) is not None:
            return refusal, None
        fault = self._faults.pick(task_id, attempt)
        response = replacement_response(fault, request.path) if fault else None
        if response is None:
            response = await self._handlers[request.method, path](request)
        if fault is None or not applies_to(fault, response):
            return response, None
        self.tally.faults[fault] += 1
        return self._faults.alter(response, fault, task_id, attempt), fault

    def _refusal(self, request: web.Request, path: str) -> Response | None:
        if (request.method, path) not in self._handlers:
            if any(known == path for _, known in self._handlers):
                return problem_response(405, "The path is not for this method.", request.path)
            return problem_response(404, "There is no such path.", request.path)
        if not self.tokens.accepts(request.headers.get("Authorization", ""), self._clock()):
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
        except (ValueError, LookupError):  # Not in the declared encoding, or an unknown encoding.
            return json_response({"error": "invalid_request"}, 400)
        token = self.tokens.issue(
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
        life = round(self.tokens.life)
        return json_response({"access_token": token, "expires_in": life, "token_type": "Bearer"})

    async def _result(self, request: web.Request) -> Response:
        task_id = request.query["id"]
        task, status = self.tasks.find_with_status(task_id)
        return task_response(task_id, status, task, await self.tasks.image(task, status))

    async def _file(self, request: web.Request) -> Response:
        return file_response(
            await self.tasks.image(*self.tasks.find_with_status(request.query["id"]))
        )

    async def _status(self, request: web.Request) -> Response:
        task_id = request.query["id"]
        task, status = self.tasks.find_with_status(task_id)
        return task_response(task_id, status, task, None)

    async def _cancel(self, request: web.Request) -> Response:
        self.tasks.cancel(request.query["id"])
        return Response(200)

    async def _submit(self, request: web.Request) -> Response:
        try:
            image = await read_image(request)
        except ValueError as exc:
            return problem_response(400, str(exc), request.path)
        kind = FILTERS[request.path.lower()]
        digest = await anyio.to_thread.run_sync(digest_of, kind, image)
        task_id = await self.tasks.submit(kind, image, digest)
        self.tally.count_submission(digest)
        return acceptance(task_id, request.headers.get("Accept", ""))
