"""
The stand-in over real HTTP: tokens, tasks and responses.
"""

import base64
import io
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from PIL import Image

from batchfetch.endpoints import ENDPOINTS
from batchfetch.errors import SettingsError
from batchfetch.sandbox import ACCESS_TOKEN, SandboxSettings, open_sandbox

pytestmark = pytest.mark.anyio

BEARER = {"Authorization": f"Bearer {ACCESS_TOKEN}"}
UNCOMPRESSED = {"Accept-Encoding": "identity"}
RESULT = ENDPOINTS["task"]
FILE = ENDPOINTS["file"]
GRANT = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "secret"}
NIL = "00000000-0000-0000-0000-000000000000"


class Clock:
    """
    A clock that stands still until it is set.
    """

    now = 0.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def serving(clock=None, **settings):
    """
    Open a stand-in and a client with its published token.
    """
    settings = {"largest_image": 20_000} | settings
    async with (
        open_sandbox(SandboxSettings(**settings), clock=clock or Clock()) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        yield sandbox, client


async def ask(client, task_id, path=RESULT):
    async with client.get(path, params={"id": task_id}) as response:
        assert response.status == 200
        return await response.json()


async def test_the_documented_response():
    """
    The response for a completed task is the documented JSON with a PNG in base64.
    """
    async with serving(processing_time=0) as (_, client):
        answer = await ask(client, "some-task")
    image = base64.b64decode(answer["results"][0].pop("data"), validate=True)
    assert answer == {
        "id": "some-task",
        "responseStatusCode": "Ok",
        "taskStatus": "Completed",
        "results": [{"type": "ImagePNG"}],
        "error": None,
    }
    Image.open(io.BytesIO(image)).load()


async def test_an_image_of_many_pieces_arrives_whole():
    """
    A page of megabytes is one valid base64 text of the announced length.
    """
    async with (
        serving(processing_time=0) as (_, client),
        client.get(RESULT, params={"id": "sample-big"}, headers=UNCOMPRESSED) as response,
    ):
        body = await response.read()
        assert len(body) == response.content_length > 6 * 2**20
        answer = await response.json()
    data = base64.b64decode(answer["results"][0]["data"], validate=True)
    Image.open(io.BytesIO(data)).load()


async def test_responses_are_compressed_on_request():
    """
    A client that accepts gzip gets the same document in about three quarters of the bytes.
    """
    answers, sizes = [], []
    async with serving(processing_time=0) as (_, client):
        for coding in ("identity", "gzip"):
            headers = {"Accept-Encoding": coding}
            async with client.get(RESULT, params={"id": "a"}, headers=headers) as response:
                assert response.headers.get("Content-Encoding", "identity") == coding
                answers.append(await response.json())
                sizes.append(response.content.total_raw_bytes)
    assert answers[0] == answers[1]
    assert sizes[1] / sizes[0] == pytest.approx(0.76, abs=0.03)


async def test_an_unknown_id_is_submitted_at_its_first_request():
    """
    An id that was not submitted is in the queue from its first request on.
    """
    clock = Clock()
    async with serving(clock, processing_time=5) as (_, client):
        clock.now = 100
        first = await ask(client, "some-task")
        clock.now = 105
        second = await ask(client, "some-task")
    assert (first["taskStatus"], first["responseStatusCode"]) == ("Processing", "NotReady")
    assert (first["results"], first["error"]) == (None, None)
    assert second["taskStatus"] == "Completed"


async def test_all_tasks_of_a_run_count_as_submitted_at_its_start():
    """
    All tasks of a client count as submitted at its first request, in the order of its requests.
    """
    clock = Clock()
    async with serving(clock, workers=1, processing_time=5) as (_, client):
        statuses = []
        for clock.now, task_id in ((100, "a"), (109, "b"), (114, "c"), (115, "c")):
            statuses.append((await ask(client, task_id))["taskStatus"])
    assert statuses == ["Processing", "Processing", "Processing", "Completed"]


async def test_a_new_run_begins_after_a_pause():
    """
    A minute after the last request, a new id counts as submitted now.
    """
    clock = Clock()
    async with serving(clock, processing_time=5) as (_, client):
        statuses = []
        for clock.now, task_id in ((0, "a"), (59, "b"), (119, "c")):
            statuses.append((await ask(client, task_id))["taskStatus"])
    assert statuses == ["Processing", "Completed", "Processing"]


async def test_tasks_can_be_submitted_beforehand():
    """
    Tasks submitted together are processed in that order from then on.
    """
    clock = Clock()
    async with serving(clock, workers=1, processing_time=5) as (sandbox, client):
        sandbox.submit_all(["a", "b", "c"])
        clock.now = 9
        answers = [await ask(client, task_id) for task_id in "cba"]
    assert [answer["taskStatus"] for answer in answers] == ["Pending", "Processing", "Completed"]


async def test_results_expire():
    """
    A result that is kept no longer does not exist.
    """
    clock = Clock()
    async with serving(clock, processing_time=0, expire_after="24h") as (_, client):
        answers = []
        for clock.now in (0, 24 * 3600 - 1, 24 * 3600):
            answers.append(await ask(client, "some-task"))
    assert [answer["taskStatus"] for answer in answers] == ["Completed", "Completed", "NotExist"]


@pytest.mark.parametrize(
    ("task_id", "status", "code", "error"),
    [
        (NIL, "NotExist", "TaskNotFound", None),
        ("sample-unknown", "NotExist", "TaskNotFound", None),
        (
            "SAMPLE-ERROR",
            "Error",
            "Error",
            {"messages": ["The image is damaged: no pixels found."], "warnings": []},
        ),
        (
            "sample-lost",
            "Completed",
            "ResultDataLost",
            {"messages": [], "warnings": ["The result was lost in storage."]},
        ),
    ],
)
async def test_well_known_ids_without_an_image(task_id, status, code, error):
    """
    Well-known ids have their documented results.
    """
    async with serving(processing_time=0) as (_, client):
        answer = await ask(client, task_id)
    assert answer == {
        "id": task_id,
        "responseStatusCode": code,
        "taskStatus": status,
        "results": None,
        "error": error,
    }


async def test_warnings_come_with_a_completed_task():
    """
    A completed task can have warnings as well as an image.
    """
    async with serving(processing_time=0) as (_, client):
        answer = await ask(client, "sample-warning")
    assert answer["taskStatus"] == "Completed"
    assert answer["results"]
    assert answer["error"]["warnings"] == ["The resolution is below 150 dpi."]


async def test_the_pending_sample_is_pending_for_three_seconds():
    """
    One well-known task is Pending for three seconds from its first request.
    """
    clock = Clock()
    async with serving(clock) as (_, client):
        statuses = []
        await ask(client, "another-task")
        for clock.now in (50, 52.9, 53, 53.5):
            statuses.append((await ask(client, "sample-pending"))["taskStatus"])
    assert statuses == ["Pending", "Pending", "Processing", "Completed"]


async def test_the_case_of_ids_and_paths_is_ignored():
    """
    Paths and ids are accepted in any case; the task keeps the first spelling of its id.
    """
    async with serving(processing_time=0) as (sandbox, client):
        one = await ask(client, "Some-Task")
        other = await ask(client, "some-task", RESULT.upper())
    assert one == other
    assert sandbox.calls_by_task == {"some-task": 2}


@pytest.mark.parametrize("name", ["deskew", "dewarp", "upscale", "binarize"])
async def test_the_replacements_answer_the_same(name):
    """
    Each replacement of GetResultTask returns the same document.
    """
    async with serving(processing_time=0) as (_, client):
        assert await ask(client, "a", ENDPOINTS[name]) == await ask(client, "a")


async def test_the_file_endpoint_gives_the_png_itself():
    """
    GetResultFile returns the bytes that GetResultTask encodes in base64.
    """
    async with serving(processing_time=0) as (_, client):
        answer = await ask(client, "a")
        async with client.get(FILE, params={"id": "a"}) as response:
            assert response.content_type == "image/png"
            image = await response.read()
    assert image == base64.b64decode(answer["results"][0]["data"])


@pytest.mark.parametrize("task_id", ["sample-pending", "sample-error", NIL])
async def test_the_file_endpoint_has_no_body_without_an_image(task_id):
    """
    GetResultFile returns 204 without a body for every task that is not completed.
    """
    async with (
        serving(processing_time=0) as (_, client),
        client.get(FILE, params={"id": task_id}) as response,
    ):
        assert (response.status, await response.read()) == (204, b"")


async def test_the_status_endpoint_has_no_results():
    """
    GetTaskStatus returns the status of a completed task without its image.
    """
    async with serving(processing_time=0) as (_, client):
        answer = await ask(client, "a", "/v5.0/ocr/Utilities/GetTaskStatus")
    assert (answer["taskStatus"], answer["results"]) == ("Completed", None)


async def test_a_waiting_task_can_be_deleted():
    """
    DELETE removes a waiting task from the queue, but not one that is being processed.
    """
    clock = Clock()
    async with serving(clock, workers=1) as (sandbox, client):
        sandbox.submit_all(["a", "b"])
        for task_id in ("a", "b", NIL):
            async with client.delete(ENDPOINTS["deskew"], params={"id": task_id}) as response:
                assert (response.status, response.content_length) == (200, 0)
        clock.now = 10
        answers = [await ask(client, task_id) for task_id in "ab"]
    assert [answer["taskStatus"] for answer in answers] == ["Completed", "NotExist"]


async def test_a_token_is_issued_and_expires():
    """
    A token is issued for any credentials and is valid for the announced time.
    """
    clock = Clock()
    async with serving(clock, token_life="2m") as (sandbox, client):
        async with client.post("/connect/token", data=GRANT) as response:
            token = await response.json()
        assert (token["expires_in"], token["token_type"]) == (120, "Bearer")
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        statuses = []
        for clock.now in (119, 120):
            async with client.get(RESULT, params={"id": "a"}, headers=bearer) as response:
                statuses.append(response.status)
    assert statuses == [200, 401]
    assert (sandbox.token_requests, sandbox.calls) == (1, 2)


async def test_tokens_can_be_revoked():
    """
    A token issued before the revocation is refused.
    """
    async with serving() as (sandbox, client):
        async with client.post("/connect/token", data=GRANT) as response:
            token = await response.json()
        sandbox.revoke_tokens()
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        async with client.get(RESULT, params={"id": "a"}, headers=bearer) as response:
            assert response.status == 401


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset"])
async def test_a_malformed_token_request_is_refused(charset):
    """
    A form that is not in its declared encoding gets 400.
    """
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    async with (
        serving() as (_, client),
        client.post("/connect/token", data=b"grant_type=\xff", headers=headers) as response,
    ):
        assert (response.status, await response.json()) == (400, {"error": "invalid_request"})


async def test_refused_credentials_are_counted():
    """
    Five bad token requests get 400, the sixth gets 429 with the documented ten minutes.
    """
    async with serving() as (_, client):
        answers = []
        for _ in range(6):
            async with client.post("/connect/token", data=GRANT | {"client_id": ""}) as response:
                answers.append((response.status, response.headers.get("Retry-After")))
    assert answers == [(400, None)] * 5 + [(429, "600")]


@pytest.mark.parametrize("path", [RESULT, FILE, ENDPOINTS["binarize"]])
async def test_a_request_without_a_token_gets_a_problem_document(path):
    """
    A request without a valid token gets 401 with an RFC 7807 document, and counts as a call.
    """
    async with (
        serving() as (sandbox, client),
        client.get(path, params={"id": "a"}, headers={"Authorization": "Bearer x"}) as response,
    ):
        problem = await response.json()
        assert response.content_type == "application/problem+json"
    assert problem.keys() == {"type", "title", "status", "detail", "instance"}
    assert (response.status, problem["status"], problem["instance"]) == (401, 401, path)
    assert sandbox.calls == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v5.0/ocr/Nothing", 404),
        ("GET", "/", 404),
        ("PUT", RESULT, 405),
        ("GET", "/connect/token", 405),
        ("GET", RESULT, 400),
        ("GET", RESULT + "?id=", 400),
    ],
)
async def test_unsupported_requests_get_a_problem_document(method, path, status):
    """
    Unknown paths, unsupported methods and a missing id each get their status.
    """
    async with serving() as (_, client), client.request(method, path) as response:
        assert response.status == status
        assert (await response.json())["status"] == status


