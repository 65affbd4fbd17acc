"""
What a run would do, said without doing it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from batchfetch.manifest import Manifest
from batchfetch.models import JobState, Outcome, OutcomeStatus
from batchfetch.report import Ledger, load_report, reports_of
from batchfetch.run.intake import Intake, Row
from batchfetch.run.segments import note_kept
from batchfetch.scheduling import estimate
from batchfetch.settings import Settings
from batchfetch.storage import FileExecutor, ReportKeeper, open_storage


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

    reasons: Mapping[str, int]
    """Why they cannot be used."""

    repeated: int
    """Rows that are not in *tasks*, because an earlier row has the same id."""

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
    if isinstance(jobs, Manifest):
        jobs.name_columns(settings.id_column, settings.name_column)
        await to_thread.run_sync(jobs.check)
    ledger = Ledger()
    with FileExecutor() as files:
        opened = open_storage(
            settings.output, settings.durability, files, make=False, shard=settings.shard
        )
        async with opened as storage:
            reports = await to_thread.run_sync(reports_of, settings)
            if isinstance(storage, ReportKeeper):
                await note_kept(storage, settings.report_path, ledger, beside=reports.others)
            await to_thread.run_sync(load_report, reports, ledger)
            intake = Intake(jobs, ledger, storage, settings, inline=files.inline, reports=reports)
            return await _counted(intake, settings)


async def _counted(intake: Intake, settings: Settings) -> Plan:
    to_fetch = adopted = 0
    reasons: Counter[str] = Counter()
    while not intake.all_read:
        for decision in await intake.chunk():
            match decision:
                case JobState():
                    to_fetch += 1
                case Outcome(status=OutcomeStatus.COMPLETED):
                    adopted += 1
                case Outcome():
                    reasons[decision.reason or decision.status] += 1
    estimated = estimate(to_fetch, settings)
    return Plan(
        tasks=intake.tasks,
        already=intake.already.total(),
        adopted=adopted,
        invalid=reasons.total(),
        reasons=reasons,
        repeated=intake.repeated,
        to_fetch=to_fetch,
        least_calls=estimated.least_calls,
        expected_calls=estimated.expected_calls,
        expected_seconds=estimated.expected_seconds,
        least_cost=estimated.least_cost,
        expected_cost=estimated.expected_cost,
    )
