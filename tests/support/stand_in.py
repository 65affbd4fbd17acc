"""
The command `batchfetch sandbox` as a server for commands in other processes.
"""

import json
import signal
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from command import finish, start


class StandIn:
    """
    A running stand-in at *url*.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def tally(self) -> Mapping[str, Any]:
        """
        What it has counted so far.
        """
        with urllib.request.urlopen(f"{self.url}/tally") as response:
            return json.loads(response.read())


@contextmanager
def standing_in(**settings: object) -> Iterator[StandIn]:
    """
    Run a stand-in with *settings*, by the names of its options, until the block is left.
    """
    words = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        is_flag = isinstance(value, bool)
        words.append(f"--{'' if value else 'no-'}{option}" if is_flag else f"--{option}={value}")
    process = start("sandbox", *words)
    try:
        assert process.stdout is not None
        yield StandIn(process.stdout.readline().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        assert finish(process).code == 0
