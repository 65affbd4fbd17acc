"""
Decide about tasks at whose place in the output there is a file already: whose image is it?
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from enum import Enum, auto

from anyio import to_thread

from batchfetch.decoding import ImageDecoder
from batchfetch.errors import DecodeError
from batchfetch.manifest import default_filename
from batchfetch.models import RESUBMITS, Image, Job, JobState, Outcome, OutcomeStatus
from batchfetch.report import Ledger, Owner, Reports, Settled, read_owner, read_successors
from batchfetch.settings import Settings
from batchfetch.storage import Storage

_COMPLETED = OutcomeStatus.COMPLETED


class Placed(Enum):
    """
    What a file at a task's place means for the task.
    """

    ASK = auto()
    """It is fetched; the file, if it is still there then, is replaced."""

    SETTLED = auto()
    """The file is the task's image, by the report."""

    SUPERSEDED = auto()
    """
    The file is the image of a task that was submitted in place of this one, or of one that was
    submitted in place of that, and so on.
    """

    UNCLEAR = auto()
    """Only `Placement.look` can tell."""


class Placement:
    """
    Judges files by the *ledger* of *reports*, by what *storage* knows of their owners, and by their
    bytes.

    The last line of the report with a path says whose the file there is.  A file that no line
    accounts for is a task's if the task's id is its name, or if a run died while it put it in place
    for that task.
    """

    def __init__(
        self, ledger: Ledger, reports: Reports, storage: Storage, settings: Settings
    ) -> None:
        self._ledger = ledger
        self._reports = reports
        self._storage = storage
        self._settings = settings
        self._successors: Mapping[str, Sequence[str]] | None = None

    def judge(self, job: Job, settled: Settled | None, size: int) -> Placed:
        """
        Judge the file of *size* bytes at the place of *job*, of which earlier runs say *settled*.
        """
        if self._settings.overwrite:
            return Placed.ASK
        owner = self._ledger.owner_of(job.filename)
        if owner is None or self._storage.is_claimed(job.filename):
            return Placed.UNCLEAR
        if owner.is_task(job.task_id) and _is_image(settled, size):
            return Placed.SETTLED
        return Placed.UNCLEAR  # By now it may be the image of a task whose line was lost.

    async def look(self, state: JobState, settled: Settled | None, size: int) -> Placed | Outcome:
        """
        Judge a file that is `UNCLEAR`: never `UNCLEAR` again.

        A sound image that is adopted, and a place that is another task's, are outcomes.  Raises
        `JobError` and `StorageError`.
        """
        job = state.job
        owner = self._ledger.owner_of(job.filename)
        claimed = await self._storage.is_owned_by(job.filename, job.task_id)
        # What is claimed is not reported yet; an object of a store says for ever whose it is.
        is_reported = claimed is not True and not self._storage.is_claimed(job.filename)
        if is_reported and owner is not None and not owner.is_task(job.task_id):
            return await self._another_s(state, owner)
        if claimed is False:
            return self._taken(state, "the image of a task that a run has fetched and not reported")
        if owner is not None and _is_image(settled, size):
            await self._storage.release([job.filename])
            return Placed.SETTLED
        is_own = claimed or owner is not None or _is_named_by_id(job)
        if (is_own or self._settings.adopt) and not self._is_outdated(job, owner):
            image = await self._sound_image(job.filename)
            if image is not None:
                return Outcome.of(state, _COMPLETED, image=image)
        if is_own:
            return Placed.ASK
        return self._taken(
            state,
            "a file that the report does not account for",
            "--adopt to count it as this task's",
        )

    async def _another_s(self, state: JobState, owner: Owner) -> Placed | Outcome:
        if await self.is_superseded(state.job):
            return Placed.SUPERSEDED
        if self._may_replace(state.job, owner):
            return Placed.ASK
        task_id = await to_thread.run_sync(read_owner, self._reports, owner)
        return self._taken(
            state, f"the image of {f'task {task_id}' if task_id else 'another task'}"
        )

    async def is_superseded(self, job: Job) -> bool:
        """
        Whether the file at the place of *job* is, by the report, the image of a task that was
        submitted in place of it, or of one that was submitted in place of that, and so on.
        """
        owner = self._ledger.owner_of(job.filename)
        if owner is None or owner.is_task(job.task_id):
            return False
        if self._successors is None:
            self._successors = await to_thread.run_sync(read_successors, self._reports)
        found = {job.task_id.casefold()}
        left = list(found)
        while left:
            for each in self._successors.get(left.pop(), ()):
                if owner.is_task(each):
                    return True
                if each not in found:
                    found.add(each)
                    left.append(each)
        return False

    def _is_outdated(self, job: Job, owner: Owner | None) -> bool:
        """
        Whether the file is the image of *job* by the report, which wants another one in its place.
        """
        if owner is None or not owner.is_task(job.task_id) or self._settings.adopt:
            return False
        return not self._storage.is_claimed(job.filename)

    async def recover(self, state: JobState, settled: Settled | None) -> Outcome | None:
        """
        Return the outcome of a job that was handed out in this run and lost, if its image is in its
        place by now; None if it has to be asked about.

        Raises `JobError` and `StorageError`.
        """
        job = state.job
        (found,) = await self._storage.stat([job.filename])
        if not isinstance(found, int):
            return None
        placed: Placed | Outcome = self.judge(job, settled, found)
        if placed is Placed.UNCLEAR:
            placed = await self.look(state, settled, found)
        if placed is Placed.SETTLED:  # It was gone when the job was handed out.
            image = await self._sound_image(job.filename)
            return None if image is None else Outcome.of(state, _COMPLETED, image=image)
        if isinstance(placed, Outcome) and placed.status is _COMPLETED:
            return placed
        return None

    def _may_replace(self, job: Job, owner: Owner) -> bool:
        resubmitted = job.extra.get(RESUBMITS)
        return self._settings.replace or (
            isinstance(resubmitted, str) and owner.is_task(resubmitted)
        )

    def _taken(self, state: JobState, whose: str, *ways: str) -> Placed | Outcome:
        if self._settings.replace:
            return Placed.ASK
        ways = ("use another name", *ways, "or --replace to overwrite it")
        return bad_name(state, f"{state.job.filename} is {whose}; {', '.join(ways)}")

    async def _sound_image(self, filename: str) -> Image | None:
        """
        Return what the image under *filename* is, if it is one.
        """
        decoder = ImageDecoder(
            encoded=False,
            checksum=self._settings.checksum,
            max_bytes=self._settings.max_image_bytes,
        )
        try:
            # Closed here, also if the image turns out not to be sound in its middle.
            async with aclosing(self._storage.read(filename)) as pieces:
                async for piece in pieces:
                    decoder.decode(piece)
            return decoder.flush()
        except DecodeError:
            return None


def bad_name(state: JobState, detail: str) -> Outcome:
    """
    Return the outcome of a row whose name cannot be used.
    """
    return Outcome.of(state, OutcomeStatus.INVALID, reason="bad_name", detail=detail)


def _is_image(settled: Settled | None, size: int) -> bool:
    return settled is not None and settled.status is _COMPLETED and settled.has_size(size)


def _is_named_by_id(job: Job) -> bool:
    try:
        return job.filename == default_filename(job.task_id)
    except ValueError:  # An id too long for a file's name.
        return False
