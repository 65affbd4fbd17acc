"""
What a submission would do, said without doing it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from batchfetch.errors import SettingsError
from batchfetch.paths import expand_home, is_file, is_there
from batchfetch.sources import Sources, read_sources
from batchfetch.submission.image import Sending
from batchfetch.submission.intake import SubmitIntake
from batchfetch.submission.ledger import load_submit_report
from batchfetch.submission.manifest_file import require_manifest
from batchfetch.submit_settings import SubmitSettings, SubmitStatus


class SubmitPlan(BaseModel):
    """
    What a submission would do.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    already: int
    """Accepted before, by the report."""

    uncertain: int
    """May have been accepted before, and would not be sent."""

    invalid: int
    """Named, and cannot be submitted."""

    reasons: Mapping[str, int]
    """Why they cannot be."""

    skipped: int
    """Found in folders, and no images."""

    to_submit: int
    bytes: int
    """Of the images to submit."""

    least_calls: int
    """If every image is accepted at its first try."""

    least_cost: float | None
    """In the currency of `price_per_call`; None without one."""


async def plan_submission(
    sources: Iterable[str | Path] | Sources, settings: SubmitSettings
) -> SubmitPlan:
    """
    Say what submitting the images of *sources* would come to.  Sends nothing and touches nothing.

    Raises `ManifestError`, `SettingsError` and `StorageError` as `open_submission` does.
    """
    sources = await to_thread.run_sync(checked_sources, sources, settings)
    path = settings.report_path
    ledger = await to_thread.run_sync(load_submit_report, path)
    intake = SubmitIntake(sources, ledger, settings)
    uncertain = len(intake.begin(await to_thread.run_sync(ledger.unfinished, path)))
    uncertain *= intake.counts_unfinished
    reasons: Counter[str] = Counter()
    to_submit = size = 0
    while not intake.all_read:
        for decision in await intake.next():
            if isinstance(decision, Sending):
                to_submit += 1
                size += decision.image.digest.size
            elif decision.status is SubmitStatus.UNCERTAIN:
                uncertain += 1
            else:
                reasons[decision.reason or ""] += 1
    # Of images with the same bytes only the first would be sent.
    already = intake.images - to_submit - uncertain - reasons.total()
    price = settings.price_per_call
    return SubmitPlan(
        images=intake.images,
        already=already,
        uncertain=uncertain,
        invalid=reasons.total(),
        reasons=reasons,
        skipped=sources.skipped,
        to_submit=to_submit,
        bytes=size,
        least_calls=to_submit,
        least_cost=None if price is None else round(to_submit * price, 6),
    )


def checked_sources(sources: Iterable[str | Path] | Sources, settings: SubmitSettings) -> Sources:
    """
    Return *sources*, which can be read, and which are not what the run writes; the manifest that is
    there can be appended to.

    Raises `ManifestError`, `SettingsError` and `StorageError`.
    """
    if not settings.is_to_stdout:
        require_manifest(settings.output)
        if settings.report is None and _is_special(settings.output):
            raise SettingsError(
                f"{settings.output} is no plain file, so the report cannot be beside it; name one"
                " with --report"
            )
    if not isinstance(sources, Sources):
        given = list(sources)
        for source in given:
            _require_apart(source, settings)
        sources = read_sources(given, only=settings.only)
    sources.check()
    return sources


def _is_special(path: Path) -> bool:
    """
    Whether nothing can be put beside what is at *path*: a pipe, a device, or a name for one.
    """
    is_name = any(path.absolute().is_relative_to(folder) for folder in ("/dev", "/proc"))
    return is_name or (is_there(path) and not is_file(path))


def _require_apart(source: str | Path, settings: SubmitSettings) -> None:
    """
    Raise `SettingsError` if *source* is what the run appends to: it would never come to its end.
    """
    for what, path in (("manifest", settings.output), ("report", settings.report_path)):
        with suppress(OSError, ValueError):
            if path.is_file() and Path(expand_home(source)).samefile(path):
                raise SettingsError(
                    f"{source} is the {what} of this run, which it appends to; choose another"
                    " --output"
                )
