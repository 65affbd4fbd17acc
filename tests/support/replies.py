"""
Replies of the scripted origin: regular ones, and all known kinds of faulty ones.

A `Reply` is bytes and an ending.  A script is a list of steps, each a reply or a function from the
task's id to one; the last step repeats.
"""

import base64
import functools
import gzip
import itertools
import json
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from http.client import responses
from math import inf

MIB = 2**20


class Ending(Enum):
    """
    The action on the connection after a reply was sent.
    """

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()


@dataclass(frozen=True)
class Reply:
    """
    Raw bytes of a response, headers included, in pieces that are sent separately.
    """

    pieces: Callable[[], Iterable[bytes]]
    ending: Ending = Ending.KEEP
    interval: float = 0.0
    """Seconds to wait before each piece."""


Step = Reply | Callable[[str], Reply]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@functools.cache
def png_of(text: str, padding: int = 0) -> bytes:
    """
    Return a valid one-pixel PNG that is different for each *text*, larger by *padding* bytes.
    """
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    filler = (zlib.crc32(text.encode()) & 0xFF).to_bytes(1, "big") * padding
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"tEXt", b"id\0" + text.encode("ascii", "replace"))
        + (_chunk(b"prIv", filler) if padding else b"")
        + _chunk(b"IDAT", zlib.compress(b"\0\x7f"))
        + _chunk(b"IEND", b"")
    )


def head(status: int = 200, *headers: str, length: int | None = None) -> bytes:
    """
    Return a status line and headers, including the blank line.
    """
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Odd')}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def raw(*pieces: bytes, ending: Ending = Ending.KEEP, interval: float = 0.0) -> Reply:
    """
    Return a reply of exactly these bytes.
    """
    return Reply(lambda: pieces, ending, interval)


def http(body: bytes = b"", status: int = 200, *headers: str) -> Reply:
    """
    Return a well-formed reply with *body*.
    """
    return raw(head(status, *headers, length=len(body)) + body)


def result(
    task_id: str | None,
    task_status: object = "Completed",
    code: object = "Ok",
    *,
    data: str | None = None,
    messages: object = None,
    warnings: object = None,
) -> bytes:
    """
    Return the service's JSON; *data* is the image's base64.
    """
    results = None if data is None else [{"type": "ImagePNG", "data": data}]
    error = None if messages is None is warnings else {"messages": messages, "warnings": warnings}
    fields = {
        "id": task_id,
        "taskStatus": task_status,
        "responseStatusCode": code,
        "results": results,
        "error": error,
    }
    return json.dumps(fields).encode()


def _json(body: bytes) -> Reply:
    return http(body, 200, "Content-Type: application/json")


def text_of(image: bytes) -> str:
    """
    Return *image* in base64.
    """
    return base64.b64encode(image).decode()


def body_of(image: bytes, task_id: str | None = None) -> bytes:
    """
    Return the JSON of a completed task with *image*.
    """
    return result(task_id, data=text_of(image))


def ready(task_id: str) -> Reply:
    """
    Return a reply with status Completed and the image of *task_id*.
    """
    return _json(body_of(png_of(task_id), task_id))


def large(padding: int) -> Callable[[str], Reply]:
    """
    Return a step that replies Completed, with the task's image larger by *padding* bytes.
    """
    return lambda task_id: _json(body_of(png_of(task_id, padding), task_id))


def shared(image: bytes) -> Callable[[str], Reply]:
    """
    Return a step that replies Completed, with *image* for every task; it is held once only.
    """
    data = text_of(image).encode()

    def step(task_id: str) -> Reply:
        before, after = result(task_id, data="@").split(b"@")
        length = len(before) + len(data) + len(after)
        return Reply(lambda: (head(length=length) + before, data, after))

    return step


def says(task_status: object, code: object = "Ok", **fields: object) -> Callable[[str], Reply]:
    """
    Return a step that replies with *task_status* and without an image.
    """
    return lambda task_id: _json(result(task_id, task_status, code, **fields))  # type: ignore[arg-type]  # rows may lie about types


pending = says("Pending", "NotReady")
processing = says("Processing", "NotReady")
failed = says("Error", "Error", messages=["the image is blank"])
unknown = says("NotExist", "TaskNotFound")


def carrying(data: str) -> Callable[[str], Reply]:
    """
    Return a step that replies Completed, with *data* in place of the image's base64.
    """
    return lambda task_id: _json(result(task_id, data=data))


def status(code: int, *headers: str, body: bytes = b'{"title":"no"}') -> Reply:
    """
    Return a reply with the HTTP status *code* and a problem document.
    """
    return http(body, code, "Content-Type: application/problem+json", *headers)


