"""
Tokens: one request however many wait, and none that could do harm.
"""

import json
import logging
import traceback

import anyio
import anyio.lowlevel
import pytest

from batchfetch.errors import (
    BatchFetchError,
    ConnectionLostError,
    CredentialsError,
    MalformedBodyError,
    RedirectedError,
    StatusError,
    UntrustedServerError,
)
from batchfetch.service import Credentials, TokenSource

pytestmark = pytest.mark.anyio

PAIR = Credentials(client_id="an-id", client_secret="a-secret")
READY_MADE = Credentials(access_token="ready-made")
BOTH = Credentials(client_id="an-id", client_secret="a-secret", access_token="ready-made")
TOO_MANY = StatusError(429, "too many requests", 600.0)


def granted(text, **fields):
    """
    What the service answers with the token *text*.
    """
    return json.dumps({"access_token": text, "token_type": "Bearer"} | fields).encode()


class Desk:
    """
    Says what it is told to, in order: bytes, or an error to raise; the last one again and again.
    """

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = []

    async def request_token(self, client_id, client_secret):
        self.asked.append((client_id, client_secret))
        await anyio.lowlevel.checkpoint()  # Whoever else wants a token now has the chance to ask.
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Time:
    """
    A clock that only the test moves.
    """

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    """
    The clock of the token sources of a test.
    """
    return Time()


@pytest.fixture
def source(time):
    """
    Make a token source on the test's clock.
    """
    return lambda desk, credentials=PAIR: TokenSource(credentials, desk, clock=time)


async def together(source, askers=100):
    """
    Let many ask at once; return what each got.
    """
    got = []

    async def ask():
        try:
            got.append(await source.token())
        except CredentialsError as exc:
            got.append(exc)

    async with anyio.create_task_group() as tasks:
        for _ in range(askers):
            tasks.start_soon(ask)
    return got


async def test_one_request_however_many_wait(source):
    """
    A hundred that ask at once get the token of one request.
    """
    desk = Desk(granted("first"), granted("second"))
    tokens = source(desk)
    assert await together(tokens) == ["first"] * 100
    assert desk.asked == [("an-id", "a-secret")]
    assert tokens.requests == 1


async def test_token_is_renewed_at_nine_tenths_of_its_life(source, time):
    """
    A token is used for nine tenths of the seconds it is good for, and no longer.
    """
    tokens = source(Desk(granted("first", expires_in=100), granted("second", expires_in=100)))
    assert await tokens.token() == "first"
    time.now += 89.9
    assert await tokens.token() == "first"
    time.now += 0.1
    assert await tokens.token() == "second"
    assert tokens.requests == 2


async def test_life_counts_from_the_question(source, time):
    """
    The time an answer takes is time its token has lived already.
    """

    class SlowDesk(Desk):
        async def request_token(self, client_id, client_secret):
            time.now += 60
            return await super().request_token(client_id, client_secret)

    tokens = source(SlowDesk(granted("first", expires_in=100), granted("second")))
    assert await tokens.token() == "first"
    time.now += 30
    assert await tokens.token() == "second"


async def test_token_without_a_word_on_its_life_has_an_hour(source, time):
    """
    Without `expires_in` a token counts as good for the documented hour.
    """
    tokens = source(Desk(granted("first"), granted("second")))
    await tokens.token()
    time.now += 3239
    assert await tokens.token() == "first"
    time.now += 1
    assert await tokens.token() == "second"


async def test_refused_token_is_replaced_once(source):
    """
    However many report the same token refused, one request replaces it.
    """
    tokens = source(Desk(granted("first"), granted("second"), granted("third")))
    await tokens.token()
    for _ in range(32):
        tokens.refuse("first")
    assert await together(tokens) == ["second"] * 100
    tokens.refuse("first")  # Somebody's answer comes late.
    assert await tokens.token() == "second"
    assert tokens.requests == 2


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_are_never_sent_twice(source, status):
    """
    Everyone who waits, and whoever comes later, gets the one refusal.
    """
    desk = Desk(StatusError(status, f"the service answered {status}"), granted("too late"))
    tokens = source(desk)
    refusals = await together(tokens)
    with pytest.raises(CredentialsError, match=f"refuses the credentials .*{status}"):
        await tokens.token()
    assert len(refusals) == 100
    assert all(isinstance(refusal, CredentialsError) for refusal in refusals)
    assert len(desk.asked) == 1


