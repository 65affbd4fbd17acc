"""
Tests of `decoding.response`: decoding a body into image data and an answer.
"""

import json

import pytest
from bodies import BODIES, TASK_ID, body, cut, cuts, documents, garbled, payload_of, splits
from hypothesis import given
from hypothesis import strategies as st

from batchfetch.decoding import FileDecoder, ResultDecoder
from batchfetch.decoding.base64 import Base64Decoder
from batchfetch.decoding.envelope import MAX_TEXTS
from batchfetch.errors import (
    DecodeError,
    MalformedBodyError,
    NoDataError,
    TruncatedBodyError,
    WrongTaskError,
)
from batchfetch.models import Answer, TaskStatus
from batchfetch.text import MAX_LENGTH, UNCUT_LENGTH


def read(pieces, task_id=TASK_ID):
    """
    Return the image and the answer in *pieces*.
    """
    decoder = ResultDecoder(task_id)
    base64 = Base64Decoder()
    data = b"".join([base64.decode(text) for piece in pieces for text in decoder.feed(piece)])
    answer = decoder.close()
    base64.flush()
    return data, answer


def answer_to(text):
    """
    Return the answer in a body that has no image.
    """
    data, answer = read([text])
    assert data == b""
    return answer


@pytest.mark.parametrize("text", BODIES)
def test_the_division_into_pieces_does_not_matter(text):
    """
    Any division of any spelling gives the same image and the same answer.
    """
    expected = payload_of(text)
    for pieces in splits(text):
        data, answer = read(pieces)
        assert data == expected
        assert answer.status is TaskStatus.COMPLETED


@pytest.mark.slow
@given(text=documents(), positions=cuts())
def test_agrees_with_a_parser(text, positions):
    """
    Image and status agree with a parser of complete documents and a strict decoder.
    """
    data, answer = read(cut(text, positions))
    assert data == payload_of(text)
    assert answer.status is TaskStatus.COMPLETED


@given(text=documents(), share=st.floats(0, 1, exclude_max=True))
def test_refuses_every_proper_prefix(text, share):
    """
    A truncated body is an error, never an answer.
    """
    with pytest.raises(DecodeError):
        read([text[: int(share * len(text.rstrip()))]])


@given(text=garbled(), positions=cuts())
def test_accepts_nothing_a_parser_refuses(text, positions):
    """
    A damaged body is refused, or is valid JSON with exactly the image returned.
    """
    try:
        data, _ = read(cut(text, positions))
    except DecodeError:
        return
    answer = json.loads(text.decode("utf-8-sig"))
    assert not data or data == payload_of(text)
    assert answer["taskStatus"].lower() in {status.lower() for status in TaskStatus}


@given(text=st.binary(max_size=200), positions=cuts())
def test_noise_is_refused(text, positions):
    """
    Random bytes are not accepted as an answer.
    """
    with pytest.raises(DecodeError):
        read(cut(text, positions))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Pending", TaskStatus.PENDING),
        ("PROCESSING", TaskStatus.PROCESSING),
        ("error", TaskStatus.ERROR),
        ("NotExist", TaskStatus.NOT_EXIST),
        (1, TaskStatus.PENDING),
        (2, TaskStatus.PROCESSING),
        (4, TaskStatus.ERROR),
        (5, TaskStatus.NOT_EXIST),
    ],
)
def test_knows_every_status(status, expected):
    """
    A status is a name in any case, or the number the service's SDK gives it.
    """
    assert answer_to(body(taskStatus=status, results=None)).status is expected


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("Queued", "'Queued'"),
        (0, "0"),
        (6, "6"),
        (1.0, "1.0"),
        (True, "True"),
        (None, "None"),
        ([1], "1"),
    ],
)
def test_refuses_an_unknown_status(status, shown):
    """
    A status that is not documented is an error, and the message names it.
    """
    with pytest.raises(MalformedBodyError, match=f"taskStatus: .*{shown}"):
        answer_to(body(taskStatus=status, results=None))


def test_bounds_an_unknown_status():
    """
    An unknown status is quoted with limited length and without control characters.
    """
    with pytest.raises(MalformedBodyError) as caught:
        answer_to(body(taskStatus="\x1b" + "x" * 5000, results=None))
    assert len(str(caught.value)) <= MAX_LENGTH
    assert str(caught.value).isprintable()


def test_refuses_a_missing_status():
    """
    The status is the only required field.
    """
    with pytest.raises(MalformedBodyError, match="taskStatus"):
        answer_to(b"{}")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NotReady", "NotReady"),
        ("notready", "NotReady"),
        (6, "NotReady"),
        (4, "ResultDataLost"),
        ("Teapot\x1b", "Teapot\ufffd"),
        (None, None),
    ],
)
def test_knows_every_response_status_code(code, expected):
    """
    A code is a documented name or its number; any other value is sanitized and kept.
    """
    answer = answer_to(body(responseStatusCode=code, taskStatus="Pending", results=None))
    assert answer.response_status_code == expected


@pytest.mark.parametrize(
    "text",
    [
        b'{"taskStatus":"Pending"}',
        body(taskStatus="Pending", id=None, responseStatusCode=None, results=None, error=None),
        body(taskStatus="Pending", results=[], error={}),
        body(taskStatus="Pending", results={}, error={"messages": None, "warnings": None}),
        body(taskStatus="Pending", results=[{"type": "Text", "data": None}]),
    ],
)
def test_everything_else_may_be_missing(text):
    """
    Every field but the status may be null, empty or absent.
    """
    answer = answer_to(text)
    assert answer.status is TaskStatus.PENDING
    assert (answer.messages, answer.warnings) == ((), ())


