"""
JSON bytes in pieces → the image's text as it arrives, and everything around it.

The scanner knows just enough JSON to find its way: where strings begin and end, and which key or
index a value hangs on.  It does not judge the grammar.  What it read, with the image's text left
out, is a small JSON document of its own, the *envelope*; whoever parses that checks the grammar of
the whole.
"""

import re
from collections.abc import Callable

from pydantic_core import from_json

from batchfetch.errors import (
    MalformedBase64Error,
    MalformedBodyError,
    TooLargeError,
    TruncatedBodyError,
)

MAX_ENVELOPE = 2**20
"""Bytes of a body besides the image's text."""

MAX_DEPTH = 32

# An open container: the index reached in an array; the current key of an object, None before it.
_Step = int | bytes | None

_Chunk = bytes | bytearray

_TARGET: list[_Step] = [b"results", 0, b"data"]

_QUOTE = ord('"')
_BOM = b"\xef\xbb\xbf"
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")
_NOT_LEADING = re.compile(rb"[^ \t\r\n\xef\xbb\xbf]")
_QUOTE_OR_BACKSLASH = re.compile(rb'["\\]')

# Structure, and strings: a short plain one whole (keys and words are), else its opening quote.
# The bound keeps a long string from being searched twice.
_TOKENS = re.compile(rb'[\[\]{},]|"(?:[^"\\]{0,64}+")?')

# The usual answer takes two steps: all before the image's text, and all behind it.  What these do
# not match is left to the tokens, and comes to the same.  A blank in the patterns stands for a gap,
# whatever holds no token; a member holds no other, and is not on the way to the image.
_GAP = rb'[^"\[\]{},]{0,64}+'
_MEMBER = rb'(?!"(?:results|data)")(?:"[^"\\]{0,64}+" ){1,2}'


def _usual(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern.replace(b"MEMBER", _MEMBER).replace(b" ", _GAP))


_START = _usual(
    rb"[\x20\t\r\n\xef\xbb\xbf]*+"
    rb'\{ (?:MEMBER, ){0,16}(?:"results" \[ \{ (?:MEMBER, ){0,16}"data" ")?'
)
_END = _usual(rb'" (?:, MEMBER){0,16}\} \] (?:, MEMBER){0,16}\}')

_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_LONGEST_CUT_ESCAPE = len(rb"\u002")


