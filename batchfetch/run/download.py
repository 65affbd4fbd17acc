"""
One question, one answer: its image decoded, checked, hashed and stored.

The only place where the service, decoding and storage meet.
"""

from collections.abc import Callable, Iterable, Iterator

from batchfetch.decoding import AnswerDecoder, Endpoint, ImageDecoder
from batchfetch.errors import StatusError
from batchfetch.models import Answer, Image, TaskStatus
from batchfetch.service import Body, Transport
from batchfetch.settings import Checksum
from batchfetch.statuses import StatusMeaning
from batchfetch.storage import Storage, Target
from batchfetch.tuning import HOP, SHORT_BODY

# Bytes that an answer without an image stays below.
_WITHOUT_IMAGE = 16 * 1024


class Downloader:
    """
    Asks about tasks, one at a time for each call, and leaves their images in *storage*.

    An image has *max_bytes* at most.
    """

    def __init__(
        self, transport: Transport, storage: Storage, *, checksum: Checksum, max_bytes: int
    ) -> None:
        self._transport = transport
        self._storage = storage
        self._checksum = checksum
        self._max_bytes = max_bytes

    async def get(
        self,
        endpoint: Endpoint,
        task_id: str,
        token: str,
        name: str,
        *,
        on_sent: Callable[[], None],
        on_image: Callable[[], None],
    ) -> tuple[Answer, Image | None]:
        """
        Ask *endpoint* about *task_id*; put the image, if it is ready, under *name*.

        The storage is told whose image it is.

        *on_sent* is called when the request has left, *on_image* when an image begins to arrive.

        Raises `JobError` and `StorageError`.
        """
        asking = self._transport.get_result(endpoint.path, task_id, token, on_sent=on_sent)
        try:
            async with asking as body:
                target = self._storage.open(name, body.length, owner=task_id)
                try:
                    return await self._receive(endpoint, task_id, body, target, on_image)
                finally:
                    await target.abort()
        except StatusError as exc:
            if exc.meaning is StatusMeaning.NO_CONTENT and endpoint.empty_means is not None:
                return Answer(endpoint.empty_means), None
            raise

    async def _receive(
        self,
        endpoint: Endpoint,
        task_id: str,
        body: Body,
        target: Target,
        on_image: Callable[[], None],
    ) -> tuple[Answer, Image | None]:
        answer_decoder = endpoint.decoder(task_id)
        image = ImageDecoder(
            encoded=answer_decoder.encoded, checksum=self._checksum, max_bytes=self._max_bytes
        )
        # What is long is written in a thread, and a hop there should be worth it.
        hop = HOP if (body.length or 0) > SHORT_BODY else 1
        has_image = is_told = False
        while not body.at_end:
            pieces, size = await _gather(body, answer_decoder, hop)
            if not is_told and max(size, body.length or 0) > _WITHOUT_IMAGE:
                is_told = True
                on_image()  # Others need not wait for its end.
            if pieces:
                has_image = True
                await target.write(_decoded(image, pieces))
        answer = answer_decoder.close()
        if answer.status is not TaskStatus.COMPLETED or not has_image:
            return answer, None
        measures = image.flush()
        await target.commit(sha256=measures.sha256)
        return answer, measures


async def _gather(
    body: Body, decoder: AnswerDecoder, least: int
) -> tuple[list[bytes | memoryview], int]:
    """
    Read *least* bytes, or what is left; return what they hold of the image, and how many they were.
    """
    pieces: list[bytes | memoryview] = []
    size = 0
    while size < least and not body.at_end:
        chunk = await body.read()
        size += len(chunk)
        pieces += decoder.feed(chunk)
    return pieces, size


def _decoded(image: ImageDecoder, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    for piece in pieces:
        if data := image.decode(piece):
            yield data
