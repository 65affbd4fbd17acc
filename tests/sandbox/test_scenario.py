"""
The sample manifests and their results in the stand-in.
"""

import csv
import json
from pathlib import Path

from batchfetch.sandbox.pages import page_size
from batchfetch.sandbox.scenario import script_for
from batchfetch.sandbox.settings import SandboxSettings

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def manifest_rows(name="manifest.csv"):
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_manifest_completes():
    """
    Two dozen tasks complete: one is Pending for some seconds, one has a warning.
    """
    scripts = [script_for(row["task_id"]) for row in manifest_rows()]
    assert len(scripts) == 24
    assert not any(script is None or script.failed or script.lost for script in scripts)
    assert len([script for script in scripts if script.held]) == 1
    assert len([script for script in scripts if script.warnings]) == 1


def test_the_troubled_manifest_has_every_failure():
    """
    Some rows complete; one fails, one is unknown, one has expired, one has lost its image.
    """
    rows = {row["task_id"]: row for row in manifest_rows("troubled.csv")}
    scripts = {task_id: script_for(task_id) for task_id in rows}
    unknown = [task_id for task_id, script in scripts.items() if script is None]
    assert [bool(rows[task_id]["submitted_at"]) for task_id in unknown] == [False, True]
    known = [script for script in scripts.values() if script]
    assert [script.failed for script in known].count(True) == 1
    assert [script.lost for script in known].count(True) == 1
    assert len([script for script in known if not script.failed and not script.lost]) >= 2


def test_the_sample_images_are_of_all_sizes():
    """
    The pages of the sample have from a few KB to several MB, ten to fifteen MB in total.
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


def test_the_smaller_samples_are_part_of_the_manifests():
    """
    The tasks and names in the other formats are also in the CSV files.
    """
    rows = [*manifest_rows("troubled.csv"), *manifest_rows()]
    names = {row["task_id"]: row["name"] for row in rows}
    lines = (SAMPLES / "ids.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} <= names.keys()
    with (SAMPLES / "manifest.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            assert names[row["task_id"]] == row["name"]
