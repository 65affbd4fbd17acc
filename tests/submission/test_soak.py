"""
Many images to the stand-in with every fault it knows: its count is what the report says.

`BATCHFETCH_TEST_SOAK=20000` submits as many.
"""

import os

import pytest
from submitting import images_at, lines_of, open_intents, results_of, submit_all

from batchfetch.sandbox import SandboxSettings, open_sandbox
from batchfetch.service import Credentials

IMAGES = int(os.environ.get("BATCHFETCH_TEST_SOAK", "600"))
RENEWABLE = Credentials(client_id="id", client_secret="secret")
FAULTS = "429=1%,500=5%,reset=4%,truncate=3%,slow=2%,lose=3%"


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(600 + IMAGES)
async def test_the_count_of_the_stand_in_is_that_of_the_report(tmp_path):
    """
    A sixth of all goes wrong, tokens die: nothing is submitted twice, and what is uncertain is
    known to be.
    """
    scans = tmp_path / "scans"
    hashes = images_at(scans, IMAGES)
    settings = SandboxSettings(
        processing_time=0, faults=FAULTS, slow_time=0.2, token_life=3, filters=False
    )
    how = {"credentials": RENEWABLE, "attempts": 20}
    async with open_sandbox(settings) as sandbox:
        summary = await submit_all(scans, sandbox.url, **how)
        report = tmp_path / "manifest.report.jsonl"
        assert open_intents(report) == []
        assert summary.exit_code == 3
        assert summary.calls == sandbox.calls
        certain, uncertain = _by_outcome(results_of(report))
        assert certain.isdisjoint(uncertain)
        assert certain | uncertain == set(hashes.values())
        assert len(certain) <= sandbox.submissions <= len(certain) + len(uncertain)
        assert sandbox.submissions == sandbox.images, "no image was accepted twice"
        assert sandbox.faults["lose"] > 0
        # What may have been accepted is sent again only on demand, and is then certain.
        before = sandbox.submissions
        await submit_all(scans, sandbox.url, **how)
        assert sandbox.submissions == before
        while summary.exit_code != 0:
            summary = await submit_all(scans, sandbox.url, retry="Uncertain", **how)
    assert len(lines_of(tmp_path / "manifest.jsonl")) == IMAGES


def _by_outcome(results):
    assert {line["outcome"] for line in results} == {"Submitted", "Uncertain"}
    return (
        {line["source_sha256"] for line in results if line["outcome"] == "Submitted"},
        {line["source_sha256"] for line in results if line["outcome"] == "Uncertain"},
    )
