"""
The decoder of JSON responses beside `json.loads`: acceptance, fields and bytes, at every cut.

Where the two differ is listed here, with the reason; on everything else they must agree.
"""

import codecs
import json
import re

import pytest
from bodies import BODIES, DATA, TASK_ID, cut, cuts, documents, garbled, lookalikes
from hypothesis import given
from hypothesis import strategies as st
from readings import RefusedError, reading_of

from batchfetch.decoding import ResultDecoder
from batchfetch.decoding.base64 import Base64Decoder
from batchfetch.decoding.scanner import MAX_DEPTH, MAX_ENVELOPE
from batchfetch.errors import DecodeError

# Values that may stand in a response as they are, or spoil it.
VALUES = [
    *("null", "true", "false", "nul", "True", "NaN", "Infinity", "-Infinity", "-NaN", "nan"),
    *(
        "0",
        "-0",
        "-",
        "+1",
        "01",
        "1.",
        ".5",
        "1e5",
        "1E+5",
        "1e",
        "1e999",
        "0x1",
        "1_0",
        "7" * 400,
    ),
    *("1." + "3" * 400, "0e99999999999", "1 2", "٣"),
    *('""', '"data"', '"results"', '"\\"data\\":\\"AAAA\\""', "'a'", '"a" "b"', '"a', 'a"', '"'),
    *('"\\n\\t\\b\\f\\r\\/\\\\"', '"\\x"', '"\\u12"', '"\\u"', '"\\U0041"', '"\\u00e9"', '"\\"'),
    *('"\\u0000"', '"\0"', '"\x1f"', '"\n"', '"\t"', '"\x7f"', '"\u2028"', '"é😀"', '"\ufeff"'),
    *('"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"\\ud83d"', '"\\ude00"', '"\\ude00\\ud83d"'),
    *('"\\ud83d\\ud83d\\ude00"', '"\\ud83d\\u0041"', '"\\ud83d\\\\ude00"', '"\\\\ud83d"'),
    *('"\\ud83d\\"', '"\\ud83d\\n"', '"\\ud8"', '"\\ud83d\\ude0"', '"\\ud83dx\\ude00"'),
    *("[]", "{}", "[,]", "[1,]", "[1 2]", "[", "]", "{", "}", "[}", "{]", "[[[]]]", "[]]"),
    *('{"a"}', '{"a":}', '{"a":1,}', "{,}", "{1:2}", '{"a" 1}', '{"a":1 "b":2}', "{null:1}"),
    *('{"a":1,"a":2}', '{"":{"":[]}}', '{"results":[{"data":"AAAA"}]}', '[{"data":"AAAA"}]'),
    *("/**/1", "1//", "", " ", "\u00a0", "\v", ",", ":", '"k":1', "\\", "\\u0031"),
    '"' + "x" * 300 + '"',
    '"' + "\\u00e9" * 30 + '"',
    "[" * 20 + "]" * 20,
]

# Where they may stand: beside the image, before and after it, and in its place.
PLACES = [
    '{{"x":{},"taskStatus":"Pending"}}',
    '{{"results":[{{"x":{},"data":"AAAA"}}],"taskStatus":"Completed"}}',
    '{{"results":[{{"data":"AAAA","x":{}}}],"taskStatus":"Completed"}}',
    '{{"results":[{{"data":"AAAA"}},{}],"taskStatus":"Completed"}}',
    '{{"taskStatus":"Completed","results":[{{"data":{}}}]}}',
    '{{"taskStatus":"Completed","results":{}}}',
    '{{"taskStatus":"Completed","results":[{{"data":"AAAA"}}],"error":{{"messages":[{}]}}}}',
    '{{"taskStatus":"Pending","responseStatusCode":{}}}',
]

# In place of a key.
KEYS = [value for value in VALUES if value.startswith('"') and len(value) < 100]
KEY_PLACES = [
    '{{"taskStatus":"Pending",{}:1}}',
    '{{"results":[{{{}:"AAAA"}}],"taskStatus":"Pending"}}',
    '{{{}:[{{"data":"AAAA"}}],"taskStatus":"Pending"}}',
]

