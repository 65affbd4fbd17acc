"""
What makes it fast, as far as it holds on any machine: how much memory, disk and threads are used.
"""

import sys
import threading
from functools import partial
from pathlib import Path

import anyio
import pytest
from command import images_in, manifest_of, run_measured
from origin import Origin, serving
from replies import large, png_of
from scripted import ScriptedTransport, pending
from wiring import local_storage, poller

from batchfetch.models import Job, JobState, Outcome
from batchfetch.run.poller import Unfinished
from batchfetch.scheduling import LocalPace
from batchfetch.scheduling.retry import RetryPolicy
from batchfetch.settings import Durability, Settings

MIB = 2**20
WRITERS = 8


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_memory_does_not_depend_on_the_size_of_the_image(tmp_path):
    """
    64 MB pass through in little more memory than a few bytes.
    """

    def memory_for(padding):
        with serving(Origin({"image": [large(padding)]})) as origin:
            output = tmp_path / str(padding)
            code, memory = run_measured(
                *("fetch", manifest_of(tmp_path, ["image"]), "-o", output),
                *("--base-url", origin.base_url),
            )
        assert code == 0
        assert images_in(output) == {"image": png_of("image", padding)}
        return memory

    assert memory_for(64 * MIB) - memory_for(1) < 16 * MIB


@pytest.fixture
def touched():
    """
    What the interpreter says of files it opens, removes or renames while the test runs, and where.
    """
    events = []

    def listen(event, arguments):
        if event == "open" or event.startswith("os."):
            events.append((event, arguments, threading.get_ident()))

    # There is no way to take a hook away again, so it is told when to stop listening.
    listening = [True]
    sys.addaudithook(lambda event, arguments: listening[0] and listen(event, arguments))
    yield events
    listening[0] = False


@pytest.mark.anyio
async def test_pending_poll_touches_neither_disk_nor_thread(tmp_path, touched):
    """
    Most answers hold no image: they open no file, and need no thread, not even a free one.
    """
    gate = threading.Event()
    async with local_storage(tmp_path / "out", Durability.FILE) as storage:
        pace = LocalPace(slots=1, rate=None, max_calls=None)
        asker = poller(
            *(ScriptedTransport({"t": [pending]}), storage, Settings(), pace, RetryPolicy()),
            epoch=0.0,
        )
        async with anyio.create_task_group() as busy:
            for _ in range(WRITERS):
                busy.start_soon(storage.executor.run, partial(gate.wait, 30))
            await anyio.wait_all_tasks_blocked()
            touched.clear()
            with anyio.fail_after(10):
                reply = await asker.ask(JobState(Job("t", "t.png")), "a-token")
            seen = list(touched)
            gate.set()
    assert isinstance(reply, Unfinished)
    assert seen == []


@pytest.mark.anyio
async def test_small_image_needs_no_thread(tmp_path, touched):
    """
    What fits one buffer, and is not synced, is saved right where it arrives.
    """
    async with local_storage(tmp_path / "out", Durability.NONE) as storage:
        pace = LocalPace(slots=1, rate=None, max_calls=None)
        asker = poller(
            *(ScriptedTransport(pieces=1), storage, Settings(), pace, RetryPolicy()), epoch=0.0
        )
        touched.clear()
        reply = await asker.ask(JobState(Job("t", "t.png")), "a-token")
        seen = {(event, where) for event, _, where in touched}
    assert isinstance(reply, Outcome)
    assert {("open", threading.get_ident()), ("os.rename", threading.get_ident())} <= seen
    assert {where for _, where in seen} == {threading.get_ident()}
    assert images_in(tmp_path / "out") == {"t": png_of("t")}
