"""
Preload of a Dask worker that kills it at a given line: see `crash_driver.Trap`.

`BATCHFETCH_TEST_TRAP` is a JSON object with `after` and `passage`.
"""

import json
import os
import threading

import crash_driver

crash_driver.WRITERS |= {
    str(crash_driver.PACKAGE / name)
    for name in ("cluster/worker.py", "run/download.py", "run/poller.py", "run/release.py")
}


def dask_setup(_: object) -> None:
    """
    Set the trap in all threads that are started from now on, among them the one that fetches.
    """
    order = json.loads(os.environ["BATCHFETCH_TEST_TRAP"])
    threading.settrace(crash_driver.Trap(None, order["after"], order["passage"]))
