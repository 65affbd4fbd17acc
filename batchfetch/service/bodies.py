"""
A body of known length, received into one buffer and read from it without a copy.
"""

from aiohttp.http import RawResponseMessage

# Bytes taken from a socket at a time.  Half and twice as many were no faster, on loopback.
_MOST_AT_ONCE = 128 * 1024

# Bytes of a buffer to begin with: a small image and all around it.
_AT_FIRST = 64 * 1024

# Bytes of a buffer that must not be too small.
_WHOLE = 8 * 1024 * 1024

Span = tuple[bytes | bytearray, int, int]
"""A piece of a body: the memory that it is in, from where, to where."""


def length_of(head: RawResponseMessage) -> int | None:
    """
    Return the length of the body behind *head*; None if its end must be found in another way.

    Source: RFC 9112, section 6.3.
    """
    if head.code in {204, 304}:
        return 0
    if "Transfer-Encoding" in head.headers or "Content-Encoding" in head.headers:
        return None
    length = head.headers.get("Content-Length")
    return None if length is None else int(length)


class BufferedBody:
    """
    What a socket fills and a reader empties, in turn: *most* bytes at a time.

    The buffer also takes what comes before a body, until `begin` says where that starts.  It is
    small until a body needs more, because most connections never see one that does.
    """

    __slots__ = ("_end", "_start", "memory", "missing", "most", "view")

    def __init__(self, most: int) -> None:
        self.most = most
        """Bytes of a piece, unless it is the last."""

        self.memory = bytearray(min(_AT_FIRST, most))
        self.view = memoryview(self.memory)
        # What was received and not read yet, from where to where.
        self._start = self._end = 0
        self.missing = 0
        """Bytes of it that were not received yet; below 0 if more came than were announced."""

    @property
    def is_full(self) -> bool:
        """
        Whether nothing more can be received before this is read.
        """
        return self._end == len(self.memory)

    @property
    def is_read(self) -> bool:
        """
        Whether all that was received was read, too.
        """
        return self._start == self._end

    @property
    def length(self) -> int:
        """
        Bytes that were not read yet, those that are still to be received included.
        """
        return self._end - self._start + self.missing

    def clear(self) -> None:
        """
        Forget what is in the buffer.
        """
        self._start = self._end = self.missing = 0

    def begin(self, start: int, end: int, length: int, *, whole: bool = False) -> None:
        """
        Say that a body of *length* bytes begins at *start*, and was received up to *end*.

        With *whole* there is room for all of it, up to 8 MiB: TLS throws away what it still holds
        when reading is paused and the connection is closed behind it.
        """
        if whole:
            self.most = max(self.most, min(start + length, _WHOLE))
        self._start, self._end, self.missing = start, end, length - (end - start)
        if start + length > len(self.memory) < self.most:
            # A quarter more, as the next may be a little longer.
            larger = bytearray(min(self.most, (start + length) * 5 // 4))
            larger[:end] = self.view[:end]
            self.memory, self.view = larger, memoryview(larger)

    def room(self) -> memoryview:
        """
        Return where the next bytes are to be put.
        """
        return self.view[self._end : self._end + _MOST_AT_ONCE]

    def filled(self, nbytes: int) -> None:
        """
        Note that *nbytes* bytes were put there.
        """
        self._end += nbytes
        self.missing -= nbytes

    def read(self) -> Span:
        """
        Return where all is that was received and not read yet.
        """
        start, self._start = self._start, self._end
        return self.memory, start, self._end

    def make_room(self) -> bool:
        """
        Begin at the front again if the buffer is full and all of it was read; return whether so.
        """
        if self._start < len(self.memory):
            return False
        self._start = self._end = 0
        return True
