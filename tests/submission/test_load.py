"""
Many images, and large ones: memory stays flat.
"""

import pytest
from command import run_measured
from receiver import Receiver, receiving
from submitting import images_at, lines_of, results_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MIB = 2**20


def large_images(folder, count, size):
    """
    Make *count* files that begin as PNGs, different from each other, and take no room on disk.
    """
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:02}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + number.to_bytes(4, "big"))
        with path.open("r+b") as file:
            file.truncate(size)


def test_ten_thousand_small_images(tmp_path):
    """
    All arrive once; memory does not grow with their number.
    """
    hashes = images_at(tmp_path / "scans", 10_000)
    manifest = tmp_path / "manifest.jsonl"
    with receiving(Receiver()) as receiver:
        code, peak = run_measured(
            *("submit", tmp_path / "scans", "-o", manifest, "--base-url", receiver.base_url),
            limit=600,
        )
    assert code == 0
    assert receiver.images == dict.fromkeys(hashes.values(), 1)
    assert receiver.most_in_flight <= 8
    assert len(lines_of(manifest)) == len(results_of(tmp_path / "manifest.report.jsonl")) == 10_000
    assert peak < 130 * MIB, f"{peak / MIB:.0f} MiB"


def test_twenty_images_of_100_mb(tmp_path):
    """
    Eight at once take no more memory than small ones, but for a piece of each.
    """
    large_images(tmp_path / "scans", 20, 100_000_000)
    with receiving(Receiver()) as receiver:
        code, peak = run_measured(
            *("submit", tmp_path / "scans", "-o", tmp_path / "manifest.jsonl"),
            *("--base-url", receiver.base_url),
            limit=800,
        )
    assert code == 0
    assert len(receiver.submitted) == 20
    assert {each.size for each in receiver.submitted} == {100_000_000}
    assert receiver.most_in_flight == 8
    assert peak < 180 * MIB, f"{peak / MIB:.0f} MiB"