class JsonScanner:
    """
    Split a body, fed in pieces of any size, into the string at `results[0].data` and the rest.

    The time taken is linear in the body's length, however it is cut.
    """

    def __init__(self) -> None:
        self.has_data = False
        """Whether the string at `results[0].data` was met and is not empty."""

        # The state: what reads on from here.
        self._scan: Callable[[JsonScanner, _Chunk, int, int], int] = JsonScanner._scan_before
        self._pieces: list[bytes | memoryview] = []
        self._path: list[_Step] = []
        self._envelope = bytearray()
        # Where the string being read began, if it goes over the end of a piece.
        self._string_start = 0
        # What was fed and cannot be read yet: an escape sequence cut in two, at most five bytes.
        self._held = b""
        self._keys_met: set[int] = set()

    def feed(
        self, chunk: _Chunk, start: int = 0, end: int | None = None
    ) -> list[bytes | memoryview]:
        """
        Return what *chunk* holds of the image's text, unescaped; most often nothing or one piece.

        What counts of *chunk* is from *start* to *end*.  A piece without escape sequences is a view
        of it, not a copy, good for as long as *chunk* is left unchanged; all else is copied.

        Raw control characters are left in: they are no base64, and the base64 decoder says so.

        Raises `MalformedBodyError`, `MalformedBase64Error` or `TooLargeError`.
        """
        if end is None:
            end = len(chunk)
        if self._held:
            chunk, self._held = self._held + memoryview(chunk)[start:end], b""
            start, end = 0, len(chunk)
        pos = start
        while pos < end:
            pos = self._scan(self, chunk, pos, end)
        pieces, self._pieces = self._pieces, []
        return pieces

    def close(self) -> bytes:
        """
        Declare the end of the body and return the envelope: the body, the image's text left empty.

        Raises `TruncatedBodyError` or `MalformedBodyError`.
        """
        if self._scan is JsonScanner._scan_before:
            raise MalformedBodyError("the body is empty")
        if self._scan is not JsonScanner._scan_after:
            raise TruncatedBodyError("the body ends before its JSON does")
        return bytes(self._envelope).removeprefix(_BOM)

    def _scan_before(self, chunk: _Chunk, pos: int, end: int) -> int:
        start = _START.match(chunk, pos, end)
        if start is None:
            if _NOT_LEADING.search(chunk, pos, end):
                raise MalformedBodyError("the body is not a JSON object")
            return self._keep(chunk, pos, end)
        if chunk[start.end() - 1] == _QUOTE:
            self._scan = JsonScanner._scan_target
            self._path = _TARGET.copy()
            self._keys_met = {1, 3}  # As deep as they are: `results` and `data`.
        else:
            self._scan = JsonScanner._scan_structure
            self._path = [None]
        return self._keep(chunk, pos, start.end())

    def _scan_structure(self, chunk: _Chunk, pos: int, end: int) -> int:
        path = self._path
        for match in _TOKENS.finditer(chunk, pos, end):
            token = match[0]
            if token[0] == _QUOTE:
                if path[-1] is not None and path == _TARGET:
                    self._scan = JsonScanner._scan_target
                    return self._keep(chunk, pos, match.start() + 1)
                if len(token) == 1:
                    self._scan = JsonScanner._scan_string
                    self._keep(chunk, pos, match.end())
                    self._string_start = len(self._envelope)
                    return match.end()
                if path[-1] is None:
                    self._enter_key(token[1:-1])
            elif token == b",":
                step = path[-1]
                path[-1] = step + 1 if isinstance(step, int) else None
            elif token == b"{":
                self._open(None)
            elif token == b"[":
                self._open(0)
            else:
                path.pop()
                if not path:
                    self._scan = JsonScanner._scan_after
                    return self._keep(chunk, pos, match.end())
        return self._keep(chunk, pos, end)

    def _scan_string(self, chunk: _Chunk, start: int, end: int) -> int:
        pos = start
        while match := _QUOTE_OR_BACKSLASH.search(chunk, pos, end):
            pos = match.end()
            if match[0] == b'"':
                self._keep(chunk, start, pos)
                self._scan = JsonScanner._scan_structure
                if self._path[-1] is None:
                    self._enter_key(bytes(self._envelope[self._string_start : -1]))
                return pos
            if pos == end:
                self._held = match[0]
                self._keep(chunk, start, pos - 1)
                return pos
            pos += 1  # Whatever is escaped, it does not end the string.
        return self._keep(chunk, start, end)

    def _scan_target(self, chunk: _Chunk, pos: int, end: int) -> int:
        # The first quote ends the string.  If a backslash escapes it, unescaping fails: such a
        # text is no base64 anyway.
        quote = chunk.find(b'"', pos, end)
        stop = quote if quote >= 0 else end
        if chunk.find(b"\\", pos, stop) < 0:
            piece: bytes | memoryview = memoryview(chunk)[pos:stop]
        else:
            if quote < 0 and (
                cut := _CUT_ESCAPE.search(chunk, max(pos, end - _LONGEST_CUT_ESCAPE), end)
            ):
                stop = cut.start()
                self._held = cut[0]
            piece = _unescape(bytes(chunk[pos:stop]))
        if piece:
            self.has_data = True
            self._pieces.append(piece)
        if quote < 0:
            return end
        if usual := _END.match(chunk, quote, end):
            self._scan = JsonScanner._scan_after
            return self._keep(chunk, quote, usual.end())
        self._scan = JsonScanner._scan_structure
        return self._keep(chunk, quote, quote + 1)

    def _scan_after(self, chunk: _Chunk, pos: int, end: int) -> int:
        if _NOT_BLANK.search(chunk, pos, end):
            raise MalformedBodyError("something follows the JSON")
        return self._keep(chunk, pos, end)

    def _open(self, step: _Step) -> None:
        if len(self._path) == MAX_DEPTH:
            raise MalformedBodyError(f"the JSON is nested more than {MAX_DEPTH} deep")
        self._path.append(step)

    def _enter_key(self, key: bytes) -> None:
        if b"\\" in key:
            key = _unescape_key(key)
        path = self._path
        path[-1] = key
        if key not in _TARGET:
            return
        # Which of two would count is a matter of taste among parsers, and one image is gone by now.
        if path == _TARGET[: len(path)]:
            if len(path) in self._keys_met:
                raise MalformedBodyError(f"the JSON has the key {key.decode()} twice")
            self._keys_met.add(len(path))

    def _keep(self, chunk: _Chunk, start: int, end: int) -> int:
        if len(self._envelope) + end - start > MAX_ENVELOPE:
            raise TooLargeError(f"the answer holds over {MAX_ENVELOPE} bytes besides the image")
        self._envelope += chunk[start:end]
        return end


def _unescape(text: bytes) -> bytes:
    try:
        return str(from_json(b'"%b"' % text)).encode()
    except ValueError as exc:
        raise MalformedBase64Error("the image's text holds a broken escape sequence") from exc


def _unescape_key(key: bytes) -> bytes:
    try:
        return str(from_json(b'"%b"' % key)).encode()
    except ValueError as exc:
        raise MalformedBodyError("the JSON has a key with a broken escape sequence") from exc
