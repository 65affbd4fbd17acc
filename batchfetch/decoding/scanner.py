"""
Incremental JSON scanner that separates the image's base64 text from the rest of a body.

The scanner tracks only where strings begin and end, and the path of keys and indexes to each value.
It does not validate the grammar.  The body without the image's text is a small JSON document, the
*envelope*; parsing the envelope validates the grammar of the whole body.

Together they accept what Python's `json.loads` accepts, and find the same values, except that they
refuse: a body that is not an object or not UTF-8 (RFC 8259, section 8.1; half a surrogate pair in
UTF-8 is neither), more than `MAX_DEPTH` levels, more than `MAX_ENVELOPE` bytes besides the image,
and a key on the path to the image that occurs twice.
"""

import re
from collections.abc import Callable

from pydantic_core import from_json

from batchfetch.decoding.surrogates import replace_lone_surrogates
from batchfetch.errors import (
    MalformedBase64Error,
    MalformedBodyError,
    TooLargeError,
    TruncatedBodyError,
)

MAX_ENVELOPE = 2**20
"""The most bytes of a body besides the image's text."""

MAX_DEPTH = 32
"""The most levels of nested containers."""

# An open container: the current index of an array, or the current key of an object (None before
# the key).
_Step = int | bytes | None

_TARGET: list[_Step] = [b"results", 0, b"data"]

_QUOTE = ord('"')
_BOM = b"\xef\xbb\xbf"
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")
_NOT_LEADING = re.compile(rb"[^ \t\r\n\xef\xbb\xbf]")
_QUOTE_OR_BACKSLASH = re.compile(rb'["\\]')

# Structural characters, and strings: a short one without escapes is matched whole, as keys and most
# values are; of any other only the opening quote.  The bound avoids searching a long string twice.
_TOKENS = re.compile(rb'[\[\]{},]|"(?:[^"\\]{0,64}+")?')

# Fast path: two patterns match everything before and after the image's text in a usual response.
# Anything they do not match is scanned token by token, with the same result.  A blank in the
# patterns stands for a gap, which is any text without tokens.  A member has a plain value and a key
# that is not on the path to the image.
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
    Splits a body, fed in pieces of any size, into the string at `results[0].data` and the rest.

    The time is linear in the length of the body, regardless of the size of the pieces.
    """

    def __init__(self) -> None:
        self.has_data = False
        """Whether a string at `results[0].data` was found that is not empty."""

        # The state of the scanner: the method that reads the next bytes.
        self._scan: Callable[[JsonScanner, bytes, int, int], int] = JsonScanner._scan_before
        self._pieces: list[bytes | memoryview] = []
        self._path: list[_Step] = []
        self._envelope = bytearray()
        # Where in the envelope a string began that continues in the next piece.
        self._string_start = 0
        # The start of an escape sequence that continues in the next piece, at most five bytes.
        self._held = b""
        self._keys_met: set[int] = set()

    def feed(self, chunk: bytes) -> list[bytes | memoryview]:
        """
        Return the pieces of the image's text in *chunk*, unescaped; usually none or one.

        A piece without escape sequences is a view of *chunk*; everything else is copied.

        Raw control characters, which JSON forbids, are kept: the base64 decoder refuses them.

        Raises `MalformedBodyError`, `MalformedBase64Error` or `TooLargeError`.
        """
        if self._held:
            chunk, self._held = self._held + chunk, b""
        pos, end = 0, len(chunk)
        while pos < end:
            pos = self._scan(self, chunk, pos, end)
        pieces, self._pieces = self._pieces, []
        return pieces

    def close(self) -> bytes:
        """
        Declare the end of the body and return the envelope: the body with the image's text removed.

        Raises `TruncatedBodyError` or `MalformedBodyError`.
        """
        if self._scan is JsonScanner._scan_before:
            raise MalformedBodyError("the body is empty")
        if self._scan is not JsonScanner._scan_after:
            raise TruncatedBodyError("the body ends before its JSON is complete")
        return bytes(self._envelope).removeprefix(_BOM)

    def _scan_before(self, chunk: bytes, pos: int, end: int) -> int:
        start = _START.match(chunk, pos, end)
        if start is None:
            if _NOT_LEADING.search(chunk, pos, end):
                raise MalformedBodyError("the body is not a JSON object")
            return self._keep(chunk, pos, end)
        if chunk[start.end() - 1] == _QUOTE:
            self._scan = JsonScanner._scan_target
            self._path = _TARGET.copy()
            self._keys_met = {1, 3}  # The depths of `results` and `data`.
        else:
            self._scan = JsonScanner._scan_structure
            self._path = [None]
        return self._keep(chunk, pos, start.end())

    def _scan_structure(self, chunk: bytes, pos: int, end: int) -> int:
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

    def _scan_string(self, chunk: bytes, start: int, end: int) -> int:
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
            pos += 1  # An escaped character never ends the string.
        return self._keep(chunk, start, end)

    def _scan_target(self, chunk: bytes, pos: int, end: int) -> int:
        # The first quote ends the string.  If it is escaped by a backslash, unescaping fails, as it
        # should: base64 text cannot contain a quote.
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

    def _scan_after(self, chunk: bytes, pos: int, end: int) -> int:
        if _NOT_BLANK.search(chunk, pos, end):
            raise MalformedBodyError("there is data after the JSON document")
        return self._keep(chunk, pos, end)

    def _open(self, step: _Step) -> None:
        if len(self._path) == MAX_DEPTH:
            raise MalformedBodyError(f"the JSON is nested more than {MAX_DEPTH} levels deep")
        self._path.append(step)

    def _enter_key(self, key: bytes) -> None:
        if b"\\" in key:
            key = _unescape_key(key)
        path = self._path
        path[-1] = key
        if key not in _TARGET:
            return
        # Parsers differ in which of two equal keys counts, and one image is already passed on.
        if path == _TARGET[: len(path)]:
            if len(path) in self._keys_met:
                raise MalformedBodyError(f"the JSON has the key {key.decode()} twice")
            self._keys_met.add(len(path))

    def _keep(self, chunk: bytes, start: int, end: int) -> int:
        if len(self._envelope) + end - start > MAX_ENVELOPE:
            raise TooLargeError(f"the answer has over {MAX_ENVELOPE} bytes besides the image")
        self._envelope += chunk[start:end]
        return end


def _unescape(text: bytes) -> bytes:
    try:
        return str(from_json(b'"%b"' % text)).encode()
    except ValueError as exc:
        raise MalformedBase64Error("the image data has an invalid escape sequence") from exc


def _unescape_key(key: bytes) -> bytes:
    try:
        return str(from_json(b'"%b"' % replace_lone_surrogates(key))).encode()
    except ValueError as exc:
        raise MalformedBodyError("the JSON has a key with an invalid escape sequence") from exc
