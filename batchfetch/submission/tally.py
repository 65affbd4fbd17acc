"""
Counts of a submission, and the progress and summary that they make.
"""

from collections import Counter
from collections.abc import Callable

from batchfetch.errors import BatchFetchError
from batchfetch.exit_codes import code_of_run
from batchfetch.scheduling import Pace
from batchfetch.submission.intake import SubmitIntake
from batchfetch.submission.lines import SubmitResult
from batchfetch.submission.summary import SubmitProgress, SubmitSummary
from batchfetch.submit_settings import SubmitStatus


class SubmitTally:
    """
    What became of the images so far.

    *skipped* returns the files that are no images, *price* is what a call costs, if that is known.
    """

    def __init__(
        self, intake: SubmitIntake, pace: Pace, *, skipped: Callable[[], int], price: float | None
    ) -> None:
        self._intake = intake
        self._pace = pace
        self._skipped = skipped
        self._price = price
        self._outcomes: Counter[SubmitStatus] = Counter()
        self._reasons: Counter[str] = Counter()
        self._bytes = 0

    def count(self, result: SubmitResult) -> None:
        """
        Count an image that is decided.
        """
        self._outcomes[result.status] += 1
        if result.reason is not None:
            self._reasons[result.reason] += 1
        if result.status is SubmitStatus.SUBMITTED:
            self._bytes += result.source_bytes or 0

    def progress(self, seconds: float) -> SubmitProgress:
        """
        Return a snapshot, *seconds* after the run began.
        """
        intake, in_flight = self._intake, self._pace.in_flight
        decided = self._outcomes.total() + intake.already
        return SubmitProgress(
            images=intake.images,
            all_read=intake.all_read,
            outcomes={
                status: count for status in SubmitStatus if (count := self._outcomes[status])
            },
            already=intake.already,
            skipped=self._skipped(),
            waiting=max(0, intake.images - decided - in_flight),
            in_flight=in_flight,
            calls=self._pace.calls,
            bytes=self._bytes,
            seconds=seconds,
        )

    def summary(
        self, seconds: float, failure: BatchFetchError | None, stopped_by: str | None
    ) -> SubmitSummary:
        """
        Return what a run came to that *failure* ended, or that was *stopped_by* something.
        """
        progress = self.progress(seconds)
        left = progress.images - progress.decided
        if stopped_by in {"max-calls", "max-runtime"} and progress.all_read and not left:
            stopped_by = None  # It was over before the limit could matter.
        accepted = self._outcomes[SubmitStatus.SUBMITTED] + progress.already
        done = progress.all_read and accepted == progress.images
        reasons = sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))
        return SubmitSummary(
            images=progress.images,
            outcomes=progress.outcomes,
            reasons=dict(reasons),
            already=progress.already,
            skipped=progress.skipped,
            left=left,
            calls=progress.calls,
            cost=None if self._price is None else round(progress.calls * self._price, 6),
            seconds=round(seconds, 3),
            exit_code=code_of_run(failure, stopped_by, done=done),
            stopped_by=stopped_by,
        )
