"""
What must hold of a cluster before a run begins on it, with real processes that stand still.
"""

import os
import signal
from contextlib import asynccontextmanager

import pytest
from command import client_credentials, environment, manifest_of, run
from dask_cluster import DaskCluster
from distributed import Client
from origin import Origin, serving

from batchfetch.cluster.checks import (
    answered,
    new_data,
    require_one_output,
    require_versions,
    require_worker,
)
from batchfetch.errors import SettingsError
from batchfetch.storage import mark_name, open_marks

pytestmark = pytest.mark.anyio

LIMIT = 5.0
"""Seconds after which who has not answered counts as standing still."""


@pytest.fixture
def dask(tmp_path):
    """
    A scheduler with two workers.
    """
    folder = tmp_path / "dask"
    folder.mkdir()
    with DaskCluster(folder) as dask:
        dask.add_worker()
        dask.add_worker()
        yield dask


@asynccontextmanager
async def connected(dask):
    """
    A client of the cluster.
    """
    async with Client(dask.address, asynchronous=True) as client:
        yield client


async def address_of(worker, client):
    """
    Return the address of the process *worker*.
    """
    pids = await client.run(os.getpid)
    return next(address for address, pid in pids.items() if pid == worker.pid)


async def test_a_worker_that_stands_still(dask, tmp_path):
    """
    It is named, whatever it is asked; the others are not.
    """
    async with connected(dask) as client:
        await require_worker(client)
        await require_versions(client)
        marks = await open_marks(tmp_path)
        name, data = mark_name(), new_data()
        await marks.write(name, data)
        await require_one_output(client, tmp_path, name, data)
        stopped = await address_of(dask.workers[1], client)
        dask.workers[1].send_signal(signal.SIGSTOP)
        words = f"the worker at {stopped} has not answered for 5 s"
        with pytest.raises(SettingsError, match=words):
            await require_versions(client, LIMIT)
        with pytest.raises(SettingsError, match=words):
            await require_one_output(client, tmp_path, name, data, LIMIT)
        dask.workers[1].send_signal(signal.SIGCONT)
        await require_versions(client)


async def test_a_scheduler_that_stands_still(dask):
    """
    It is named, and not the workers.
    """
    async with connected(dask) as client:
        dask.scheduler.send_signal(signal.SIGSTOP)
        words = f"the scheduler at {dask.address} is gone or does not answer"
        with pytest.raises(SettingsError, match=words):
            await require_versions(client, 1.0)
        with pytest.raises(SettingsError, match=words):
            async with answered(client, 1.0):
                await client.nthreads()
        dask.scheduler.send_signal(signal.SIGCONT)
        await require_versions(client)


async def test_a_worker_that_cannot_say_its_version(dask, tmp_path):
    """
    It is named, with its trouble; it is not said that it has no version.
    """
    metadata = tmp_path / "other" / "batchfetch-99.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_bytes(b"\xff")
    path = f"{tmp_path / 'other'}:{environment()['PYTHONPATH']}"
    broken = dask.add_worker(env={"PYTHONPATH": path})
    async with connected(dask) as client:
        words = f"{await address_of(broken, client)} does not answer what it is asked"
        with pytest.raises(SettingsError, match=rf"{words} \(UnicodeDecodeError"):
            await require_versions(client)


@pytest.mark.slow
def test_the_command_ends(dask, tmp_path):
    """
    A worker that stands still does not keep the command: one sentence, and nothing was asked.
    """
    dask.workers[0].send_signal(signal.SIGSTOP)
    manifest = manifest_of(tmp_path, ["task"])
    with serving(Origin()) as origin:
        options = ("-o", tmp_path / "out", "--base-url", origin.base_url, "--cluster", dask.file)
        done = run("fetch", manifest, *options, env=client_credentials())
    assert done.code == 2, done.stderr
    assert "has not answered for 20 s; end it or start it anew" in done.stderr
    assert done.stderr.count("\n") == 1
    assert origin.calls == []