@pytest.mark.parametrize(
    "fault",
    [
        TOO_MANY,
        ConnectionLostError("reset"),
        StatusError(503, "busy"),
        StatusError(404, "not found"),
        StatusError(402, "to be paid for"),
        RedirectedError("elsewhere"),
        UntrustedServerError("unknown"),
    ],
    ids=["429", "reset", "503", "404", "402", "redirect", "untrusted"],
)
async def test_what_is_no_refusal_of_the_credentials_comes_out_as_it_is(source, fault):
    """
    It is for the caller to wait, or not: each call of `token` makes one request.
    """
    desk = Desk(fault, granted("first"))
    tokens = source(desk)
    with pytest.raises(type(fault), match=str(fault)):
        await tokens.token()
    assert len(desk.asked) == tokens.requests == 1
    assert await tokens.token() == "first"
    assert tokens.requests == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b"",
        granted("first")[:-3],
        b'{"error": "temporarily_unavailable"}',
        b'{"error": "server_error", "error_description": "restarting"}',
    ],
    ids=["html", "no object", "empty", "cut off", "unavailable", "server error"],
)
async def test_answer_without_a_token(source, answer):
    """
    An answer that holds no token is none.
    """
    tokens = source(Desk(answer, granted("first")))
    with pytest.raises(MalformedBodyError, match="holds no token"):
        await tokens.token()
    assert await tokens.token() == "first"


OBJECTS_WITHOUT_A_TOKEN = {
    "no token": ({}, "without a token; check --base-url"),
    "empty": ({"access_token": ""}, "without a token"),
    "blank": ({"access_token": " \r\n"}, "without a token"),
    "null": ({"access_token": None}, "without a token"),
    "number": ({"access_token": 4711}, "without a token"),
    "list": ({"access_token": ["t"]}, "without a token"),
    "problem": ({"title": "Unauthorized", "status": 401}, "without a token: Unauthorized;"),
    "refusal": ({"error": "invalid_client"}, r"refuses the credentials \(invalid_client\)"),
    "empty token beside it": (
        {"error": "invalid_grant", "access_token": "", "error_description": 7},
        r"refuses the credentials \(invalid_grant\)",
    ),
    "both words": (
        {"error": "invalid_client", "error_description": "Client authentication failed"},
        r"refuses the credentials \(invalid_client: Client authentication failed\)",
    ),
    "error of another kind": ({"error": {"code": 7}, "detail": "no"}, "without a token: no;"),
}


@pytest.mark.parametrize(
    ("fields", "words"), OBJECTS_WITHOUT_A_TOKEN.values(), ids=OBJECTS_WITHOUT_A_TOKEN
)
async def test_object_without_a_token_is_final(source, fields, words):
    """
    A JSON object without a usable token is said once and for all, whatever its HTTP status: the
    same pair is not sent again.
    """
    desk = Desk(json.dumps(fields | {"token_type": "Bearer"}).encode(), granted("too late"))
    tokens = source(desk)
    for _ in range(2):
        with pytest.raises(CredentialsError, match=words):
            await tokens.token()
    assert len(desk.asked) == 1


LIVES = {
    "null": 3600,
    "0": 3600,
    "-1": 3600,
    "-1e300": 3600,
    "-1e999": 3600,
    "NaN": 3600,
    '"NaN"': 3600,
    '"soon"': 3600,
    '""': 3600,
    "true": 3600,
    "[60]": 3600,
    '{"seconds": 60}': 3600,
    "60": 60,
    "60.5": 60.5,
    '"60"': 60,
    '" 60.5\\n"': 60.5,
    "0.25": 0.25,
    "86400": 86_400,
    "86401": 86_400,
    "1e300": 86_400,
    "1e999": 86_400,
    '"1e999"': 86_400,
    "9" * 400: 86_400,
    "-" + "9" * 400: 3600,
}


@pytest.mark.parametrize(("life", "seconds"), LIVES.items(), ids=[text[:20] for text in LIVES])
async def test_any_word_on_the_life_of_a_token(source, time, life, seconds):
    """
    What can be read as seconds counts, up to a day; anything else is the documented hour.
    """
    answer = f'{{"access_token": "first", "expires_in": {life}}}'
    tokens = source(Desk(answer.encode(), granted("second")))
    began = time.now
    assert await tokens.token() == "first"
    time.now = began + 0.9 * seconds - 0.001
    assert await tokens.token() == "first"
    time.now = began + 0.9 * seconds + 0.001
    assert await tokens.token() == "second"