BODY = b'{"taskStatus":"Completed","results":[{"data":"AAAA"}]}'
WHOLE = [
    BODY,
    codecs.BOM_UTF8 + BODY,
    codecs.BOM_UTF8 * 2 + BODY,
    b" " + codecs.BOM_UTF8 + BODY,
    BODY + codecs.BOM_UTF8,
    *(
        BODY + rest
        for rest in (b" \t\r\n", b"x", b"{}", b"}", b",", b"\0", b"\x0c", b"\x1a", b"//")
    ),
    *(start + BODY for start in (b" \t\r\n", b"\0", b"x", b"{", b"[", b")]}',\n", b"\x1f\x8b")),
    *(b'{"taskStatus":"Pending","x":"%b"}' % text for text in (b"\xff", b"\xc0\x80", b"\xc3")),
    b'{"taskStatus":"Pending","x":"\xf4\x90\x80\x80"}',
    b'{"taskStatus":"Pending","\xe9":1}',
    b'{"taskStatus":"Pending","x":\xe9}',
    b'{"taskStatus":"Completed","results":[{"data":"AA\xffA"}]}',
    b'{"taskStatus":"Pending","taskStatus":"Error"}',
    b'{"taskStatus":"Nonsense","taskStatus":"Error"}',
    b'{"taskStatus":"Error","taskStatus":"Nonsense"}',
    b'{"taskStatus":"Error","t\\u0061skStatus":"Pending"}',
    b'{"taskStatus":"Pending","error":{"messages":["a"]},"error":{"messages":["b"]}}',
    b'{"taskStatus":"Pending","error":{"messages":["a"],"messages":["b"]}}',
    b'{"taskStatus":"Pending","error":7,"error":null}',
    b'{"taskStatus":"Pending","id":"another","id":null}',
    b'{"taskStatus":"Pending","id":null,"id":"another"}',
    b'{"TaskStatus":"Pending"}',
    b'{"taskStatus":"Pending","results":[{"data":"AAAA"}]}',
    b'{"taskStatus":"Error","error":{"messages":["\\ud83d cut","\\ude00"],"warnings":[null,""]}}',
    b'{"taskStatus":"Completed","results":[{"data":"A\\u0041A\\u0041"}]}',
    b'{"taskStatus":"Completed","results":[{"d\\u0061ta":"AA\\/\\u002b"}]}',
    b'{"taskStatus":"Completed","results":[{"data":"AAA\\ud83d"}]}',
    b'{"taskStatus":"Completed","results":[{"data":"AAAA\n"}]}',
    *BODIES,
]

# What `json.loads` accepts and the decoder refuses, and why.
DIFFERENCES = {
    "a response is UTF-8": [
        (BODY.decode().encode("utf-16"), "not a JSON object"),
        (
            BODY.decode().encode("utf-16-le"),
            "Invalid JSON|data after",
        ),
        (BODY.decode().encode("utf-32"), "not a JSON object"),
        (b'{"taskStatus":"Pending","x":"\xed\xa0\xbd"}', "unicode"),
    ],
    "the first image was passed on before the second key came": [
        (b'{"taskStatus":"Pending","results":[],"results":[]}', "key results twice"),
        (b'{"taskStatus":"Pending","results":[{"data":1,"data":2}]}', "key data twice"),
        (b'{"taskStatus":"Pending","results":[{"data":1,"d\\u0061ta":2}]}', "key data twice"),
    ],
    "the memory for one response is limited": [
        (
            b'{"taskStatus":"Pending","x":%b}' % (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH),
            f"more than {MAX_DEPTH} levels",
        ),
        (
            b'{"taskStatus":"Pending","x":%b}' % (b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH),
            f"more than {MAX_DEPTH} levels",
        ),
    ],
}
HUGE = b'{"taskStatus":"Pending","x":"%b"}' % (b"x" * MAX_ENVELOPE)

# Messages of the errors above.
DELIBERATE = re.compile(r"twice$|levels deep$|not a JSON object$|bytes besides the image$")


def decode(pieces):
    """
    Return the image and the answer in *pieces*, or the error.
    """
    decoder = ResultDecoder(TASK_ID)
    base64 = Base64Decoder()
    try:
        image = b"".join([base64.decode(text) for piece in pieces for text in decoder.feed(piece)])
        answer = decoder.close()
        base64.flush()
    except DecodeError as exc:
        return exc
    return image, answer


