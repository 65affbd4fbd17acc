"""
Decide what is to be done about each source: send it, or not, and why.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from anyio import to_thread

from batchfetch.models import Job
from batchfetch.sources import Refusal, RefusedSource, SourceImage
from batchfetch.submission.image import Digest, Image, Sending, digest_of
from batchfetch.submission.ledger import Standing, SubmitLedger, keys_of
from batchfetch.submission.lines import Intent, SubmitResult
from batchfetch.submission.manifest_names import Holder, ManifestNames
from batchfetch.submission.sender import LOST
from batchfetch.submit_settings import SubmitSettings, SubmitStatus

Decision = Sending | SubmitResult
"""Send it; or its result is known already."""

_EARLIER = (
    "it may have been accepted: its answer was lost in an earlier run; --retry Uncertain submits it"
    " again"
)


class SubmitIntake:
    """
    Decides source by source, and counts.

    Of images with one key only one is on its way at a time: the others wait for what becomes of it.
    So does an image that is known by its bytes while a task with these bytes is submitted again.
    """

    def __init__(
        self,
        sources: Iterable[SourceImage | RefusedSource],
        ledger: SubmitLedger,
        settings: SubmitSettings,
    ) -> None:
        self._sources = iter(sources)
        self._ledger = ledger
        self._endpoint = settings.endpoint
        self._again = settings.again
        self._output, self._report = settings.output, settings.report_path
        self._names = ManifestNames(None if settings.is_to_stdout else settings.output)
        self._retries = SubmitStatus.UNCERTAIN in settings.retry
        self._ordinal = 0
        self._on_their_way: Counter[str] = Counter()
        self._held_back: dict[str, deque[Image]] = {}
        self._reported: set[str] = set()
        self.images = 0
        """Sources met, each counted once."""

        self.already = 0
        """Those that were accepted before."""

        self.all_read = False

    def begin(self, unfinished: Iterable[Intent]) -> list[SubmitResult]:
        """
        Return the results of the images that were in flight when a run died.

        They count in this run, unless it may send them again.
        """
        results = [_lost(intent) for intent in unfinished]
        for result in results:
            keys = keys_of(result)
            self._ledger.note_outcome(keys, SubmitStatus.UNCERTAIN)
            if not self._retries:
                self._reported.update(keys[:1])
        if not self._retries:
            self.images += len(results)
        return results

    @property
    def counts_unfinished(self) -> bool:
        """
        Whether the results that `begin` returns are of this run.
        """
        return not self._retries

    async def next(self) -> list[Decision]:
        """
        Return what is to be done about the next source; `all_read` says whether it was the last.

        Raises `ManifestError` or `ReportError` if a table cannot be read further, `StorageError` if
        the names in the manifest cannot be.
        """
        found = await to_thread.run_sync(self._read, abandon_on_cancel=True)
        if found is None:
            self.all_read = True
            return []
        if isinstance(found, Image):
            if self._ledger.standing(found.key, again=self._again) is not Standing.ACCEPTED:
                found = await to_thread.run_sync(self._with_namesake, found)
            return list(self._admit(found))
        self.images += 1
        return [found]

    async def count(self) -> None:
        """
        Count the sources that are left, without reading the images.
        """
        while await to_thread.run_sync(self._skip, abandon_on_cancel=True):
            self.images += 1
        self.all_read = True

    def decided(self, image: Image, status: SubmitStatus) -> list[Decision]:
        """
        Note what became of *image*; return what follows for another one with its key.
        """
        decisions: list[Decision] = []
        self._ledger.note_outcome(image.keys, status)
        self._on_their_way.subtract(image.keys)
        for key in image.keys:
            if not self._on_their_way[key]:
                del self._on_their_way[key]
                decisions += self._released(key)
        return decisions

    def _released(self, key: str) -> Iterator[Decision]:
        """
        Yield what is to be done about the images that were held back for *key*, up to one that is
        sent: for that one the others wait as before.
        """
        waiting = self._held_back.pop(key, deque())
        while waiting:
            yield from self._judge(waiting.popleft())
            if waiting and key in self._on_their_way:
                self._held_back[key] = waiting
                break

    def _read(self) -> Image | SubmitResult | None:
        source = next(self._sources, None)
        if source is None:
            return None
        if isinstance(source, RefusedSource):
            return _refused(source)
        try:
            digest = digest_of(source.path)
        except OSError as exc:
            words = f"{source.path} cannot be read: {exc.strerror or exc}"
            return self._unusable(source, Refusal.UNREADABLE, words)
        if not digest.size:
            return self._unusable(source, Refusal.EMPTY, f"{source.path} is empty")
        return Image(source, source.endpoint or self._endpoint, digest)

    def _with_namesake(self, image: Image) -> Image:
        row = self._names.holder(image.source.name, resubmits=image.resubmits)
        if row is not None and row.task_id and self._again and image.is_image_of(row):
            return image.resubmitting(row.task_id)
        return replace(image, namesake=row)

    def _skip(self) -> bool:
        return next(self._sources, None) is not None

    def _admit(self, image: Image) -> Iterator[Decision]:
        if image.key in self._reported:
            self._reported.discard(image.key)
            return
        self.images += 1
        yield from self._judge(image)

    def _judge(self, image: Image) -> Iterator[Decision]:
        if not self._again and image.key in self._on_their_way:
            self._held_back.setdefault(image.key, deque()).append(image)
            return
        standing = self._ledger.standing(image.key, again=self._again)
        if standing is Standing.ACCEPTED:
            self.already += 1
        elif standing is Standing.UNCERTAIN and not self._retries:
            yield image.result(
                SubmitStatus.UNCERTAIN, reason=LOST, detail=_EARLIER, finished_at=datetime.now(UTC)
            )
        elif image.namesake is not None:
            yield self._without_place(image, image.namesake)
        else:
            self._ordinal += 1
            self._on_their_way.update(image.keys)
            job = Job(str(self._ordinal), endpoint=image.endpoint)
            yield Sending(job=job, ordinal=self._ordinal, image=image)

    def _without_place(self, image: Image, row: Holder) -> SubmitResult:
        detail = (
            f"{self._output} has another image called {image.source.name!r}, that of task"
            f" {row.task_id}, so fetch would not take this one; rename it, or choose another"
            f" --output with --report {self._report}, and fetch that into another folder"
        )
        return image.result(
            SubmitStatus.INVALID,
            reason=Refusal.BAD_NAME,
            detail=detail,
            finished_at=datetime.now(UTC),
        )

    def _unusable(self, source: SourceImage, reason: Refusal, detail: str) -> SubmitResult:
        image = Image(source, source.endpoint or self._endpoint, Digest(0, ""))
        result = image.result(
            SubmitStatus.INVALID, reason=reason, detail=detail, finished_at=datetime.now(UTC)
        )
        return result.model_copy(update={"source_bytes": None, "source_sha256": None})


def _refused(source: RefusedSource) -> SubmitResult:
    return SubmitResult(
        outcome=SubmitStatus.INVALID,
        reason=source.reason,
        detail=source.detail,
        name=source.name,
        endpoint=source.endpoint,
        source=source.source,
        manifest=source.manifest,
        line=source.line,
        extra=source.extra,
    )


def _lost(intent: Intent) -> SubmitResult:
    return SubmitResult(
        **intent.model_dump(),
        outcome=SubmitStatus.UNCERTAIN,
        reason=LOST,
        detail="it may have been accepted: the run that sent it ended before its answer came",
    )
