"""
Where a run stands, and what it came to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from batchfetch.exit_codes import ExitCode
from batchfetch.models import OutcomeStatus
from batchfetch.report import Present


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Where a run stands.
    """

    tasks: int
    """Rows of the manifest read so far, repeated ids counted once."""

    all_read: bool
    """Whether the manifest was read to its end."""

    outcomes: dict[OutcomeStatus, int]
    """Decided in this run."""

    already: int
    """Settled by earlier runs."""

    waiting: int
    """Never asked about, and not decided."""

    unfinished: int
    """Asked about and not decided; to be asked about again."""

    in_flight: int
    calls: int
    bytes: int
    """Of the images fetched."""

    seconds: float
    interruption: Present | None = None
    """What keeps the run from asking now: an outage, or a pause that the service has asked for."""

    @property
    def decided(self) -> int:
        """
        Tasks that are settled, in this run or an earlier one.
        """
        return self.already + sum(self.outcomes.values())


class Summary(BaseModel):
    """
    What a run came to.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    tasks: int
    """Tasks of the manifest: usable and unusable rows, repeated ids counted once."""

    outcomes: Mapping[OutcomeStatus, int]
    """Decided in this run, by outcome."""

    reasons: Mapping[str, int]
    """Of those that are not Completed: how many have which reason, the most frequent first."""

    adopted: int
    """Of those that are Completed: images that were in their place already and cost no call."""

    already: int
    """Settled by earlier runs."""

    left: int
    """Undecided: the run stopped before their turn."""

    repeated: int = 0
    """Rows that are not in *tasks*, because an earlier row has the same id."""

    calls: int
    calls_per_image: float | None
    """None if no image was fetched; adopted ones do not count."""

    asked_too_early: int
    """Calls that were answered with Pending or Processing."""

    cost: float | None
    """Of the calls, in the currency of `price_per_call`; None without one."""

    token_requests: int
    bytes: int
    """Of the images fetched in this run; adopted ones do not count."""

    seconds: float
    exit_code: ExitCode
    stopped_by: str | None = None
    """`max-calls`, `max-runtime`, `credentials`, `storage`, `unreachable`, `refusals`, or what
    `Batch.stop` was told, such as `SIGINT`; `abandoned` if the block was left early; None if
    nothing stopped it."""


class ClusterSummary(Summary):
    """
    What a run on a cluster came to.
    """

    workers: int
    """Workers that took part."""

    workers_lost: int
    """Of them, those that died or went away during the run."""

    calls_unaccounted: int
    """Of the calls, those leased to a worker that was lost and perhaps not made; without them
    *calls* is exact."""
