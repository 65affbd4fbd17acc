"""
Response bodies in every valid spelling, and their divisions into pieces.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random

from hypothesis import strategies as st
from pngs import SMALL

TASK_ID = "94b25465-48cc-4485-8669-b18f66bef4ae"

# All characters of the base64 alphabet, and padding.
DATA = base64.b64encode(SMALL + bytes(range(256)) + b"\xfb\xff\xfe\xff").decode()


def body(*, data: object = DATA, **fields: object) -> bytes:
    """
    Return the body for a completed task, with *fields* replaced or added.
    """
    usual = {
        "id": TASK_ID,
        "responseStatusCode": "Ok",
        "taskStatus": "Completed",
        "results": [{"type": "ImagePNG", "data": data}],
        "error": None,
    }
    return json.dumps(usual | fields).encode()


_ITEM = {"type": "ImagePNG", "data": DATA}
_DECOYS = {
    "note": '"results":[{"data":"AAAA"}]',
    "data": "AAAA",
    "words": "results",
    "Results": [{"data": "AAAA"}],
    "more": {"results": [{"data": "AAAA"}], "data": ["AAAA", {"data": "AAAA"}]},
    "back\\slash": 'quote " and \\',
}

BODIES = [
    body(),
    json.dumps(json.loads(body()), indent="\t").encode(),
    json.dumps(json.loads(body()), separators=(",", ":")).encode(),
    b"\xef\xbb\xbf \r\n" + body() + b"\n\n",
    json.dumps({"results": [_ITEM], "taskStatus": "Completed"}).encode(),
    body().replace(b"/", rb"\/"),
    body().replace(b"+", rb"\u002B").replace(b"/", rb"\u002f"),
    body().replace(b"iVBOR", rb"\u0069\u0056BOR").replace(b"=", rb"\u003d"),
    body().replace(b'"data"', rb'"d\u0061ta"').replace(b'"results"', rb'"\u0072esults"'),
    json.dumps(json.loads(body()) | _DECOYS).encode(),
    json.dumps(_DECOYS | json.loads(body())).encode(),
    body(results=[_DECOYS | _ITEM, {"type": "Text", "data": "AAAA"}, 7, [_ITEM]]),
    body(results=[_ITEM | {"nested": [[{"data": "AAAA"}], {}]}]),
    body(unknown={"é": "\u2028 ü \U0001f600", "n": [1, -2.5e9, True, None, [], {}]}),
    json.dumps(json.loads(body(name="ü \U0001f600")), ensure_ascii=False).encode(),
]


def payload_of(text: bytes) -> bytes:
    """
    Return the image in *text*, read with a parser of complete documents.
    """
    return base64.b64decode(json.loads(text)["results"][0]["data"], validate=True)


def splits(text: bytes) -> Iterator[list[bytes]]:
    """
    Yield divisions of *text*: one piece, single bytes, and two pieces cut at each position.
    """
    yield [text]
    yield [text[i : i + 1] for i in range(len(text))]
    for position in range(1, len(text)):
        yield [text[:position], text[position:]]


def cut(text: bytes, positions: Iterable[int]) -> list[bytes]:
    """
    Return *text* in pieces, cut at *positions*, taken modulo its length.
    """
    bounds = sorted({0, len(text), *(position % (len(text) + 1) for position in positions)})
    return [text[start:end] for start, end in pairwise(bounds)]


def cuts() -> st.SearchStrategy[list[int]]:
    """
    Positions for `cut`.
    """
    return st.lists(st.integers(0, 5000), max_size=12)


def spell(value: object, random: Random) -> str:
    """
    Return *value* as JSON, with blanks, escapes and the order of keys chosen by *random*.
    """
    gap = random.choice(["", "", " ", "\t", "\r\n"])
    match value:
        case str():
            return '"' + "".join(_spell_letter(letter, random) for letter in value) + '"'
        case Mapping():
            items = random.sample(list(value.items()), len(value))
            pairs = (f"{spell(key, random)}{gap}:{gap}{spell(item, random)}" for key, item in items)
            return "{" + gap + f"{gap},".join(pairs) + gap + "}"
        case Sequence():
            return "[" + f"{gap},".join(spell(item, random) for item in value) + gap + "]"
        case _:
            return gap + json.dumps(value) + gap


def _spell_letter(letter: str, random: Random) -> str:
    escaped = json.dumps(letter)[1:-1]
    if letter in '"\\' or letter < " ":
        return escaped
    if letter == "/" and random.random() < 0.5:
        return r"\/"
    if random.random() < 0.1:
        units = letter.encode("utf-16-be").hex()
        return "".join(rf"\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return letter


_names = st.sampled_from(["data", "results", "id", "da\\ta", '"data":"']) | st.text(max_size=80)
_noise = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=8,
)
_extras = st.dictionaries(
    _names.filter(lambda name: name not in {"id", "results", "data"}), _noise, max_size=3
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """
    A body for a completed task, with many members that must be ignored.
    """
    item = draw(_extras) | {"data": base64.b64encode(draw(st.binary(min_size=1))).decode()}
    answer = draw(_extras) | {
        "id": draw(st.sampled_from([None, TASK_ID, TASK_ID.upper()])),
        "taskStatus": draw(st.sampled_from(["Completed", "completed", 3])),
        "results": [item, *draw(st.lists(_noise, max_size=2))],
    }
    return spell(answer, draw(st.randoms(use_true_random=False))).encode()


@st.composite
def garbled(draw: st.DrawFn) -> bytes:
    """
    A valid body with some random damage.
    """
    text = bytearray(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 3) | st.integers(0, 400))
        tokens = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"=", b"null", b"\xef\xbb\xbf"]
        text[start:end] = draw(st.sampled_from(tokens) | st.binary(max_size=4))
    return bytes(text)


_KEYS = ["id", "type", "error", "data", "results", "d\\u0061ta", "Data", "data ", "", "k" * 65]
_VALUES = [
    *("null", "7", '"x"', '""', '"data"', '"results"', '"\\""', f'"{"x" * 65}"'),
    *("{}", "[]", '["data","a"]', '{"data":"BBBB"}', '[{"data":"BBBB"}]', '"a":"data"', ""),
]
_GAPS = [[""], ["", " "], ["", "\r\n\t"], ["", " ", " " * 65]]


@st.composite
def lookalikes(draw: st.DrawFn) -> bytes:
    """
    A body similar to the usual one, which may be slightly malformed.
    """

    gaps = draw(st.sampled_from(_GAPS))

    def gap() -> str:
        return draw(st.sampled_from(gaps))

    def members() -> list[str]:
        return [
            f'"{key}"{gap()}:{gap()}{draw(st.sampled_from(_VALUES))}{gap()}'
            for key in draw(st.lists(st.sampled_from(_KEYS), max_size=2))
        ]

    data = f'"data"{gap()}:{gap()}"AAAA"{gap()}'
    item = "{" + gap() + f",{gap()}".join([*members(), data, *members()]) + "}" + gap()
    results = f'"results"{gap()}:{gap()}[{gap()}{item}]{gap()}'
    text = gap() + "{" + gap() + f",{gap()}".join([*members(), results, *members()]) + "}" + gap()
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        damage = draw(st.sampled_from(['"', ",", "{", "}", "[", "]", ":", "x"]))
        text = text[:start] + damage + text[start + draw(st.integers(0, 8)) :]
    return text.encode()
