"""
Where a submission stands, and what it came to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from batchfetch.exit_codes import ExitCode
from batchfetch.report import Present
from batchfetch.submit_settings import SubmitStatus


@dataclass(frozen=True, slots=True)
class SubmitProgress:
    """
    Where a submission stands.
    """

    images: int
    """Met so far, those that cannot be submitted included."""

    all_read: bool
    """Whether the sources were read to their end."""

    outcomes: dict[SubmitStatus, int]
    """Decided in this run."""

    already: int
    skipped: int
    waiting: int
    """Met, and neither decided nor on their way."""

    in_flight: int
    calls: int
    bytes: int
    """Of the images accepted."""

    seconds: float
    interruption: Present | None = None
    """As in the progress of `fetch`."""

    @property
    def decided(self) -> int:
        """
        Images of which it is known what becomes of them.
        """
        return self.already + sum(self.outcomes.values())


class SubmitSummary(BaseModel):
    """
    What a submission came to.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    images: int
    """Images, and sources that were named and are none."""

    outcomes: Mapping[SubmitStatus, int]
    """Decided in this run, by outcome."""

    reasons: Mapping[str, int]
    """Of those that are not Submitted: how many have which reason, the most frequent first."""

    already: int
    """Accepted before, by the report: not sent."""

    skipped: int
    """Files that a search through a folder found and that are no images; not in *images*."""

    left: int
    """Undecided: the run stopped before their turn."""

    calls: int
    """POSTs whose head was sent, answered or not."""

    cost: float | None
    """Of the calls, in the currency of `price_per_call`; None without one."""

    seconds: float
    exit_code: ExitCode
    stopped_by: str | None = None
    """As in the summary of `fetch`."""
