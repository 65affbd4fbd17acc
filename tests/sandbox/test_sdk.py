"""
The vendor's SDK against the stand-in: submissions are accepted and responses are parsed.
"""

import base64
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread
import pytest

from batchfetch.sandbox import ACCESS_TOKEN, SandboxSettings, open_sandbox
from batchfetch.sandbox.pages import draw_page

sdk = pytest.importorskip("aspose_ocr_cloud", reason="the vendor's SDK is not installed")

pytestmark = [
    pytest.mark.anyio,
    # The SDK warns on every call that release 23.5 deprecated it; the deprecated calls are tested.
    pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning"),
]

PAGE = draw_page("submitted", 10_000, 0)


@asynccontextmanager
async def vendor(**settings):
    """
    Run a stand-in and yield the vendor's client for it.
    """
    settings = {"filters": False, "processing_time": 0} | settings
    async with open_sandbox(SandboxSettings(**settings)) as sandbox:
        client = sdk.ApiClient(sdk.Configuration(host=sandbox.url, access_token=ACCESS_TOKEN))
        try:
            yield client
        finally:
            client.rest_client.pool_manager.clear()


async def call(method, *args, **kwargs):
    """
    Call the SDK, which blocks, in a thread.
    """
    return await anyio.to_thread.run_sync(partial(method, *args, **kwargs))


def image_of(answer):
    """
    Return the image of an answer, after checking its other fields.
    """
    assert answer.task_status is sdk.OCRTaskStatus.COMPLETED
    assert answer.response_status_code is sdk.ResponseStatusCode.OK
    assert answer.error is None
    (result,) = answer.results
    assert result.type == "ImagePNG"
    return base64.b64decode(result.data, validate=True)


@pytest.mark.parametrize(
    "post",
    [
        "post_binarization_file",
        "post_dewarping_file",
        "post_skew_correction_file",
        "post_upsampling_file",
    ],
)
async def test_deprecated_submissions(post):
    """
    A file posted by each deprecated method is fetched with GetResultTask.
    """
    async with vendor() as client:
        api = sdk.ImageProcessingApi(client)
        task_id = await call(getattr(api, post), file=PAGE)
        answer = await call(api.get_result_task, id=task_id)
    assert answer.id == task_id
    assert image_of(answer) == PAGE


@pytest.mark.parametrize("kind", ["Binarize", "Deskew", "Dewarp", "Upscale"])
async def test_replacements(kind):
    """
    An image posted by each replacement is fetched with the same replacement.
    """
    name = f"{kind.lower()}_image"
    body = getattr(sdk, f"OCR{kind}ImageBody")(image=base64.b64encode(PAGE).decode())
    async with vendor() as client:
        api = getattr(sdk, f"{kind}ImageApi")(client)
        task_id = await call(getattr(api, f"post_{name}"), body)
        answer = await call(getattr(api, f"get_{name}"), id=task_id)
    assert answer.id == task_id
    assert image_of(answer) == PAGE


async def test_files_from_disk(tmp_path):
    """
    A file that the SDK reads from disk is received unchanged.
    """
    path = tmp_path / "page.png"
    path.write_bytes(PAGE)
    async with vendor() as client:
        api = sdk.ImageProcessingApi(client)
        task_id = await call(api.post_binarization_file, file=str(path))
        assert image_of(await call(api.get_result_task, id=task_id)) == PAGE


async def test_the_result_as_a_file():
    """
    GetResultFile returns the bytes of the PNG to the SDK.
    """
    async with vendor() as client:
        api = sdk.ImageProcessingApi(client)
        task_id = await call(api.post_dewarping_file, file=PAGE)
        response = await call(api.get_result_file_without_preload_content, id=task_id)
        try:
            assert (response.status, response.headers["Content-Type"]) == (200, "image/png")
            assert await call(response.read) == PAGE
        finally:
            response.release_conn()


@pytest.mark.parametrize(
    ("task_id", "status", "code"),
    [
        ("sample-pending", "PENDING", "NOTREADY"),
        ("sample-slow", "PROCESSING", "NOTREADY"),
        ("sample-unknown", "NOTEXIST", "TASKNOTFOUND"),
        ("sample-lost", "COMPLETED", "RESULTDATALOST"),
    ],
)
async def test_other_statuses(task_id, status, code):
    """
    The SDK parses every status and code.
    """
    async with vendor() as client:
        answer = await call(sdk.ImageProcessingApi(client).get_result_task, id=task_id)
    assert answer.task_status is sdk.OCRTaskStatus[status]
    assert answer.response_status_code is sdk.ResponseStatusCode[code]
    assert answer.results is None


async def test_errors():
    """
    The SDK parses messages and warnings.
    """
    async with vendor() as client:
        answer = await call(sdk.ImageProcessingApi(client).get_result_task, id="sample-error-many")
    assert answer.task_status is sdk.OCRTaskStatus.ERROR
    assert len(answer.error.messages) == 2
    assert len(answer.error.warnings) == 1


async def test_cancelling():
    """
    A task that the SDK cancels while it waits no longer exists.
    """
    async with vendor(workers=1, processing_time=3600) as client:
        api = sdk.DeskewImageApi(client)
        body = sdk.OCRDeskewImageBody(image=base64.b64encode(PAGE).decode())
        await call(api.post_deskew_image, body)
        waiting = await call(api.post_deskew_image, body)
        await call(api.cancel_deskew_image, id=waiting)
        answer = await call(sdk.UtilitiesApi(client).get_task_status, id=waiting)
    assert answer.task_status is sdk.OCRTaskStatus.NOTEXIST


async def test_a_bad_token():
    """
    An unknown token gives the SDK's `UnauthorizedException`.
    """
    async with vendor() as client:
        client.configuration.access_token = "made up"
        with pytest.raises(sdk.exceptions.UnauthorizedException) as caught:
            await call(sdk.ImageProcessingApi(client).get_result_task, id="a")
    assert caught.value.status == 401
    assert caught.value.headers["Content-Type"] == "application/problem+json"
