"""
What a run would do, said without doing it.
"""

from collections.abc import Iterable
from contextlib import closing

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from batchfetch.manifest import Manifest
from batchfetch.models import JobState, OutcomeStatus
from batchfetch.report import load_report
from batchfetch.report.ledger import Ledger
from batchfetch.run.intake import Intake, Row
from batchfetch.scheduling import estimate
from batchfetch.settings import Settings
from batchfetch.storage import Folder


class Plan(BaseModel):
    """
    What a run would do.
    """

    model_config = ConfigDict(frozen=True)

    tasks: int
    """Rows of the manifest, repeated ids counted once."""

    already: int
    """Settled by earlier runs."""

    adopted: int
    """Images that are in place already and would be entered in the report."""

    invalid: int
    """Rows that cannot be used."""

    to_fetch: int
    least_calls: int
    """If every image is ready when it is asked for."""

    expected_calls: int
    """If the service still has them all before it."""

    expected_seconds: float
    """What so many calls take, if the service is not slower than that."""

    least_cost: float | None
    expected_cost: float | None
    """In the currency of `price_per_call`; None without one."""


async def plan(jobs: Iterable[Row], settings: Settings | None = None) -> Plan:
    """
    Say what fetching *jobs* with *settings* would come to.  Asks nothing and touches nothing.

    Raises `ManifestError`, and `StorageError` if the report or the output cannot be read.
    """
    settings = settings or Settings()
    return await to_thread.run_sync(_plan, jobs, settings)


def _plan(jobs: Iterable[Row], settings: Settings) -> Plan:
    if isinstance(jobs, Manifest):
        jobs.check()
    ledger = Ledger()
    load_report(settings.report_path, ledger)
    if not settings.output.exists():
        return _counted(Intake(jobs, ledger, None, settings), settings)
    with closing(Folder(settings.output, make=False)) as folder:
        return _counted(Intake(jobs, ledger, folder, settings), settings)


def _counted(intake: Intake, settings: Settings) -> Plan:
    to_fetch = adopted = invalid = 0
    while not intake.all_read:
        for decision in intake.chunk():
            if isinstance(decision, JobState):
                to_fetch += 1
            elif decision is not None and decision.status is OutcomeStatus.COMPLETED:
                adopted += 1
            elif decision is not None:
                invalid += 1
    estimated = estimate(to_fetch, settings)
    return Plan(
        tasks=intake.tasks,
        already=intake.already.total(),
        adopted=adopted,
        invalid=invalid,
        to_fetch=to_fetch,
        least_calls=estimated.least_calls,
        expected_calls=estimated.expected_calls,
        expected_seconds=estimated.expected_seconds,
        least_cost=estimated.least_cost,
        expected_cost=estimated.expected_cost,
    )