@pytest.mark.parametrize("answer_id", [None, "", TASK_ID, TASK_ID.upper()])
def test_accepts_its_own_id(answer_id):
    """
    The answer's id may be the requested one in any case, or missing.
    """
    answer = answer_to(body(id=answer_id, taskStatus="Pending", results=None))
    assert answer.status is TaskStatus.PENDING


def test_accepts_an_id_that_is_a_number():
    """
    An id of digits may be a JSON number.
    """
    decoder = ResultDecoder("1234")
    decoder.feed(b'{"id":1234,"taskStatus":"Pending"}')
    assert decoder.close() == Answer(TaskStatus.PENDING)


@pytest.mark.parametrize("status", ["Completed", "Pending", "NotExist"])
def test_refuses_another_id(status):
    """
    An answer for another task is an error, regardless of its status.
    """
    with pytest.raises(WrongTaskError, match="'TTS-\ufffd'"):
        read([body(id="TTS-\u202e", taskStatus=status)])


@pytest.mark.parametrize("data", [None, "", {"a": 1}])
@pytest.mark.parametrize("code", ["Ok", "NoAnyResultData", None])
def test_completed_needs_an_image(data, code):
    """
    A completed task without an image is an error.
    """
    with pytest.raises(NoDataError):
        read([body(data=data, responseStatusCode=code)])


def test_a_lost_result_is_an_answer():
    """
    A completed task whose image is lost is an answer that says so, not an error.
    """
    answer = answer_to(body(results=None, responseStatusCode="ResultDataLost"))
    assert answer == Answer(TaskStatus.COMPLETED, "ResultDataLost")


def test_returns_messages_and_warnings():
    """
    Messages and warnings are returned for any status, without the nulls among them.
    """
    error = {"messages": ["skewed", None, "dark"], "warnings": ["small"]}
    _, answer = read([body(error=error)])
    assert answer.status is TaskStatus.COMPLETED
    assert answer.messages == ("skewed", "dark")
    assert answer.warnings == ("small",)


@pytest.mark.parametrize(
    ("error", "messages"),
    [
        ("dark", ("dark",)),
        (7, ("7",)),
        (False, ("false",)),
        ([], ()),
        (["dark", 7], ("dark", "7")),
        ({"code": 7}, ()),
        ({"messages": "dark", "warnings": None}, ("dark",)),
        (
            {"messages": ["dark", 7, None, True, "", {"a": [1]}]},
            ("dark", "7", "true", '{"a": [1]}'),
        ),
        ({"messages": {"text": "dark"}}, ('{"text": "dark"}',)),
        ({"messages": [float("nan"), float("-inf")]}, ("NaN", "-Infinity")),
    ],
)
def test_an_odd_message_costs_no_image(error, messages):
    """
    Messages of another shape than the documented one are shown as JSON; the image is there.
    """
    data, answer = read([body(error=error)])
    assert data == payload_of(body())
    assert (answer.status, answer.messages) == (TaskStatus.COMPLETED, messages)


def test_limits_messages_and_warnings():
    """
    Texts are limited in length and number, and have no control characters.
    """
    error = {"messages": ["x" * 5000] * 150, "warnings": ["\x1b[2J\n"]}
    answer = answer_to(body(taskStatus="Error", results=None, error=error))
    assert [len(text) for text in answer.messages] == [UNCUT_LENGTH] * MAX_TEXTS
    assert answer.warnings == ("\ufffd[2J ",)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", MalformedBodyError),
        (b"<html><body>Bad gateway</body></html>", MalformedBodyError),
        (b"null", MalformedBodyError),
        (b'{"taskStatus":"Pending",}', MalformedBodyError),
        (b'{"taskStatus":"Pending"}}', MalformedBodyError),
        (b'{"taskStatus" "Pending"}', MalformedBodyError),
        (b'{"taskStatus":"Pending"]', MalformedBodyError),
        (b'{"taskStatus":Pending}', MalformedBodyError),
        (b'{"taskStatus":"Pending","a":"\n"}', MalformedBodyError),
        (b'{"taskStatus":"Pending","a":"\xff"}', MalformedBodyError),
        ('{"taskStatus":"Pending"}'.encode("utf-16-le"), MalformedBodyError),
        (b'{"taskStatus":"Pending"', TruncatedBodyError),
        (b'{"taskStatus":"Pen', TruncatedBodyError),
        (b'{"taskStatus":"Pending\\', TruncatedBodyError),
        (body()[:-9], TruncatedBodyError),
        (body()[: len(body()) // 2], TruncatedBodyError),
    ],
)
def test_distinguishes_truncated_from_malformed(text, error):
    """
    A truncated body and one that is not the documented JSON give different errors.
    """
    for pieces in splits(text):
        with pytest.raises(error):
            read(pieces)


def test_a_file_body_is_the_image():
    """
    The whole body of a file endpoint is the image, and the task is completed.
    """
    decoder = FileDecoder(TASK_ID)
    pieces = [piece for chunk in (b"\x89PNG", b"", b"...") for piece in decoder.feed(chunk)]
    assert pieces == [b"\x89PNG", b"..."]
    assert decoder.close() == Answer(TaskStatus.COMPLETED)


def test_an_empty_file_body_is_an_error():
    """
    A file endpoint must not answer with an empty body.
    """
    decoder = FileDecoder(TASK_ID)
    assert decoder.feed(b"") == []
    with pytest.raises(MalformedBodyError, match="empty"):
        decoder.close()