def divisions(text):
    """
    Yield *text* whole, in single bytes, and in two pieces cut at every position.
    """
    yield [text]
    yield [text[i : i + 1] for i in range(len(text))]
    for position in range(1, len(text)):
        yield [text[:position], text[position:]]


def require_agreement(text):
    """
    Require that every division of *text* is read as `json.loads` reads the whole.
    """
    try:
        expected = reading_of(text)
    except RefusedError:
        for pieces in divisions(text):
            assert isinstance(decode(pieces), DecodeError), pieces
    else:
        for pieces in divisions(text):
            assert decode(pieces) == expected, pieces


@pytest.mark.parametrize("place", PLACES)
def test_every_value_in_every_place(place):
    """
    Numbers, words, strings, containers and mistakes are accepted and refused alike.
    """
    for value in VALUES:
        require_agreement(place.format(value).encode())


@pytest.mark.parametrize("place", KEY_PLACES)
def test_every_key_in_every_place(place):
    """
    Keys of any spelling are accepted and refused alike.
    """
    for key in KEYS:
        require_agreement(place.format(key).encode())


@pytest.mark.parametrize("text", WHOLE)
def test_whole_responses(text):
    """
    Byte order marks, what stands before and after, other encodings and repeated keys.
    """
    require_agreement(text)


@pytest.mark.parametrize("text", BODIES)
def test_refuses_every_beginning_in_two_pieces(text):
    """
    A response that ends early is refused, as `json.loads` refuses it, wherever it was divided.
    """
    for end in range(len(text.rstrip())):
        with pytest.raises(RefusedError):
            reading_of(text[:end])
        assert isinstance(decode([text[: end // 2], text[end // 2 : end]]), DecodeError)


@pytest.mark.parametrize(
    ("text", "message"), [row for rows in DIFFERENCES.values() for row in rows]
)
def test_what_only_json_accepts(text, message):
    """
    Each difference that is listed is one, in every division.
    """
    json.loads(text)
    for pieces in divisions(text):
        error = decode(pieces)
        assert isinstance(error, DecodeError)
        assert re.search(message, str(error))


def test_a_huge_string_is_refused():
    """
    What is not the image may have a mebibyte.
    """
    reading_of(HUGE)
    assert re.search("besides the image", str(decode([HUGE])))
    within = HUGE.replace(b"x" * 100, b"", 1)
    assert decode(cut(within, range(0, len(within), 65_536))) == reading_of(within)


_texts = st.text(
    st.characters(codec=None) | st.sampled_from('"\\/\0\n\x7f\ud83d\ude00\ufeffé'), max_size=8
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def responses(draw):
    """
    A response of the documented form with anything in the unknown fields, and perhaps some damage.
    """
    error = {
        key: draw(st.none() | st.lists(st.none() | _texts, max_size=2)) for key in ("messages",)
    }
    item = draw(st.dictionaries(_texts, _values, max_size=2)) | {"data": draw(_data)}
    answer = draw(st.dictionaries(_texts, _values, max_size=2)) | {
        "taskStatus": draw(st.sampled_from(["Completed", "Pending", "error", 5])),
        "responseStatusCode": draw(st.none() | st.sampled_from(["Ok", 4]) | _texts),
        "results": draw(st.sampled_from([[item], [item, item], None, [], [7], {"0": item}])),
        "error": draw(st.sampled_from([None, error])),
    }
    text = json.dumps(answer, indent=draw(st.sampled_from([None, 1]))).encode()
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(_damage) + text[start + draw(st.integers(0, 3)) :]
    return text


_data = st.sampled_from([DATA, "AAAA", "", None, 7, "AAA", "AAA\ud83d"])
_damage = st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\xff", b"\\u"])


@given(text=responses() | garbled() | lookalikes() | documents(), positions=cuts())
def test_generated_responses(text, positions):
    """
    Responses of any content, sound and damaged, are read alike; a difference is a listed one.
    """
    found = decode(cut(text, positions))
    try:
        expected = reading_of(text)
    except RefusedError:
        assert isinstance(found, DecodeError)
        return
    if isinstance(found, DecodeError):
        assert DELIBERATE.search(str(found))
    else:
        assert found == expected
