"""
A run on a cluster with an output in a store.
"""

import dataclasses
import signal
import subprocess
import sys
import time

import pytest
from command import (
    client_credentials,
    environment,
    expected_images,
    finish,
    read_report,
    start,
    wait_until,
)
from dask_cluster import DaskCluster
from origin import Origin, serving
from replies import ready
from stores import BUCKET, moto

pytestmark = pytest.mark.slow

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


DRIVER = """
import asyncio, sys
from batchfetch import Settings, on_cluster, open_batch
from batchfetch.storage import FileExecutor
from batchfetch.storage.store import Bucket, StoreStorage

async def main(scheduler, url, base_url, report):
    settings = Settings(output=url, base_url=base_url, report=report)
    with FileExecutor() as files:
        storage = StoreStorage(Bucket(url), files, renewal=0.5, expiry=4.0)
        how = {"storage": storage, "fetch_with": on_cluster(scheduler)}
        async with open_batch(["task"], settings, **how) as outcomes:
            print(*[outcome.status async for outcome in outcomes])

asyncio.run(main(*sys.argv[1:]))
"""


def test_workers_write_by_the_lock_of_their_driver(tmp_path):
    """
    What a worker has fetched while the driver was stopped for longer than its lock lives is put
    into the store when the driver has found that the lock is still its own, and not before.
    """
    folder = tmp_path / "cluster"
    folder.mkdir()
    slow = dataclasses.replace(ready("task"), interval=6.0)
    with moto() as store, serving(Origin(default=slow)) as origin, DaskCluster(folder) as dask:
        env = store.environment() | client_credentials()
        dask.add_worker(env=store.environment())
        argv = (dask.address, f"s3://{BUCKET}/scans", origin.base_url, tmp_path / "report.jsonl")
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *map(str, argv)],
            env=environment() | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: origin.calls, process)
        process.send_signal(signal.SIGSTOP)
        time.sleep(9)
        meanwhile = store.keys("scans/")
        process.send_signal(signal.SIGCONT)
        done = finish(process)
        assert done.code == 0, done.stderr
        assert meanwhile == []
        assert store.keys("scans/") == ["task.png"]
