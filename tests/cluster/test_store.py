"""
A run on a cluster with an output in a store.
"""

import signal

import pytest
from command import expected_images, finish, read_report, start, wait_until
from dask_cluster import DaskCluster
from origin import Origin, serving
from stores import BUCKET, moto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SLOTS = 4


def test_objects_say_whose_they_are(tmp_path):
    """
    A worker dies when it has put an object into the store and not reported it: the object is found,
    by another name than its task's, and only what was in flight is asked about again.
    """
    tasks = {f"task{number}": f"night/page {number}" for number in range(40)}
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["id,name", *(f"{i},{n}" for i, n in tasks.items()), ""]))
    report = tmp_path / "report.jsonl"
    folder = tmp_path / "cluster"
    folder.mkdir()
    with moto() as store, serving(Origin()) as origin, DaskCluster(folder) as dask:
        doomed = dask.add_doomed_worker("await target.commit(", 7, env=store.environment())
        process = start(
            *("fetch", manifest, "-o", f"s3://{BUCKET}/scans", "-r", report, "--json"),
            *("--base-url", origin.base_url, "--concurrency", SLOTS),
            *("--cluster", dask.file, "--chunk", 10),
            env=store.environment(),
        )
        wait_until(lambda: doomed.poll() is not None, process)
        assert doomed.returncode == -signal.SIGKILL
        dask.add_worker(env=store.environment())
        done = finish(process)
        assert done.code == 0, done.stderr
        images = expected_images(tasks)
        assert store.images("scans/") == {tasks[i]: image for i, image in images.items()}
        assert sorted(line["task_id"] for line in read_report(report)) == sorted(tasks)
        assert len(origin.calls) <= len(tasks) + SLOTS
        assert [key for key in store.own("scans/") if key.endswith(".part")] == []