@pytest.mark.parametrize("text", [" first", "first\n", "\r\n\tfirst "])
async def test_blanks_around_a_token_are_taken_off(source, text):
    """
    Blanks and line ends around a token are no part of it.
    """
    assert await source(Desk(granted(text))).token() == "first"


async def test_mark_before_the_answer(source):
    """
    A byte order mark before the answer is no part of it.
    """
    assert await source(Desk(b"\xef\xbb\xbf" + granted("first"))).token() == "first"


@pytest.mark.parametrize(
    ("kind", "warned"),
    [("Bearer", False), ("bearer ", False), (None, False), ("", False), (7, False), ("mac", True)],
)
async def test_type_of_a_token(source, caplog, kind, warned):
    """
    Whatever its type, a token is used; a type that is not documented is warned of.
    """
    assert await source(Desk(granted("first", token_type=kind))).token() == "first"
    assert ("'mac'; it is sent as a bearer token" in caplog.text) is warned


@pytest.mark.parametrize("kind", ["gr4nted-t0ken", "mac gr4nted-t0k", "a-secret of an-id"])
async def test_type_that_repeats_a_secret(source, caplog, kind):
    """
    An odd type is shown without the token that came with it, and without the credentials.
    """
    await source(Desk(granted("gr4nted-t0ken", token_type=kind))).token()
    assert "***" in caplog.text
    assert not any(part in caplog.text for part in ("gr4nted-", "a-secret", "an-id"))


@pytest.mark.parametrize(
    ("credentials", "is_renewable"), [(PAIR, True), (READY_MADE, False), (BOTH, True)]
)
async def test_whether_a_token_can_be_renewed(source, credentials, is_renewable):
    """
    It takes a client id and its secret.
    """
    assert source(Desk(granted("first")), credentials).is_renewable is is_renewable


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "two words", "töken", "\x7f"])
async def test_token_that_would_forge_a_header_is_refused(source, text):
    """
    A token with characters that no header takes is not sent back, nor shown.
    """
    with pytest.raises(CredentialsError, match="cannot be sent back") as caught:
        await source(Desk(granted(text))).token()
    assert text not in str(caught.value)


async def test_ready_token_is_used_without_a_question(source, time):
    """
    A ready access token serves for as long as the service takes it.
    """
    desk = Desk(granted("never"))
    tokens = source(desk, READY_MADE)
    time.now += 1e9
    assert await tokens.token() == "ready-made"
    assert desk.asked == []


async def test_ready_token_is_replaced_when_refused(source):
    """
    With a client id and secret beside it, a refused access token is renewed.
    """
    tokens = source(Desk(granted("first")), BOTH)
    assert await tokens.token() == "ready-made"
    tokens.refuse("ready-made")
    assert await tokens.token() == "first"


async def test_ready_token_that_is_refused_cannot_be_replaced(source):
    """
    A refused access token alone is the end, and the error says what to do.
    """
    desk = Desk(granted("never"))
    tokens = source(desk, READY_MADE)
    tokens.refuse("ready-made")
    for _ in range(2):
        with pytest.raises(CredentialsError, match="get a new one, or give a client id"):
            await tokens.token()
    assert desk.asked == []
    assert tokens.requests == 0


async def test_one_that_waits_and_leaves_does_not_spoil_it(source):
    """
    A poller that is cancelled while the token is asked for leaves the others to get theirs.
    """
    tokens = source(Desk(granted("first")))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tokens.token)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert await tokens.token() == "first"


@pytest.mark.parametrize(
    "fault",
    [
        b'{"access_token": "leaked token", "expires_in": 0}',
        b'{"error": "invalid_client", "error_description": "no a-secret of an-id"}',
        b'{"error": "server_error", "error_description": "no a-secret of an-id"}',
        ConnectionLostError("reset"),
    ],
)
async def test_errors_and_logs_hold_no_secret(source, caplog, fault):
    """
    Neither what is sent nor what comes back is in an error, its causes or the log.
    """
    with (
        caplog.at_level(logging.DEBUG, "batchfetch"),
        pytest.raises(BatchFetchError) as caught,
    ):
        await source(Desk(fault)).token()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert not any(secret in shown for secret in ("an-id", "a-secret", "leaked"))