def failing(reply: Reply, *, first: int = 0, times: float = inf) -> Callable[[str], Reply]:
    """
    Return a step that gives *reply* so many *times*, from the request after the *first* ones on.
    """
    asked = itertools.count()
    return lambda task_id: reply if first <= next(asked) < first + times else ready(task_id)


def redirect(url: str, code: int = 302) -> Reply:
    """
    Return a redirect to *url*.
    """
    return status(code, f"Location: {url}")


_BODY = body_of(png_of("anyone", 2000))
_HALF = len(_BODY) // 2
_CHUNKED = head(200, "Transfer-Encoding: chunked")

hang_up = raw(ending=Ending.CLOSE)
reset_before_headers = raw(ending=Ending.RESET)
reset_after_headers = raw(head(length=5000), ending=Ending.RESET)
reset_in_body = raw(head(length=len(_BODY)) + _BODY[:_HALF], ending=Ending.RESET)
short_of_length = raw(head(length=len(_BODY)) + _BODY[:_HALF], ending=Ending.CLOSE)
cut_without_length = raw(head() + _BODY[:_HALF], ending=Ending.CLOSE)
whole_without_length = raw(head() + _BODY, ending=Ending.CLOSE)
cut_in_chunks = raw(_CHUNKED + b"%x\r\n%b" % (len(_BODY), _BODY[:_HALF]), ending=Ending.CLOSE)
cut_between_chunks = raw(_CHUNKED + b"%x\r\n%b\r\n" % (_HALF, _BODY[:_HALF]), ending=Ending.CLOSE)
bad_chunk_header = raw(_CHUNKED + b"zz\r\n" + _BODY, ending=Ending.CLOSE)
garbage_status_line = raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ending=Ending.CLOSE)
huge_header = raw(head(200, "X-Long: " + "x" * 200_000, length=0), ending=Ending.CLOSE)
bytes_after_body = raw(head(length=len(_BODY)) + _BODY + b"and then some", ending=Ending.CLOSE)
silence = raw(ending=Ending.HANG)
silence_in_body = raw(head(length=len(_BODY)) + _BODY[:_HALF], ending=Ending.HANG)
_TRICKLE = 0.05
endless_headers = Reply(lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], _headers()))
endless_continue = Reply(lambda: itertools.repeat(head(100)), interval=_TRICKLE)
drip = raw(
    head(length=len(_BODY)), *(_BODY[i : i + 1] for i in range(len(_BODY))), interval=_TRICKLE
)


def _headers() -> Iterable[bytes]:
    for number in itertools.count():
        yield b"X-%d: %b\r\n" % (number, b"x" * 4000)


def zipped(body: bytes) -> Reply:
    """
    Return a well-formed reply with *body* compressed by gzip.
    """
    packed = gzip.compress(body)
    return http(packed, 200, "Content-Encoding: gzip")


_PACKED = gzip.compress(_BODY)
cut_in_gzip = http(_PACKED[: len(_PACKED) // 2], 200, "Content-Encoding: gzip")
garbled_gzip = http(b"\x1f\x8bnonsense", 200, "Content-Encoding: gzip")


def endless(start: bytes, middle: bytes) -> Reply:
    """
    Return a reply without a length: *start*, then *middle* repeated endlessly.
    """
    return Reply(lambda: itertools.chain([head(), start], itertools.repeat(middle)))


def endless_image() -> Reply:
    """
    Return a reply with a PNG whose first IDAT chunk never ends.
    """
    begin = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))
    begin += struct.pack(">I", 2**31 - 1) + b"IDAT" + b"\x78\x01"
    begin += b"\0" * (-len(begin) % 3)
    start = result(None, data="@").split(b"@")[0] + base64.b64encode(begin)
    return endless(start, b"A" * 65_536)


def repeated(start: bytes, unit: bytes, count: int, end: bytes) -> Reply:
    """
    Return a reply with *start*, *count* times *unit* and *end*, generated while it is sent.
    """
    per_piece = max(1, 65_536 // len(unit))
    whole, rest = divmod(count, per_piece)
    length = len(start) + count * len(unit) + len(end)
    return Reply(
        lambda: itertools.chain(
            [head(length=length), start],
            itertools.repeat(unit * per_piece, whole),
            [unit * rest, end],
        )
    )


def gzip_bomb(mebibytes: int) -> Reply:
    """
    Return a reply of blanks, compressed to a thousandth of its size, in place of JSON.
    """
    packer = zlib.compressobj(wbits=31)
    packed = b"".join(packer.compress(b" " * MIB) for _ in range(mebibytes)) + packer.flush()
    return http(packed, 200, "Content-Encoding: gzip")
