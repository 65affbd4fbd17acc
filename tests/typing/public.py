"""
Uses of the public API, to be type-checked and never run.
"""

from collections.abc import Mapping
from pathlib import Path

import batchfetch
from batchfetch import (
    Batch,
    Client,
    Credentials,
    Event,
    ExitCode,
    Hook,
    Job,
    Manifest,
    Outcome,
    OutcomeStatus,
    Pace,
    Plan,
    Polling,
    ProgressHook,
    RetryPolicy,
    Sandbox,
    SandboxSettings,
    Settings,
    SettingsOptions,
    Storage,
    SubmitResult,
    SubmitSettings,
    SubmitSummary,
    Summary,
    Tally,
    Transport,
)


def settings() -> list[Settings]:
    """
    Text as on the command line, and values, are both accepted.
    """
    options: SettingsOptions = {"output": "images", "max_runtime": "8h"}
    return [
        Settings(),
        Settings(output="images", report=Path("report.jsonl"), patience="15m", rate="600/m"),
        Settings(patience=900, rate=10.0, max_image_bytes="64MiB", polling="prompt"),
        Settings(polling=Polling.THRIFTY, retry={OutcomeStatus.ERROR}, durability="none"),
        Settings(**options),
    ]


def without_a_loop() -> Summary:
    """
    Manifests, or ids in memory.
    """
    batchfetch.fetch("manifest.csv", Path("more.txt"), output="images", max_calls=500)
    return batchfetch.fetch(jobs=["id", Job("other", name="page")], output=Path("images"))


def code(summary: Summary) -> ExitCode:
    """
    What a run came to.
    """
    counts: Mapping[OutcomeStatus, int] = summary.outcomes
    return ExitCode.COMPLETED if counts else summary.exit_code


def show(tally: Tally) -> None:
    """
    A progress callback.
    """
    print(tally.asked, tally.settled)  # noqa: T201 - what a callback does


class Listener:
    """
    A hook.
    """

    def __call__(self, event: Event, /) -> None:
        match event:
            case batchfetch.Settled(outcome=outcome):
                print(outcome.task_id)  # noqa: T201 - what a hook does
            case _:
                pass


async def batch(
    transport: Transport, storage: Storage, pace: Pace, retries: RetryPolicy
) -> list[Outcome]:
    """
    Everything can be handed in.
    """
    hooks: list[Hook] = [Listener(), ProgressHook(show, every=5)]
    credentials = Credentials(client_id="id", client_secret="secret")
    opened = batchfetch.open_batch(
        Manifest("manifest.csv", Path("more.csv.gz")),
        Settings(output="images"),
        credentials=credentials,
        transport=transport,
        storage=storage,
        pace=pace,
        retries=retries,
        hooks=hooks,
        include_settled=True,
    )
    async with opened as running:
        return await outcomes_of(running)


async def outcomes_of(running: Batch) -> list[Outcome]:
    """
    A batch is iterated over, and can be stopped.
    """
    found = [outcome async for outcome in running]
    running.stop("enough")
    return found


async def client() -> Client:
    """
    What it takes to ask, against the stand-in.
    """
    async with (
        batchfetch.open_sandbox(SandboxSettings(workers=4, processing_time=0.1)) as sandbox,
        batchfetch.open_client(
            Settings(base_url=url_of(sandbox)), credentials=Credentials(access_token="t")
        ) as opened,
    ):
        return opened


def url_of(sandbox: Sandbox) -> str:
    """
    Where the stand-in listens.
    """
    return sandbox.url


async def planned() -> Plan:
    """
    What a run would do.
    """
    return await batchfetch.plan(["a", "b"], Settings(price_per_call=0.03))


def mended() -> list[str]:
    """
    The last line of each task.
    """
    return [line.task_id for line in batchfetch.read_report("images") if line.task_id]


def heard(result: SubmitResult) -> None:
    """
    What became of an image.
    """
    print(result.source, result.status, result.task_id)  # noqa: T201 - what a callback does


async def submitted() -> SubmitSummary:
    """
    Images are submitted, with an event loop or without.
    """
    settings = SubmitSettings(output="-", retry="Uncertain", endpoint="dewarp", max_runtime="8h")
    async with batchfetch.open_submission(["scans", Path("a.png")], settings, tell=heard) as run:
        await run.run()
    return (
        batchfetch.submit("scans", output="manifest.jsonl") if run.progress.images else run.summary
    )
