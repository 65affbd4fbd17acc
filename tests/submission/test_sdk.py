"""
The vendor's SDK beside the commands: either fetches what the other has submitted.
"""

import base64
import json

import pytest
from command import environment, images_in, read_report, run
from images import write
from stand_in import standing_in

from batchfetch.sandbox.pages import draw_page

sdk = pytest.importorskip("aspose_ocr_cloud", reason="the vendor's SDK is not installed")

# The SDK warns on every call that release 23.5 deprecated it; the deprecated calls are tested.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")

PAGES = {name: draw_page(name, 5000, 0) for name in ("one", "two")}
FILTERS = {"binarize": "Binarize", "deskew": "Deskew", "dewarp": "Dewarp", "upscale": "Upscale"}
FORMS = {
    "binarize": "post_binarization_file",
    "deskew": "post_skew_correction_file",
    "dewarp": "post_dewarping_file",
    "upscale": "post_upsampling_file",
}


@pytest.fixture
def service():
    """
    A stand-in that returns images as they were submitted.
    """
    with standing_in(processing_time=0, filters=False) as stand_in:
        yield stand_in


@pytest.fixture
def client(service):
    """
    The vendor's client for it.
    """
    configuration = sdk.Configuration(host=service.url, access_token="sandbox")
    client = sdk.ApiClient(configuration)
    yield client
    client.rest_client.pool_manager.clear()


def command(service, folder, *args):
    """
    Run the command in *folder* against the stand-in.
    """
    env = environment(BATCHFETCH_ACCESS_TOKEN="sandbox")
    finished = run(*args, "--base-url", service.url, cwd=folder, env=env)
    assert finished.code == 0, finished.stderr
    return finished


@pytest.mark.parametrize("kind", FILTERS)
def test_fetch_takes_what_the_sdk_submits(tmp_path, service, client, kind):
    """
    Ids that the SDK was given, for JSON and for a form, are a manifest; the images are those sent.
    """
    api = getattr(sdk, f"{FILTERS[kind]}ImageApi")(client)
    body = getattr(sdk, f"OCR{FILTERS[kind]}ImageBody")(
        image=base64.b64encode(PAGES["one"]).decode()
    )
    ids = {
        "one": getattr(api, f"post_{kind}_image")(body),
        "two": getattr(sdk.ImageProcessingApi(client), FORMS[kind])(file=PAGES["two"]),
    }
    rows = [{"task_id": task_id, "name": name} for name, task_id in ids.items()]
    (tmp_path / "ids.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    command(service, tmp_path, "fetch", "ids.jsonl", "--endpoint", kind)
    assert images_in(tmp_path / "images") == PAGES


@pytest.mark.parametrize("kind", FILTERS)
def test_the_sdk_takes_what_submit_submits(tmp_path, service, client, kind):
    """
    The ids in the manifest are tasks for the SDK; the images are those sent, to the last byte.
    """
    for name, page in PAGES.items():
        write(tmp_path / "scans" / f"{name}.png", page)
    command(service, tmp_path, "submit", "scans", "--endpoint", kind)
    api = getattr(sdk, f"{FILTERS[kind]}ImageApi")(client)
    found = {}
    for row in read_report(tmp_path / "manifest.jsonl"):
        answer = getattr(api, f"get_{kind}_image")(id=row["task_id"])
        assert answer.task_status is sdk.OCRTaskStatus.COMPLETED
        (result,) = answer.results
        found[row["name"]] = base64.b64decode(result.data, validate=True)
    assert found == PAGES


def test_images_of_every_remainder(tmp_path, service, client):
    """
    The base64 of an image is whole, whatever its length is modulo three.
    """
    page = PAGES["one"]
    sent = {f"p{n}": page + bytes(range(n)) for n in range(7)}
    for name, content in sent.items():
        write(tmp_path / "scans" / f"{name}.png", content)
    command(service, tmp_path, "submit", "scans")
    api = sdk.DeskewImageApi(client)
    for row in read_report(tmp_path / "manifest.jsonl"):
        (result,) = api.get_deskew_image(id=row["task_id"]).results
        assert base64.b64decode(result.data, validate=True) == sent[row["name"]]
