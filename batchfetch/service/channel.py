"""
One connection: a question at a time, and its answer into one buffer.

A body of known length goes from the socket straight into the buffer that its reader is shown, and
no copy is made of it.  Everything else (heads, chunks, gzip, bodies that end with the connection)
is left to aiohttp's parser.
"""

import asyncio

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpResponseParser, RawResponseMessage

from batchfetch.errors import ConnectionLostError, JobError, StalledError
from batchfetch.service.bodies import BufferedBody, Span, length_of
from batchfetch.service.stall import StallDetector
from batchfetch.text import sanitize

# What aiohttp's parser may unpack of gzip before it waits for the reader.
_PARSED_AHEAD = 64 * 1024

# Bytes that an answer without an image stays below.
_SHORT = 16 * 1024

_NOWHERE = memoryview(bytearray(1))
"""Where what nobody has asked for goes."""

_END_OF_HEAD = b"\r\n\r\n"
_CLOSED = "the service closed the connection"


class Channel(asyncio.BufferedProtocol):
    """
    An open connection to the service, and at most one question on it.

    `ask` sends a question and returns the head of its answer, `read` its body piece by piece.
    *size* is how many bytes a piece has at most.
    """

    def __init__(self, connection: Connection, size: int) -> None:
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None:
            raise ConnectionLostError(_CLOSED)
        self._connection = connection
        self._handler = handler
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._error: JobError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_asking = False
        self._is_cut = False
        # Every byte arrives in the buffer; a body of known length is left there.
        self._body = BufferedBody(size)
        self._is_parsed = False
        self._parser: HttpResponseParser | None = None
        self._head: RawResponseMessage | None = None
        self._payload: aiohttp.StreamReader | None = None
        self._reading_paused = False  # By this name it is looked for by aiohttp's stream, too.
        self._patience = StallDetector(self._loop.time())
        self._received = 0
        # aiohttp has connected, and reads in its own way; from here on it is ours.
        transport.pause_reading()
        transport.set_protocol(self)
        transport.resume_reading()

    @property
    def is_reusable(self) -> bool:
        """
        Whether another question may follow: the last answer was received whole.
        """
        closing = self._head is not None and self._head.should_close
        return self._is_complete and not (self._is_closed or closing)

    @property
    def is_long(self) -> bool:
        """
        Whether the answer is long enough to hold an image, as far as that is known.
        """
        if self._is_parsed:  # What is packed may be short, and yet more than is read ahead.
            return self._received > _SHORT or self._reading_paused
        return self._body.length > _SHORT

    @property
    def announced(self) -> int:
        """
        How many bytes of the body are still to be read; 0 if the service did not say.
        """
        return 0 if self._is_parsed else self._body.length

    @property
    def at_end(self) -> bool:
        """
        Whether the whole body was read.
        """
        if self._is_parsed:
            return self._payload is not None and self._payload.at_eof()
        return not self._body.missing and self._body.is_read

    async def ask(self, question: bytes) -> RawResponseMessage:
        """
        Send *question*, the text of a request, and return the head of its answer.

        Raises `ConnectionLostError` or `StalledError`.
        """
        self._begin_anew()
        # Behind whatever else is to be done now, so that questions which come together leave
        # together: to wake another process can cost more than to ask it.
        self._loop.call_soon(self._send, question)
        while not self._is_ready:
            await self._wait()
        self._is_asking = False
        assert self._head is not None  # noqa: S101 - else it is not ready
        return self._head

    def _send(self, question: bytes) -> None:
        if not self._is_closed:
            self._transport.write(question)

    def _begin_anew(self) -> None:
        self._parser = HttpResponseParser(
            self,  # type: ignore[arg-type]  # it pauses and resumes reading, no more is asked of it
            self._loop,
            _PARSED_AHEAD,
            payload_exception=aiohttp.ClientPayloadError,
            read_until_eof=True,
        )
        self._head = self._payload = None
        self._body.clear()
        self._is_parsed = True  # Until a head says how long the body is.
        self._received = 0
        self._patience = StallDetector(self._loop.time())
        self._is_asking = True
        self._is_cut = False

    async def read(self) -> Span:
        """
        Return where the next piece of the body is.  See `Body.read`.

        A piece that is not the last is as long as there is room.
        """
        if self._is_parsed:
            piece = await self._read_parsed()
            return piece, 0, len(piece)
        if self._body.make_room():
            self.resume_reading()
        while not self._is_ready:
            await self._wait()
        return self._body.read()

    async def _read_parsed(self) -> bytes:
        payload = self._payload
        pieces, size = [], 0
        while True:
            # To read makes room, and what then comes out of the parser may be an error.
            if self._error is not None or payload is None:
                raise self._error or ConnectionLostError(_CLOSED)
            try:
                piece = payload.read_nowait()
            except aiohttp.ClientPayloadError as exc:
                raise ConnectionLostError(_words(exc)) from None
            pieces.append(piece)
            size += len(piece)
            if size >= self._body.most or payload.at_eof():
                return b"".join(pieces)
            if not piece:
                await self._wait()

    def close(self) -> None:
        """
        Give up the connection, and an answer that is still on its way.
        """
        self._is_closed = True
        self._connection.close()
        # They know us, and buffers should not have to wait for the garbage to be collected.
        self._parser = None
        if not self._is_complete:  # Else it may still be read.
            self._payload = None
        self._wake()

    def check(self, now: float, *, silence: float, deadline: float) -> None:
        """
        Give up the answer if it is not worth waiting for.  See `StallDetector.complaint`.
        """
        is_begun = self._head is not None
        words = self._patience.check(now, silence=silence, deadline=deadline, is_begun=is_begun)
        if words is not None:
            self._fail(StalledError(words))

    @property
    def _is_complete(self) -> bool:
        """
        Whether the whole answer was received.
        """
        if self._is_parsed:
            return self._payload is not None and self._payload.is_eof()
        return not self._body.missing

    @property
    def _is_ready(self) -> bool:
        """
        Whether there is enough to go on with: one waits for a short answer to be whole, for the
        beginning of a long one, then for as much of it as there is room for.
        """
        if self._head is None:
            return False
        if self._is_asking and (self.is_long or self._head.code != 200):
            return True
        if self._is_parsed and self._payload is not None and self._payload.exception():
            return True
        return self._is_complete or self._body.is_full

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_closed:
            raise ConnectionLostError(_CLOSED)
        self._waiter = self._loop.create_future()
        self._patience.begin(self._loop.time())
        try:
            await self._waiter
        finally:
            self._patience.end(self._loop.time())
            self._waiter = None
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: JobError) -> None:
        self._error = error
        self.close()

    # What the event loop calls.

    def get_buffer(self, _sizehint: int) -> memoryview:
        """
        Say where the next bytes are to be put.
        """
        if self._is_closed or self._is_complete:
            # Nobody has asked, and what was read last may still be in use.
            return _NOWHERE
        return self._body.room()

    def buffer_updated(self, nbytes: int) -> None:
        """
        Take in the *nbytes* bytes that were put there.
        """
        if self._is_closed or self._is_complete:
            self.close()
            return
        self._patience.received(self._loop.time(), nbytes)
        self._received += nbytes
        if not self._is_parsed:
            self._body.filled(nbytes)
            self._take_stock()
        elif self._head is None:
            self._begin(nbytes)
        else:
            self._parse(bytes(self._body.view[:nbytes]))
        if self._error is not None or self._is_parsed or self._is_ready:
            self._wake()

    def eof_received(self) -> None:
        """
        Let the connection be closed: a service that has ended has nothing more to say.
        """

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Find out whether the answer was whole without its end being marked.
        """
        self._is_closed = True
        self._handler.connection_lost(exc)
        if self._is_complete or self._error is not None or self._parser is None:
            return
        words = _words(exc) if exc else _CLOSED
        try:
            # Only what has neither length nor chunks may end like this.
            if exc is None and self._is_parsed and self._head is not None:
                self._parser.feed_eof()
                self._wake()
                return
        except HttpProcessingError as error:
            words = _words(error)
        self._fail(ConnectionLostError(words))

    # What aiohttp's stream calls, when it has unpacked too much and when it has been read.

    def pause_reading(self) -> None:
        """
        Let the service wait.
        """
        self._reading_paused = True
        if self._is_parsed and self._parser is not None:
            self._parser.pause_reading()
        if not self._is_closed:
            self._transport.pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """
        Let the service go on.
        """
        was_paused, self._reading_paused = self._reading_paused, False
        # Also when it was not: the parser may have held something back by itself.
        if resume_parser and self._is_parsed and self._parser is not None:
            self._parse(b"")
        if was_paused and not (self._reading_paused or self._is_closed):
            self._transport.resume_reading()

    # What is done with what has arrived.

    def _begin(self, nbytes: int) -> None:
        """
        Read a head; if its body has a length, take the rest for that.
        """
        start = 0
        while self._head is None and start < nbytes and self._error is None:
            end = self._body.memory.find(_END_OF_HEAD, start, nbytes)
            if end < 0 or self._is_cut:
                # Where a cut head ends only the parser knows: the body behind it is for it, too.
                self._is_cut = True
                self._parse(bytes(self._body.view[start:nbytes]))
                return
            end += len(_END_OF_HEAD)
            self._parse(bytes(self._body.view[start:end]))
            start = end
        if self._head is None or self._error is not None:
            return
        length = length_of(self._head)
        eaten = self._payload is not None and self._payload.total_bytes  # Its lines were odd.
        if length is not None and not eaten:
            self._is_parsed = False
            self._body.begin(start, nbytes, length, whole=self._head.should_close)
            self._take_stock()
        elif start < nbytes:
            self._parse(bytes(self._body.view[start:nbytes]))

    def _take_stock(self) -> None:
        """
        See whether too much has arrived, or as much as there is room for.
        """
        if self._body.missing < 0:
            self._fail(ConnectionLostError("the service said more than it had announced"))
        elif self._body.missing and self._body.is_full:
            self.pause_reading()

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None  # noqa: S101
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as exc:
            self._fail(ConnectionLostError(_words(exc)))
            return
        for message, payload in messages:
            if 100 <= message.code < 200 and message.code != 101:
                continue
            if self._head is not None:
                self._fail(ConnectionLostError("the service answered twice"))
                return
            self._head, self._payload = message, payload


def _words(exc: BaseException) -> str:
    return sanitize(str(exc)) or _CLOSED
