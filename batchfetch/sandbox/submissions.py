"""
Parsing of submissions: the image in a form or in JSON, and the id of the new task.
"""

import hashlib
import uuid

import anyio.to_thread
import pybase64
from aiohttp import BodyPartReader, web
from pydantic import BaseModel, ValidationError

from batchfetch.endpoints import ENDPOINTS
from batchfetch.sandbox.filters import Filter

MAX_IMAGE = 128 * 2**20
"""The most bytes of an image in a form."""

_READ = 256 * 1024

FORM_PATHS = {
    "/v5.0/ocr/ImageProcessing/PostSkewCorrectionFile": Filter.DESKEW,
    "/v5.0/ocr/ImageProcessing/PostDewarpingFile": Filter.DEWARP,
    "/v5.0/ocr/ImageProcessing/PostUpsamplingImageFile": Filter.UPSCALE,
    "/v5.0/ocr/ImageProcessing/PostBinarizationFile": Filter.BINARIZE,
}
"""Deprecated submissions: the image is the form's field `file`."""

JSON_PATHS = {ENDPOINTS[kind]: kind for kind in Filter}
"""Their replacements: the image is base64 in `{"image": "…"}`."""

FILTERS = {path.lower(): kind for path, kind in (FORM_PATHS | JSON_PATHS).items()}
"""The filter of each submission, by its path in lower case."""


class _Submission(BaseModel):
    image: str


def new_task_id(seed: int, image: bytes, number: int) -> str:
    """
    Return the id of the *number*-th submission of what has the digest *image*: a GUID, the same for
    the same seed in whatever order images come, and another one for another image.
    """
    digest = hashlib.sha256(f"{seed}:task:{image.hex()}:{number}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def digest_of(kind: Filter, image: bytes) -> bytes:
    """
    Return the same for the same *image* and filter.
    """
    digest = hashlib.sha256(image)
    digest.update(kind.encode())
    return digest.digest()


async def read_image(request: web.Request) -> bytes:
    """
    Return the image that *request* submits as a multipart form or as JSON.

    Raises `ValueError` with a message for the submitter if there is no image, and
    `web.HTTPRequestEntityTooLarge` if it is too large.
    """
    if request.content_type.startswith("multipart/"):
        image = await _read_form(request)
    else:
        image = await anyio.to_thread.run_sync(_parse, await request.read())
    if not image:
        raise ValueError("The image is empty.")
    return image


async def _read_form(request: web.Request) -> bytes:
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name != "file":
            continue
        image = bytearray()
        while piece := await part.read_chunk(_READ):
            image += piece
            if len(image) > MAX_IMAGE:
                raise web.HTTPRequestEntityTooLarge(MAX_IMAGE, len(image))
        return bytes(image)
    raise ValueError("The form has no field named file.")


def _parse(body: bytes) -> bytes:
    try:
        return pybase64.b64decode(_Submission.model_validate_json(body).image, validate=True)
    except ValidationError:
        raise ValueError('The body is not {"image": "<base64>"}.') from None
    except ValueError:  # The base class of binascii.Error.
        raise ValueError("The image is not valid base64.") from None
