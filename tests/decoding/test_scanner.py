"""
Tests of `decoding.scanner`, which separates the image's text from the rest of the JSON.
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


def without_image(text):
    """
    Return the parsed JSON of *text* with the image's text left empty.
    """
    answer = json.loads(text)
    answer["results"][0]["data"] = ""
    return answer


@pytest.mark.parametrize("text", BODIES)
def test_the_division_into_pieces_does_not_matter(text):
    """
    Any division of any spelling gives the same text and the same envelope.
    """
    for pieces in splits(text):
        data, envelope = scan(pieces)
        assert data == DATA.encode()
        assert json.loads(envelope) == without_image(text)


@given(text=documents(), positions=cuts())
def test_agrees_with_a_parser(text, positions):
    """
    Text and envelope agree with a parser of complete documents.
    """
    data, envelope = scan(cut(text, positions))
    assert data.decode() == json.loads(text)["results"][0]["data"]
    assert json.loads(envelope) == without_image(text)


def outcome(pieces):
    """
    Return the result of scanning *pieces*, or the type and message of the error.
    """
    try:
        return scan(pieces)
    except DecodeError as exc:
        return type(exc), str(exc)


@given(text=lookalikes(), positions=cuts())
def test_the_fast_path_gives_the_same_result(text, positions):
    """
    A body in one piece or a few gives the same result as byte by byte.
    """
    byte_by_byte = outcome([text[i : i + 1] for i in range(len(text))])
    assert outcome([text]) == byte_by_byte
    assert outcome(cut(text, positions)) == byte_by_byte


@pytest.mark.parametrize("text", BODIES)
def test_refuses_every_proper_prefix(text):
    """
    A truncated body is refused, wherever it ends.
    """
    for end in range(len(text.rstrip())):
        scanner = JsonScanner()
        scanner.feed(text[:end])
        with pytest.raises((TruncatedBodyError, MalformedBodyError)):
            scanner.close()


def test_returns_views():
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
def test_recognizes_missing_image_text(data):
    """
    A value that is not a string, or an empty string, is not an image and stays in the envelope.
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
def test_ignores_strings_at_other_paths(text):
    """
    A string at any other path stays in the envelope.
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
def test_refuses_duplicate_keys_on_the_path(text):
    """
    A key on the path to the image must not occur twice.
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
    An escape sequence that is invalid, or not base64, is refused in any division.
    """
    for pieces in splits(b'{"results":[{"data":"AAAA' + data + b'AAAA"}]}'):
        with pytest.raises(MalformedBase64Error):
            scan(pieces)


def test_refuses_broken_escapes_in_keys():
    """
    A key with an invalid escape sequence is refused, because it might be any key.
    """
    for pieces in splits(rb'{"d\x61ta":1}'):
        with pytest.raises(MalformedBodyError, match="key"):
            scan(pieces)


@pytest.mark.parametrize("text", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\t"])
def test_refuses_an_empty_body(text):
    """
    A body of blanks, or of a byte order mark only, is an error.
    """
    for pieces in splits(text):
        with pytest.raises(MalformedBodyError, match="empty"):
            scan(pieces)


@pytest.mark.parametrize(
    "text",
    [b"<html></html>", b"[]", b'"Completed"', b"null", b"x{}", '{"a":1}'.encode("utf-16")],
)
def test_refuses_a_body_that_is_not_an_object(text):
    """
    An HTML page, another JSON value or another encoding is refused at its first byte.
    """
    with pytest.raises(MalformedBodyError, match="not a JSON object"):
        JsonScanner().feed(text)


@pytest.mark.parametrize("rest", [b"x", b"{}", b" }", b"\n\0", b"\xef\xbb\xbf"])
def test_refuses_data_after_the_document(rest):
    """
    Only blanks may follow the document.
    """
    for pieces in splits(b'{"a":{}} ' + rest):
        with pytest.raises(MalformedBodyError, match="data after the JSON document"):
            scan(pieces)


def test_bounds_the_depth():
    """
    Nesting is accepted to the limit, and refused at the first bracket beyond it.
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
    An endless body outside the image's text is refused after about one mebibyte.
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
    The time is linear: a long string in single bytes takes a second, not minutes.
    """
    text = path % (b"A" * (MAX_ENVELOPE // 2))
    data, envelope = scan(text[i : i + 1] for i in range(len(text)))
    assert len(data) + len(envelope) == len(text)


@given(text=garbled(), positions=cuts())
def test_damaged_bodies_give_a_result_or_a_decode_error(text, positions):
    """
    A damaged body gives a text and an envelope, or a `DecodeError`.
    """
    try:
        data, envelope = scan(cut(text, positions))
    except DecodeError:
        return
    assert b"{" in envelope  # The parser of the envelope validates its grammar.
    assert len(data) + len(envelope) <= len(text)
