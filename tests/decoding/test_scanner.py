"""
`decoding.scanner`: JSON bytes → the image's text, and everything around it.
"""

import json

import pytest
from bodies import BODIES, DATA, body, cut, cuts, documents, garbled, lookalikes, splits
from hypothesis import given

from batchfetch.decoding.scanner import MAX_DEPTH, MAX_ENVELOPE, JsonScanner
from batchfetch.errors import (
    DecodeError,
    MalformedBase64Error,
    MalformedBodyError,
    TooLargeError,
    TruncatedBodyError,
)


def scan(pieces):
    """
    Return the image's text and the envelope, read from *pieces*.
    """
    scanner = JsonScanner()
    text = b"".join([part for piece in pieces for part in scanner.feed(piece)])
    envelope = scanner.close()
    assert scanner.has_data is bool(text)
    return text, envelope


def emptied(text):
    """
    Return what *text* says, the image's text left empty.
    """
    answer = json.loads(text)
    answer["results"][0]["data"] = ""
    return answer


@pytest.mark.parametrize("text", BODIES)
def test_does_not_care_where_it_is_cut(text):
    """
    Any division of any spelling gives the same text and the same rest.
    """
    for pieces in splits(text):
        data, envelope = scan(pieces)
        assert data == DATA.encode()
        assert json.loads(envelope) == emptied(text)


@given(text=documents(), positions=cuts())
def test_agrees_with_a_parser(text, positions):
    """
    Text and rest are what a parser of whole documents finds.
    """
    data, envelope = scan(cut(text, positions))
    assert data.decode() == json.loads(text)["results"][0]["data"]
    assert json.loads(envelope) == emptied(text)


def outcome(pieces):
    """
    Return what scanning *pieces* comes to, be it an error.
    """
    try:
        return scan(pieces)
    except DecodeError as exc:
        return type(exc), str(exc)


@given(text=lookalikes(), positions=cuts())
def test_the_short_way_leads_to_the_same(text, positions):
    """
    A body that comes whole, or in large pieces, is read as it is read byte by byte.
    """
    slowly = outcome([text[i : i + 1] for i in range(len(text))])
    assert outcome([text]) == slowly
    assert outcome(cut(text, positions)) == slowly


@pytest.mark.parametrize("text", BODIES)
def test_reads_from_a_buffer_that_is_used_again(text):
    """
    Nothing is kept of a buffer but the pieces handed out, and only its part that counts is read.
    """
    for pieces in splits(text):
        scanner, data = JsonScanner(), b""
        buffer = bytearray(len(text) + 2)
        for piece in pieces:
            end = 1 + len(piece)
            buffer[1:end] = piece
            data += b"".join(scanner.feed(buffer, 1, end))
            buffer[:] = b'"' * len(buffer)
        assert data == DATA.encode()
        assert json.loads(scanner.close()) == emptied(text)


@pytest.mark.parametrize("text", BODIES)
def test_no_proper_prefix_passes(text):
    """
    A body that ends early is told from a whole one, wherever it ends.
    """
    for end in range(len(text.rstrip())):
        scanner = JsonScanner()
        scanner.feed(text[:end])
        with pytest.raises((TruncatedBodyError, MalformedBodyError)):
            scanner.close()


def test_hands_out_views():
    """
    Text without escapes is a view of what was fed, not a copy.
    """
    scanner = JsonScanner()
    chunks = [b'{"results":[{"data":"QUJD', b"QUJD" * 1000, b'QUJD"}]}']
    for chunk in chunks:
        (piece,) = scanner.feed(chunk)
        assert isinstance(piece, memoryview)
        assert piece.obj is chunk


@pytest.mark.parametrize(
    "data",
    [None, 7, True, {}, {"data": "AAAA"}, [], ["AAAA"], ""],
)
def test_knows_when_there_is_no_text(data):
    """
    What is no string, or an empty one, is no image; it stays where it is.
    """
    text, envelope = scan([body(data=data)])
    assert text == b""
    assert json.loads(envelope)["results"][0]["data"] == data


