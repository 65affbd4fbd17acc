"""
Injected faults: their selection, and their effect on a client.
"""

import asyncio
import base64
import json
from collections import Counter
from urllib.parse import urlsplit

import aiohttp
import anyio
import pytest

from batchfetch.endpoints import ENDPOINTS
from batchfetch.sandbox import ACCESS_TOKEN, InjectedFault, SandboxSettings, open_sandbox
from batchfetch.sandbox.faults import FaultPlan
from batchfetch.sandbox.filters import Filter
from batchfetch.sandbox.pages import draw_page
from batchfetch.sandbox.submissions import digest_of, new_task_id

pytestmark = pytest.mark.anyio

BEARER = {"Authorization": f"Bearer {ACCESS_TOKEN}"}
TARGET = f"{ENDPOINTS['task']}?id=sample-small"
GRANT = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "secret"}
SMALL = draw_page("sample-small", 4096, 0)


def failing(fault, **settings):
    return open_sandbox(SandboxSettings(faults={fault: 1}, processing_time=0, **settings))


async def raw_answer(url):
    """
    Return all bytes of a response on a plain connection; raise if it is reset.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        head = f"GET {TARGET} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ACCESS_TOKEN}\r\n\r\n"
        writer.write(head.encode())
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("500", 500)])
async def test_a_status_instead_of_an_answer(fault, status):
    """
    Faults with an HTTP status are problem documents; only a 429 has Retry-After.
    """
    async with (
        failing(fault) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
        client.get(TARGET) as response,
    ):
        assert (response.status, response.content_type) == (status, "application/problem+json")
        assert response.headers.get("Retry-After") == ("1" if status == 429 else None)
    assert sandbox.faults == {InjectedFault(fault): 1}


async def test_a_reset_is_a_reset():
    """
    The connection is reset, not closed, before the first byte of a response.
    """
    async with failing("reset") as sandbox:
        with pytest.raises(ConnectionResetError):
            await raw_answer(sandbox.url)
    assert sandbox.calls_by_task == {"sample-small": 1}


async def test_a_truncated_body_is_shorter_than_announced():
    """
    The full length is announced, half of it is sent, then the connection is closed.
    """
    async with failing("truncate") as sandbox:
        head, _, body = (await raw_answer(sandbox.url)).partition(b"\r\n\r\n")
    announced = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert len(body) == announced // 2


async def test_a_client_notices_a_truncated_body():
    """
    An HTTP client reports a truncated body as an error, also for an image of many pieces.
    """
    async with (
        failing("truncate") as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
        client.get(ENDPOINTS["file"], params={"id": "sample-big"}) as response,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_corrupt_image_has_one_wrong_bit():
    """
    A corrupt response is valid JSON and base64 with one bit of the image flipped.
    """
    async with (
        failing("corrupt") as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
        client.get(TARGET) as response,
    ):
        answer = await response.json()
    image = base64.b64decode(answer["results"][0]["data"], validate=True)
    flipped = int.from_bytes(image) ^ int.from_bytes(SMALL)
    assert (len(image), flipped.bit_count()) == (len(SMALL), 1)


@pytest.mark.parametrize("fault", ["corrupt", "truncate", "slow"])
async def test_a_response_without_a_body_has_no_fault(fault):
    """
    A response without a body is not altered and not counted as a fault.
    """
    async with (
        failing(fault) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
        client.get(ENDPOINTS["file"], params={"id": "sample-unknown"}) as response,
    ):
        assert (response.status, await response.read()) == (204, b"")
    assert sandbox.faults == {}


async def test_a_slow_response_is_complete():
    """
    A slow body arrives in many pieces and is complete in the end.
    """
    async with (
        failing("slow", slow_time=0.05) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
        client.get(TARGET) as response,
    ):
        pieces = [piece async for piece in response.content.iter_any()]
    answer = json.loads(b"".join(pieces))
    assert base64.b64decode(answer["results"][0]["data"]) == SMALL
    assert len(pieces) > 5


async def test_a_slow_response_does_not_delay_the_shutdown():
    """
    Leaving the block cancels responses that would take an hour.
    """
    with anyio.fail_after(60):
        async with aiohttp.ClientSession(headers=BEARER) as client:
            async with failing("slow", slow_time=3600) as sandbox:
                response = await client.get(sandbox.url + TARGET)
                await response.content.readany()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_a_client_that_disconnects_is_not_an_error(caplog):
    """
    The stand-in goes on, and logs nothing, when a client aborts a large response.
    """
    async with (
        open_sandbox(SandboxSettings(processing_time=0)) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        response = await client.get(ENDPOINTS["file"], params={"id": "sample-big"})
        response.close()
        async with client.get(TARGET) as response:
            assert (await response.json())["taskStatus"] == "Completed"
    assert not caplog.records


async def test_token_requests_have_no_faults():
    """
    Faults are never injected into token requests.
    """
    async with (
        failing("500") as sandbox,
        aiohttp.ClientSession(sandbox.url) as client,
        client.post("/connect/token", data=GRANT) as response,
    ):
        assert response.status == 200


def test_every_kind_has_its_share():
    """
    Over many requests each fault is about as frequent as its share.
    """
    shares = {InjectedFault.RESET: 0.1, InjectedFault.CORRUPT: 0.3}
    plan = FaultPlan(shares, seed=3)
    drawn = Counter(plan.pick(str(number), 1) for number in range(5000))
    assert drawn.keys() == {InjectedFault.RESET, InjectedFault.CORRUPT, None}
    assert [drawn[fault] / 5000 for fault in shares] == pytest.approx(
        list(shares.values()), abs=0.02
    )


def test_a_fault_depends_on_seed_task_and_attempt_only():
    """
    The same request has the same fault, independent of the requests before it.
    """
    shares = {InjectedFault.RESET: 0.5}
    requests = [(f"task {number}", attempt) for number in range(20) for attempt in (1, 2, 3)]
    plan, again, other = (FaultPlan(shares, seed) for seed in (1, 1, 2))
    picked = {request: plan.pick(*request) for request in requests}
    assert {request: again.pick(*request) for request in reversed(requests)} == picked
    assert {request: other.pick(*request) for request in requests} != picked


def test_a_task_does_not_fail_for_ever():
    """
    The fault of each attempt is drawn independently, so a repeated request succeeds in the end.
    """
    plan = FaultPlan({InjectedFault.RESET: 0.5}, seed=1)
    assert {plan.pick("a", attempt) for attempt in range(1, 20)} == {InjectedFault.RESET, None}


async def test_a_lost_answer_is_of_an_image_that_was_accepted():
    """
    The connection is closed without an answer, and the task exists all the same.
    """
    body = {"image": base64.b64encode(SMALL).decode()}
    async with (
        failing("lose", filters=False) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post(ENDPOINTS["deskew"], json=body)
        assert (sandbox.submissions, sandbox.images) == (1, 1)
        assert sandbox.faults == {InjectedFault.LOSE: 1}
        task_id = new_task_id(0, digest_of(Filter.DESKEW, SMALL), 1)
        async with client.get(ENDPOINTS["task"], params={"id": task_id}) as response:
            assert (await response.json())["taskStatus"] == "Completed"


async def test_only_an_accepted_image_can_be_lost():
    """
    Other answers are given: results, and the refusal of what is no image.
    """
    async with (
        failing("lose") as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        async with client.get(TARGET) as response:
            assert response.status == 200
        async with client.post(ENDPOINTS["deskew"], json={"image": ""}) as response:
            assert response.status == 400
    assert (sandbox.submissions, sandbox.faults) == (0, {})
