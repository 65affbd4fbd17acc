"""
The sample manifests, and what the stand-in makes of them.
"""

import csv
import json
from pathlib import Path

from batchfetch.sandbox.pages import page_size
from batchfetch.sandbox.scenario import script_for
from batchfetch.sandbox.settings import SandboxSettings

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def manifest_rows():
    with (SAMPLES / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_manifest_shows_every_ending():
    """
    Two dozen tasks complete, one fails, one does not exist, one keeps its client waiting.
    """
    scripts = [script_for(row["task_id"]) for row in manifest_rows()]
    known = [script for script in scripts if script]
    assert len(scripts) - len(known) == 1
    assert [script.failed for script in known].count(True) == 1
    assert [script.failed for script in known].count(False) == 24
    assert len([script for script in known if script.held]) == 1


def test_the_sample_images_are_of_all_sizes():
    """
    The sample's pages reach from a few KB to some MB, ten to fifteen MB in all.
    """
    largest = SandboxSettings().largest_image
    sizes = [
        script.page_bytes or page_size(row["task_id"], largest)
        for row in manifest_rows()
        if (script := script_for(row["task_id"])) and not script.failed
    ]
    assert min(sizes) < 8_000
    assert max(sizes) > 4_000_000
    assert 10e6 < sum(sizes) < 15e6


def test_the_smaller_samples_are_part_of_the_manifest():
    """
    The other formats name tasks, and places for them, that the CSV has too.
    """
    names = {row["task_id"]: row["name"] for row in manifest_rows()}
    lines = (SAMPLES / "ids.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} <= names.keys()
    with (SAMPLES / "manifest.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            assert names[row["task_id"]] == row["name"]