@pytest.mark.parametrize(
    "text",
    [
        b'{"data":"AAAA"}',
        b'{"results":{"data":"AAAA"}}',
        b'{"results":"AAAA"}',
        b'{"results":[["data","AAAA"]]}',
        b'{"results":[{},{"data":"AAAA"}]}',
        b'{"results":[[],{"data":"AAAA"}]}',
        b'{"results":[{"a":{"data":"AAAA"}}]}',
        b'{"results":[[{"data":"AAAA"}]]}',
        b'{"Results":[{"data":"AAAA"}]}',
        b'{"a":{"results":[{"data":"AAAA"}]}}',
        b'{"a":"\\"results\\":[{\\"data\\":\\"AAAA\\"}]"}',
        b'{"results":[{"data ":"AAAA"}]}',
        b'{"a":"results","results":[{"a":"data"},"results"]}',
        b'{"results":[{"dat\\\\u0061":"AAAA"}]}',
    ],
)
def test_passes_over_decoys(text):
    """
    Text anywhere else is part of the rest.
    """
    for pieces in splits(text):
        assert scan(pieces) == (b"", text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"results":[{"data":"AAAA","data":"BBBB"}]}',
        b'{"results":[{"data":"AAAA","d\\u0061ta":null}]}',
        b'{"results":[{"data":null,"data":"AAAA"}]}',
        b'{"results":[{"data":"AAAA"}],"results":null}',
        b'{"results":[{"data":"AAAA"}],"r\\u0065sults":[{"data":"BBBB"}]}',
    ],
)
def test_refuses_two_images_in_one_place(text):
    """
    A key on the way to the image must not occur twice.
    """
    for pieces in splits(text):
        with pytest.raises(MalformedBodyError, match="twice"):
            scan(pieces)


@pytest.mark.parametrize(
    "data",
    [rb"\q", rb"\u00g0", rb"\ud800", rb"\udc00\ud800", rb"AA\"AA", "\\u002\u0661".encode()],
)
def test_refuses_broken_escapes_in_the_text(data):
    """
    An escape that is none, or that base64 cannot hold, is refused however it is cut.
    """
    for pieces in splits(b'{"results":[{"data":"AAAA' + data + b'AAAA"}]}'):
        with pytest.raises(MalformedBase64Error):
            scan(pieces)


def test_refuses_broken_escapes_in_keys():
    """
    A key that cannot be read might be any key.
    """
    for pieces in splits(rb'{"d\x61ta":1}'):
        with pytest.raises(MalformedBodyError, match="key"):
            scan(pieces)


@pytest.mark.parametrize("text", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\t"])
def test_refuses_nothing(text):
    """
    An empty body is no answer.
    """
    for pieces in splits(text):
        with pytest.raises(MalformedBodyError, match="empty"):
            scan(pieces)


@pytest.mark.parametrize(
    "text",
    [b"<html></html>", b"[]", b'"Completed"', b"null", b"x{}", '{"a":1}'.encode("utf-16")],
)
def test_refuses_what_is_no_object(text):
    """
    A page, another value or another encoding is refused at its first byte.
    """
    with pytest.raises(MalformedBodyError, match="not a JSON object"):
        JsonScanner().feed(text)


@pytest.mark.parametrize("rest", [b"x", b"{}", b" }", b"\n\0", b"\xef\xbb\xbf"])
def test_refuses_what_follows(rest):
    """
    Behind the document there are blanks and nothing else.
    """
    for pieces in splits(b'{"a":{}} ' + rest):
        with pytest.raises(MalformedBodyError, match="follows"):
            scan(pieces)


def test_bounds_the_depth():
    """
    Nesting is taken to a depth no answer needs, and refused at once beyond.
    """
    deepest = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert scan([deepest]) == (b"", deepest)
    with pytest.raises(MalformedBodyError, match="nested"):
        JsonScanner().feed(b'{"a":' + b"[" * MAX_DEPTH)


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        (b"", b" "),
        (b'{"a":"', b"x"),
        (b'{"a":"', b"\\n"),
        (b'{"', b"k"),
        (b'{"results":[', b'{"type":"ImagePNG","data":""},'),
        (b'{"a":[', b"1,"),
        (b"{}", b"\n"),
    ],
)
def test_bounds_everything_but_the_image(start, unit):
    """
    An endless body that is not the image's text is refused after about a mebibyte.
    """
    scanner = JsonScanner()
    scanner.feed(start)
    block = unit * (65_536 // len(unit))
    blocks = MAX_ENVELOPE // len(block)
    for _ in range(blocks - 1):
        assert not scanner.feed(block)
    with pytest.raises(TooLargeError):
        for _ in range(3):
            scanner.feed(block)


@pytest.mark.parametrize("path", [b'{"results":[{"data":"%b"}]}', b'{"a":"%b"}', b'{"%b":1}'])
def test_long_strings_byte_by_byte(path):
    """
    What was read is not read again: a long string in single bytes takes a second, not minutes.
    """
    text = path % (b"A" * (MAX_ENVELOPE // 2))
    data, envelope = scan(text[i : i + 1] for i in range(len(text)))
    assert len(data) + len(envelope) == len(text)


@given(text=garbled(), positions=cuts())
def test_accidents_do_not_crash_it(text, positions):
    """
    Whatever comes in, an answer comes out or an error of ours.
    """
    try:
        data, envelope = scan(cut(text, positions))
    except DecodeError:
        return
    assert b"{" in envelope  # Whether it is JSON is for the parser of the envelope to say.
    assert len(data) + len(envelope) <= len(text)
