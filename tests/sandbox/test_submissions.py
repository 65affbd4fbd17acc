"""
Submission of images to the stand-in over real HTTP.
"""

import asyncio
import base64
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from batchfetch.endpoints import ENDPOINTS
from batchfetch.sandbox import ACCESS_TOKEN, SandboxSettings, open_sandbox
from batchfetch.sandbox.pages import draw_page
from batchfetch.sandbox.submissions import FORM_PATHS, JSON_PATHS

pytestmark = pytest.mark.anyio

BEARER = {"Authorization": f"Bearer {ACCESS_TOKEN}"}
PAGE = draw_page("submitted", 10_000, 0)
FORM_PATH = "/v5.0/ocr/ImageProcessing/PostBinarizationFile"
JSON_PATH = ENDPOINTS["binarize"]


@asynccontextmanager
async def serving(**settings):
    settings = {"filters": False, "processing_time": 0} | settings
    async with (
        open_sandbox(SandboxSettings(**settings)) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        yield client


def form(image, name="file"):
    data = aiohttp.FormData()
    data.add_field("settings", "{}")
    data.add_field(name, image, filename="page.png", content_type="image/png")
    return data


async def submitted(client, path, **body):
    async with client.post(path, **body) as response:
        assert response.status == 200
        return await response.text()


async def fetched(client, task_id):
    async with client.get(ENDPOINTS["task"], params={"id": task_id}) as response:
        return await response.json()


@pytest.mark.parametrize("path", FORM_PATHS)
async def test_a_form_is_accepted(path):
    """
    Each deprecated submission accepts the form's field `file`, which becomes the result.
    """
    async with serving() as client:
        answer = await fetched(client, await submitted(client, path, data=form(PAGE)))
    assert base64.b64decode(answer["results"][0]["data"]) == PAGE


@pytest.mark.parametrize("path", JSON_PATHS)
async def test_json_is_accepted(path):
    """
    Each replacement accepts the image as base64 in JSON.
    """
    body = {"image": base64.b64encode(PAGE).decode()}
    async with serving() as client:
        answer = await fetched(client, await submitted(client, path, json=body))
    assert base64.b64decode(answer["results"][0]["data"]) == PAGE


async def test_the_id_is_json_on_request():
    """
    The id is returned as plain text, or as a JSON string if the client accepts JSON.
    """
    async with serving() as client:
        plain = await client.post(FORM_PATH, data=form(PAGE), headers={"Accept": "text/plain"})
        quoted = await client.post(
            FORM_PATH, data=form(PAGE), headers={"Accept": "application/json"}
        )
        assert (plain.content_type, quoted.content_type) == ("text/plain", "application/json")
        assert len(await plain.text()) == len(await quoted.json()) == 36


async def test_ids_are_new_and_repeatable():
    """
    Every submission gets a new id; the same seed gives the same sequence of ids.
    """
    runs = []
    for _ in range(2):
        async with serving(seed=5) as client:
            runs.append([await submitted(client, FORM_PATH, data=form(PAGE)) for _ in range(2)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2


async def test_a_submitted_task_waits_its_turn():
    """
    A submission is queued like any other task.
    """
    async with serving(workers=1, processing_time=3600) as client:
        task_ids = [await submitted(client, FORM_PATH, data=form(PAGE)) for _ in range(2)]
        answers = [await fetched(client, task_id) for task_id in task_ids]
    assert [answer["taskStatus"] for answer in answers] == ["Processing", "Pending"]


async def test_an_image_that_cannot_be_filtered_ends_in_error():
    """
    Without filters, an image that is not a PNG ends in Error and names the package to install.
    """
    async with serving() as client:
        answer = await fetched(
            client, await submitted(client, FORM_PATH, data=form(b"\xff\xd8\xff\xe0 a photo"))
        )
    assert (answer["taskStatus"], answer["results"]) == ("Error", None)
    assert "install batchfetch[filters]" in answer["error"]["messages"][0]


async def test_filters_are_applied():
    """
    With Pillow the result differs from the submitted image.
    """
    async with serving(filters=True) as client:
        answer = await fetched(client, await submitted(client, FORM_PATH, data=form(PAGE)))
    image = base64.b64decode(answer["results"][0]["data"])
    assert image.startswith(b"\x89PNG")
    assert image != PAGE


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        (FORM_PATH, {"data": form(PAGE, name="picture")}, "The form has no field named file."),
        (FORM_PATH, {"data": form(b"")}, "The image is empty."),
        (JSON_PATH, {"data": b"{"}, 'The body is not {"image": "<base64>"}.'),
        (JSON_PATH, {"json": {"picture": ""}}, 'The body is not {"image": "<base64>"}.'),
        (JSON_PATH, {"json": {"image": "x"}}, "The image is not valid base64."),
        (JSON_PATH, {"json": {"image": "é"}}, "The image is not valid base64."),
        (JSON_PATH, {"json": {"image": ""}}, "The image is empty."),
    ],
)
async def test_invalid_submissions_get_a_problem_document(path, body, detail):
    """
    A submission without a valid image gets 400 and the reason.
    """
    async with serving() as client, client.post(path, **body) as response:
        assert response.status == 400
        assert (await response.json())["detail"] == detail


@pytest.mark.parametrize(
    ("path", "content_type"),
    [(FORM_PATH, "multipart/form-data; boundary=b"), (JSON_PATH, "application/json")],
)
async def test_an_aborted_submission_is_not_an_error(path, content_type, caplog):
    """
    The stand-in goes on, and logs nothing, when an upload is aborted.
    """
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ACCESS_TOKEN}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: 1000\r\n\r\n"
        "--b\r\nContent-Disposition: form-data; name=file\r\n\r\n..."
    )
    async with (
        open_sandbox(SandboxSettings(filters=False)) as sandbox,
        aiohttp.ClientSession(sandbox.url, headers=BEARER) as client,
    ):
        url = urlsplit(sandbox.url)
        _, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(head.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await submitted(client, FORM_PATH, data=form(PAGE))
    assert not caplog.records


@pytest.mark.parametrize("path", [FORM_PATH, JSON_PATH])
async def test_too_large_submissions_are_refused(path):
    """
    A submission beyond the limit gets 413, both as a form and as JSON.
    """

    async def endless():
        for _ in range(200):
            yield bytes(2**20)

    data = form(endless()) if path == FORM_PATH else endless()
    async with serving() as client, client.post(path, data=data) as response:
        assert response.status == 413


async def test_submissions_are_counted():
    """
    `GET /tally` says without a token how many images were accepted, and how many different ones.
    """
    async with serving() as client:
        for path in (JSON_PATH, JSON_PATH, ENDPOINTS["deskew"]):
            await submitted(client, path, json={"image": base64.b64encode(PAGE).decode()})
        async with client.post(JSON_PATH, json={"image": ""}) as response:
            assert response.status == 400
        async with client.get("/tally", headers={"Authorization": ""}) as response:
            counted = await response.json()
    assert counted == {
        "calls": 4,
        "token_requests": 0,
        "submissions": 3,
        "images": 2,
        "faults": {},
    }


async def test_ids_are_those_of_the_images():
    """
    A stand-in that is started anew gives another image another id, in whatever order they come, and
    the same images the same ids.
    """
    pages = [{"image": base64.b64encode(PAGE + bytes(n)).decode()} for n in range(2)]
    found = []
    for order in (pages, pages[::-1]):
        async with serving(seed=3) as client:
            found.append([await submitted(client, JSON_PATH, json=page) for page in order])
            again = await submitted(client, JSON_PATH, json=order[0])
            assert again not in found[-1]
    assert found[0] == found[1][::-1]
    assert found[0][0] != found[0][1]
