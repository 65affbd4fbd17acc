"""
What a batch costs, counted by the service and not by us.
"""

import pytest

from batchfetch import Credentials, Settings, open_batch
from batchfetch.sandbox import ACCESS_TOKEN, SandboxSettings, open_sandbox
from batchfetch.settings import Polling

pytestmark = pytest.mark.anyio

TASKS = [f"task-{number:03}" for number in range(200)]


@pytest.mark.slow
@pytest.mark.parametrize(("polling", "most"), [(Polling.THRIFTY, 1.25), (Polling.PROMPT, 3.0)])
async def test_queue_costs_little_more_than_a_call_an_image(tmp_path, polling, most):
    """
    Behind a real queue of twenty workers the stand-in counts few calls that came too early.
    """
    service = SandboxSettings(workers=20, processing_time=0.25, largest_image=8000)
    async with open_sandbox(service) as sandbox:
        sandbox.submit_all(TASKS)
        settings = Settings(output=tmp_path, base_url=sandbox.url, polling=polling)
        credentials = Credentials(access_token=ACCESS_TOKEN)
        async with open_batch(TASKS, settings, credentials=credentials) as batch:
            outcomes = [outcome async for outcome in batch]
        counted = sandbox.calls
    assert len(outcomes) == len(TASKS)
    assert batch.summary.exit_code == 0
    assert counted == batch.summary.calls == sum(outcome.calls for outcome in outcomes)
    assert batch.summary.asked_too_early == counted - len(TASKS)
    assert counted <= most * len(TASKS)
