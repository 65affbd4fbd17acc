"""
An object store on loopback: `rclone serve s3` over a folder, whose folders are its buckets.
"""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 10.0


def store_keys() -> Mapping[str, str]:
    """
    Return the variables of those who may use the store.
    """
    return {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def serving(rclone: str, folder: Path) -> Iterator[str]:
    """
    Serve *folder* for the length of the block; the value is the store's address.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    keys = store_keys()
    auth = f"{keys['AWS_ACCESS_KEY_ID']},{keys['AWS_SECRET_ACCESS_KEY']}"
    command = (rclone, "serve", "s3", str(folder), f"--addr=127.0.0.1:{port}")
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        (*command, f"--auth-key={auth}", "--config="), stdin=quiet, stdout=quiet, stderr=quiet
    ) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
