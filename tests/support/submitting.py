"""
Helpers of tests that submit: images on disk, a run in this process, and what is left of it.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from replies import png_of

from batchfetch.scheduling import RetryPolicy
from batchfetch.service import Credentials
from batchfetch.submission.api import open_submission
from batchfetch.submit_settings import SubmitSettings

TOKEN = "t0p-s3cret-t0ken"
HASTY = RetryPolicy(attempts=5, initial=0.01, maximum=0.02)


def images_at(folder: Path, count: int, *, padding: int = 0) -> Mapping[str, str]:
    """
    Write *count* different images below *folder*; return the SHA-256 of each by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for number in range(count):
        data = png_of(f"{folder.name}{number}", padding)
        (folder / f"{number:05}.png").write_bytes(data)
        hashes[f"{number:05}"] = hashlib.sha256(data).hexdigest()
    return hashes


def lines_of(path: Path) -> list[dict[str, object]]:
    """
    Return the lines of a manifest or report, each of which must be whole.
    """
    if not path.exists():
        return []
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def results_of(path: Path) -> list[dict[str, object]]:
    """
    Return the results in a submission's report.
    """
    return [line for line in lines_of(path) if "outcome" in line]


def open_intents(path: Path) -> list[dict[str, object]]:
    """
    Return the intents in a submission's report that have no end.
    """
    open_: dict[object, dict[str, object]] = {}
    for line in lines_of(path):
        if line.get("intent") is None:
            continue
        if "outcome" in line or "ended" in line:
            open_.pop(line["intent"], None)
        else:
            open_[line["intent"]] = line
    return list(open_.values())


@asynccontextmanager
async def submitting(folder: Path, base_url: str, *, retries=HASTY, credentials=None, **more):
    """
    Open a submission of the images in *folder*, with its manifest beside it.
    """
    settings = SubmitSettings(
        **{"output": folder.parent / "manifest.jsonl", "base_url": base_url, **more}
    )
    credentials = credentials or Credentials(access_token=TOKEN)
    async with open_submission(
        [folder], settings, credentials=credentials, retries=retries
    ) as submission:
        yield submission


async def submit_all(folder: Path, base_url: str, **how):
    """
    Submit the images in *folder*, and return the summary.
    """
    async with submitting(folder, base_url, **how) as submission:
        await submission.run()
    return submission.summary
