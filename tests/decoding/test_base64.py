"""
Tests of `decoding.base64`, the strict incremental decoder.
"""

import base64

import pytest
from bodies import cut, cuts, splits
from hypothesis import given
from hypothesis import strategies as st
from readings import GRAMMAR

from batchfetch.decoding.base64 import Base64Decoder
from batchfetch.errors import MalformedBase64Error

TEXTS = [b"", b"QUJD", b"QUI=", b"QQ==", b"+/+/QUJD", base64.b64encode(bytes(range(100)))]


def decode(pieces):
    """
    Return what *pieces* decode to.
    """
    decoder = Base64Decoder()
    data = b"".join([decoder.decode(piece) for piece in pieces])
    decoder.flush()
    return data


@pytest.mark.parametrize("text", TEXTS)
def test_the_division_into_pieces_does_not_matter(text):
    """
    Any division of the text decodes to the same bytes.
    """
    for pieces in splits(text):
        assert decode(pieces) == base64.b64decode(text)


@pytest.mark.parametrize(
    "text",
    [
        b"Q",
        b"QU",
        b"QUJ",
        b"QUJDQ",
        b"=",
        b"====",
        b"Q===",
        b"QUI=QUJD",
        b"QQ==QQ==",
        b"QQ=Q",
        b"QQ===",
        b"QUJD=",
        b"QUJD\n",
        b"QU JDA==",
        b"QU\r\nJD",
        b"QUJ\0",
        b"-_-_",
        b"QUJ\xe9",
        b"data:image/png;base64,QUJD",
        rb"QUI\u003d",
        b'QU"D',
    ],
)
def test_refuses_invalid_text(text):
    """
    Text that is not valid base64 is refused, in any division.
    """
    for pieces in splits(text):
        with pytest.raises(MalformedBase64Error):
            decode(pieces)


@given(text=st.text("QUJDab+/9===\n -_", max_size=24).map(str.encode), positions=cuts())
def test_agrees_with_the_grammar(text, positions):
    """
    Text is accepted exactly if RFC 4648 allows it, and decodes as the standard library decodes it.
    """
    if GRAMMAR.fullmatch(text):
        assert decode(cut(text, positions)) == base64.b64decode(text, validate=True)
    else:
        with pytest.raises(MalformedBase64Error):
            decode(cut(text, positions))


@given(data=st.binary(max_size=300), positions=cuts())
def test_returns_what_was_encoded(data, positions):
    """
    Bytes that are encoded, divided and decoded are unchanged; the pieces may be views.
    """
    pieces = cut(base64.b64encode(data), positions)
    assert decode(map(memoryview, pieces)) == data
