"""
Forms of the service's answers: endpoints, content types and spellings of JSON.
"""

from datetime import UTC, datetime, timedelta

import pytest
from bodies import BODIES, DATA, TASK_ID
from origin import Origin
from pngs import SMALL
from replies import http, result, status, text_of

from batchfetch import Credentials, Job, OutcomeStatus, Settings, open_batch
from batchfetch.endpoints import ENDPOINTS

pytestmark = pytest.mark.anyio

TYPES = [
    None,
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "text/plain; charset=iso-8859-1",
    "text/html",
    "application/octet-stream",
    "image/png",
    "nonsense",
    "",
]
LONG_AGO = datetime.now(UTC) - timedelta(days=3)


def answer(body, content_type):
    """
    Return a reply with *body* and this type, or without one.
    """
    return http(body, 200, *([] if content_type is None else [f"Content-Type: {content_type}"]))


@pytest.fixture
def fetch(tmp_path):
    """
    Fetch one task from an origin; return its outcome and its image.
    """

    async def fetch(reply, job, endpoint="task"):
        async with Origin({job.task_id: [reply]}) as origin:
            settings = Settings(
                output=tmp_path, base_url=origin.base_url, endpoint=endpoint, attempts=1
            )
            credentials = Credentials(access_token="a-token")
            async with open_batch([job], settings, credentials=credentials) as outcomes:
                (outcome,) = [outcome async for outcome in outcomes]
            (call,) = origin.calls
        assert (call.path, call.task_id) == (ENDPOINTS[endpoint], job.task_id)
        image = tmp_path / f"{job.task_id}.png"
        return outcome, image.read_bytes() if image.exists() else None

    return fetch


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("endpoint", [name for name in ENDPOINTS if name != "file"])
async def test_the_type_of_a_json_answer_does_not_matter(fetch, endpoint, content_type):
    """
    JSON is read as such, whatever type it is said to have: the documentation's example is text.
    """
    reply = answer(result("t", data=text_of(SMALL)), content_type)
    outcome, image = await fetch(reply, Job("t"), endpoint)
    assert (outcome.status, image) == (OutcomeStatus.COMPLETED, SMALL)


@pytest.mark.parametrize("content_type", TYPES)
async def test_the_type_of_a_file_does_not_matter(fetch, content_type):
    """
    The endpoint `file` answers with the image itself, whatever type it is said to have.
    """
    outcome, image = await fetch(answer(SMALL, content_type), Job("t"), "file")
    assert (outcome.status, image) == (OutcomeStatus.COMPLETED, SMALL)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_response"),
        (result("t", "Pending"), "not_png"),
        (result("t", data=text_of(SMALL)), "not_png"),
        (text_of(SMALL).encode(), "not_png"),
        (SMALL[:-1], "corrupt_png"),
        (SMALL + b"\n", "corrupt_png"),
        (b"\n" + SMALL, "not_png"),
    ],
)
async def test_a_file_is_nothing_but_the_image(fetch, body, reason):
    """
    An answer of the endpoint `file` is a PNG: an empty one, JSON and base64 are refused.
    """
    outcome, image = await fetch(answer(body, "image/png"), Job("t"), "file")
    assert (outcome.status, outcome.reason, image) == (OutcomeStatus.FAILED, reason, None)


@pytest.mark.parametrize(("submitted_at", "reason"), [(None, "not_found"), (LONG_AGO, "expired")])
async def test_a_file_that_has_expired(fetch, submitted_at, reason):
    """
    204 of the endpoint `file` means that there is no result, or no longer.
    """
    outcome, image = await fetch(status(204, body=b""), Job("t", submitted_at=submitted_at), "file")
    assert (outcome.status, outcome.reason, image) == (OutcomeStatus.NOT_EXIST, reason, None)


@pytest.mark.parametrize("text", [body for body in BODIES if DATA.encode() in body])
async def test_the_spelling_of_json_does_not_matter(fetch, text):
    """
    Blanks, escapes, the order of keys, byte order marks and unknown fields change no image.
    """
    body = text.replace(DATA.encode(), text_of(SMALL).encode())
    outcome, image = await fetch(answer(body, "text/plain"), Job(TASK_ID))
    assert (outcome.status, image) == (OutcomeStatus.COMPLETED, SMALL)


async def test_half_a_character_in_a_warning_loses_no_image(fetch):
    """
    A warning that was cut inside a surrogate pair is shown with U+FFFD; the image is there.
    """
    body = result("t", data=text_of(SMALL), warnings=["dark \U0001f600"])
    body = body.replace(rb"\ude00", b"")
    assert b'\\ud83d"' in body
    outcome, image = await fetch(answer(body, "application/json"), Job("t"))
    assert (outcome.status, image) == (OutcomeStatus.COMPLETED, SMALL)
    assert outcome.warnings == ("dark \ufffd",)