async def test_calls_are_counted_by_task():
    """
    Every API call is counted, and token requests are counted separately.
    """
    async with serving(processing_time=0) as (sandbox, client):
        for task_id in ("a", "B", "b"):
            await ask(client, task_id)
        async with client.post("/connect/token", data=GRANT):
            pass
    assert (sandbox.calls, sandbox.token_requests) == (3, 1)
    assert sandbox.calls_by_task == {"a": 1, "b": 2}


async def test_the_same_seed_gives_the_same_image():
    """
    Two stand-ins draw the same page if their seeds are the same.
    """
    pages = []
    for seed in (1, 1, 2):
        async with serving(processing_time=0, seed=seed) as (_, client):
            pages.append((await ask(client, "a"))["results"])
    assert pages[0] == pages[1] != pages[2]


async def test_a_port_in_use_is_a_settings_error():
    """
    A port in use gives an error that names the address.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: "):
            async with open_sandbox(SandboxSettings(port=port)):
                pass


async def test_a_numeric_ipv6_host_is_bracketed():
    """
    The root URL is valid for an IPv6 address as well.
    """
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with (
        open_sandbox(SandboxSettings(host="::1")) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        assert sandbox.url.startswith("http://[::1]:")
        assert (await ask(client, NIL))["taskStatus"] == "NotExist"


async def test_a_chosen_port_is_listened_on():
    """
    The root URL has the configured port.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with open_sandbox(SandboxSettings(port=port)) as sandbox:
        assert sandbox.url == f"http://127.0.0.1:{port}"
