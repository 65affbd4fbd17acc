"""
Fetch the tasks of a manifest against the built-in stand-in, and say where each image is.

    python samples/quickstart.py samples/manifest.csv

Against the service itself the stand-in and its base_url go, and credentials are taken from the
environment unless they are handed over: `open_batch(..., credentials=Credentials(...))`.
"""

import sys

import anyio

import batchfetch


async def main(manifest: str) -> int:
    """
    Return the exit code that `batchfetch fetch` would return.
    """
    # The stand-in lets anybody in.
    anybody = batchfetch.Credentials(client_id="anybody", client_secret="anything")  # noqa: S106
    async with batchfetch.open_sandbox() as service:
        settings = batchfetch.Settings(output="images", base_url=service.url, patience="15m")
        jobs = batchfetch.Manifest(manifest)
        async with batchfetch.open_batch(jobs, settings, credentials=anybody) as outcomes:
            async for outcome in outcomes:
                print(outcome.task_id, outcome.status, outcome.path or outcome.reason)
    print(f"{outcomes.summary.calls} calls, {outcomes.summary.bytes} bytes")
    return outcomes.summary.exit_code


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1]))
