"""
Transport: one question, one answer, whatever comes back.

The origin is real and scripted.  How faults end is tabled in `test_faults.py`; here is what the
wire sees and what each error says.
"""

import asyncio
import logging
from base64 import b64encode
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain, repeat

import pytest
import replies
from descriptors import exhausted
from origin import Origin
from reading import read_all
from replies import MIB, Ending, endless, http, raw, ready, status

from batchfetch.errors import (
    ConnectionLostError,
    OutOfDescriptorsError,
    RedirectedError,
    SettingsError,
    StalledError,
    StatusError,
    TransportError,
)
from batchfetch.service import open_transport
from batchfetch.settings import Settings
from batchfetch.version import __version__

pytestmark = pytest.mark.anyio

PATH = "/v5.0/ocr/DeskewImage"
IMPATIENT = {"connect_timeout": 0.3, "read_timeout": 0.3}
"""Settings for answers that do not come; all others have as long as they take on a busy machine."""


@asynccontextmanager
async def talking_to(origin, **settings):
    """
    A transport to *origin*.
    """
    async with open_transport(Settings(**{"base_url": origin.base_url, **settings})) as transport:
        yield transport


async def answer(transport, task_id="t", token="a-token"):
    """
    Ask, and return the whole body.
    """
    async with transport.get_result(PATH, task_id, token, on_sent=list) as body:
        return await read_all(body)


async def failure(*script, **settings):
    """
    Return the error that the first of *script* is answered with.
    """
    async with Origin({"t": script}) as origin, talking_to(origin, **settings) as transport:
        with pytest.raises(TransportError) as caught:
            await answer(transport)
    return caught.value


async def test_question_on_the_wire():
    """
    A question is a GET of the path below the root, with the token, our name, and no encoding.
    """
    async with Origin() as origin, talking_to(origin) as transport:
        assert await answer(transport) == replies.body_of(replies.png_of("t"), "t")
    (call,) = origin.calls
    assert (call.method, call.path, call.task_id) == ("GET", PATH, "t")
    assert call.headers["authorization"] == "Bearer a-token"
    assert call.headers["user-agent"] == f"batchfetch/{__version__}"
    assert call.headers["accept-encoding"] == "identity"
    assert "application/json" in call.headers["accept"]
    assert "cookie" not in call.headers


async def test_root_with_a_path():
    """
    A root may have a path of its own, as behind a gateway.
    """
    async with Origin() as origin:
        root = f"{origin.base_url}/gate%20way/"
        async with talking_to(origin, base_url=root) as transport:
            await answer(transport)
            await transport.request_token("i", "s")
    assert origin.calls[0].path == f"/gate%20way{PATH}"
    assert origin.calls[1].path == "/gate%20way/connect/token"


@pytest.mark.parametrize(
    "task_id", ["a/b?c&d#é", "100%25", "a+b c", "../x", "id=1&id=2", "\n", "ü\u202e\U0001f600", ";"]
)
async def test_id_is_one_value_of_the_query(task_id):
    """
    Whatever an id holds, it arrives as it was and nothing else does.
    """
    async with Origin() as origin, talking_to(origin) as transport:
        await answer(transport, task_id)
    assert [(call.path, call.task_id) for call in origin.calls] == [(PATH, task_id)]


@pytest.mark.parametrize("compressed", [False, True])
async def test_gzip_is_asked_for_if_wanted(compressed):
    """
    gzip is asked for only with `compressed`, and undone whenever it comes.
    """
    async with (
        Origin({"t": [replies.zipped(b"x" * 100_000)]}) as origin,
        talking_to(origin, compressed=compressed) as transport,
    ):
        assert await answer(transport) == b"x" * 100_000
    asked_for = origin.calls[0].headers["accept-encoding"]
    assert asked_for == ("gzip" if compressed else "identity")


async def test_cookies_are_not_kept():
    """
    What the service sets is not sent back.
    """
    async with (
        Origin(default=http(b"{}", 200, "Set-Cookie: a=b; Path=/")) as origin,
        talking_to(origin) as transport,
    ):
        await answer(transport)
        await answer(transport)
    assert not any("cookie" in call.headers for call in origin.calls)


async def test_connection_is_kept_when_the_answer_was_read():
    """
    Questions follow one another on one connection, refused ones included.
    """
    async with (
        Origin({"t": [ready, status(404), status(500), ready]}) as origin,
        talking_to(origin) as transport,
    ):
        for _ in range(4):
            with suppress(StatusError):
                await answer(transport)
    assert {call.connection for call in origin.calls} == {1}


async def test_leaving_early_drops_the_connection():
    """
    An answer that is not wanted any more is not drained, and its connection not used again.
    """
    async with (
        Origin({"t": [endless(b"{", b"x" * 65_536), ready]}) as origin,
        talking_to(origin) as transport,
    ):
        async with transport.get_result(PATH, "t", "a-token", on_sent=list) as body:
            await body.read()
        await answer(transport)
        assert origin.sent["t"] < 16 * MIB
    assert [call.connection for call in origin.calls] == [1, 2]


async def test_dead_connection_is_no_silent_retry():
    """
    A kept connection found dead is an error at once: whoever asks counts, and asks again.
    """
    async with (
        Origin({"t": [ready, replies.hang_up, ready]}) as origin,
        talking_to(origin) as transport,
    ):
        await answer(transport)
        with pytest.raises(ConnectionLostError):
            await answer(transport)
        assert origin.calls_of("t") == 2
        await answer(transport)
    assert [call.connection for call in origin.calls] == [1, 1, 2]


@pytest.mark.parametrize("code", [204, 304, 400, 401, 402, 404, 418, 429, 500, 503, 599])
async def test_status_without_a_result_is_an_error(code):
    """
    The error has the status, and whether asking again may help.
    """
    body = b"" if code in {204, 304} else b'{"title":"no"}'
    error = await failure(raw(replies.head(code, length=len(body)) + body))
    assert isinstance(error, StatusError)
    assert (error.status, error.reason) == (code, f"http_{code}")
    assert error.transient == (code in {429, 500, 503, 599})


@pytest.mark.parametrize("code", [200, 201, 202, 203, 206, 226, 299])
async def test_status_of_success_has_the_answer(code):
    """
    Any status of success but 204 has an answer to be read.
    """
    body = replies.result("t", "Pending")
    reply = raw(replies.head(code, length=len(body)) + body)
    async with Origin({"t": [reply]}, tokens=[reply]) as origin, talking_to(origin) as transport:
        assert await answer(transport) == body
        assert await transport.request_token("i", "s") == body


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b'{"title":"Nope","detail":"The plan has ended"}', ": The plan has ended"),
        (b'{"title":"Nope"}', ": Nope"),
        (b'{"title":["Nope"]}', ": ['Nope']"),
        (b'{"error":"no_plan","error_description":"It has ended"}', ": no_plan: It has ended"),
        (b'{"error":"no_plan","error_description":7,"title":"Nope"}', ": no_plan"),
        (b'{"error":{"code":7},"title":"Nope"}', ": Nope"),
        (b"{}", ""),
        (b'["Nope"]', ""),
        (b"", ""),
        (b"  Busy,\r\n\x1b[2Jcome back  ", ": Busy,  \ufffd[2Jcome back"),
        (b"<html><p>Busy", ""),
        (b"\xff\xfe", ": \ufffd\ufffd"),
        (b"x" * 300, ": " + "x" * 199 + "…"),
        (b"[" * 5000, ": " + "[" * 199 + "…"),
    ],
)
async def test_words_of_an_error_page(page, words):
    """
    An error says what its page says in a sentence, and is none the worse for a bad page.
    """
    error = await failure(status(400, body=page))
    assert str(error) == "the service answered 400 Bad Request" + words


async def test_404_says_what_may_have_happened():
    """
    The removal of deprecated addresses was announced, so a 404 names the way out.
    """
    error = await failure(status(404, body=b""))
    assert str(error) == (
        "the service answered 404 Not Found; the endpoint may have been retired: its replacement is"
        " --endpoint deskew, dewarp, upscale or binarize; or --base-url ends with a part of the"
        " endpoint's path: leave out /v5.0/ocr"
    )


async def test_only_the_beginning_of_an_error_page_is_read():
    """
    A page without end is not read to its end.
    """
    page = replies.Reply(lambda: chain([replies.head(400)], repeat(b"x" * 65_536)))
    async with Origin({"t": [page]}) as origin:
        async with talking_to(origin) as transport:
            with pytest.raises(StatusError):
                await answer(transport)
        assert origin.sent["t"] < 16 * MIB


@pytest.mark.parametrize(
    ("ending", "settings"),
    [(Ending.CLOSE, {}), (Ending.RESET, {}), (Ending.HANG, IMPATIENT)],
)
async def test_page_that_breaks_off_does_not_undo_the_status(ending, settings):
    """
    The status and its Retry-After hold although the rest of the answer does not come.
    """
    page = replies.head(429, "Retry-After: 7", length=100) + b"half"
    error = await failure(raw(page, ending=ending), **settings)
    assert isinstance(error, StatusError)
    assert (error.status, error.retry_after) == (429, 7.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", None),
        ("00", None),
        ("1", 1),
        (" 120 ", 120),
        ("9" * 400, float("inf")),
        ("-0", None),
        ("NaN", None),
        ("inf", None),
        ("120, 120", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("Fri, 31 Dec 1999 23:59:59", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
async def test_retry_after(value, seconds):
    """
    `Retry-After` is seconds or a date; one that is neither, zero or past counts as not given.
    """
    error = await failure(status(503, f"Retry-After: {value}"))
    assert error.retry_after == seconds


async def test_retry_after_a_date():
    """
    A date is as far off as it is from now.
    """
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error = await failure(status(429, f"Retry-After: {date}"))
    assert 3500 < error.retry_after <= 3600


async def test_retry_after_a_date_that_is_about_to_come():
    """
    A date less than a second off is a second, because dates have no fractions.
    """
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    error = await failure(lambda _: status(429, f"Retry-After: {date}"))
    assert error.retry_after in {None, 1.0}  # None if it has come before it was read.


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(code):
    """
    The other origin hears nothing, least of all the token, and the error says where it was.
    """
    async with Origin() as other:
        target = f"{other.base_url}/elsewhere"
        error = await failure(replies.redirect(f"{target}?id=t", code), ready)
        assert (other.calls, other.token_requests) == ([], [])
    assert isinstance(error, RedirectedError)
    assert f"redirects to {target};" in str(error)


async def test_redirect_to_nowhere():
    """
    A redirect that names no place is one all the same.
    """
    assert "redirects to nowhere" in str(await failure(status(302)))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (replies.silence, "time"),
        (replies.silence_in_body, "time"),
        (replies.endless_continue, "no answer arrived in time"),
        (replies.drip, "the answer dripped: "),
    ],
)
async def test_silence_and_drips_are_stalls(reply, words):
    """
    Nothing, or next to nothing, for too long is a stall, in the headers as in the body.
    """
    error = await failure(reply, **IMPATIENT)
    assert isinstance(error, StalledError)
    assert words in str(error).lower()


async def test_slow_answer_that_moves_is_no_stall():
    """
    An answer may take longer than the patience as long as enough of it arrives.
    """
    pieces = [b"x" * 1000] * 10
    script = raw(replies.head(length=10_000), *pieces, interval=0.1)
    async with Origin({"t": [script]}) as origin, talking_to(origin, **IMPATIENT) as transport:
        assert await answer(transport) == b"x" * 10_000


async def test_own_slowness_is_no_stall():
    """
    Time that passes between two reads is ours, not the service's.
    """
    script = raw(replies.head(length=20), b"x" * 10, b"x" * 10, interval=0.01)
    async with (
        Origin({"t": [script]}) as origin,
        talking_to(origin, read_timeout=0.15) as transport,
        transport.get_result(PATH, "t", "a-token", on_sent=list) as body,
    ):
        assert await read_all(body, pause=0.2) == b"x" * 20


@pytest.mark.parametrize(
    "reply",
    [
        replies.hang_up,
        replies.reset_before_headers,
        replies.reset_in_body,
        replies.short_of_length,
        replies.cut_in_chunks,
        replies.bad_chunk_header,
        replies.garbage_status_line,
        replies.garbled_gzip,
        replies.huge_header,
    ],
)
async def test_broken_answer_is_a_lost_connection(reply):
    """
    However an answer breaks, it is said in one line, without the token.
    """
    error = await failure(reply)
    assert isinstance(error, ConnectionLostError)
    assert str(error)
    assert str(error).isprintable()
    assert "a-token" not in f"{error!r} {error.__cause__!r}"


async def test_nobody_listens():
    """
    A refused connection is a lost one, and its words name the place and the system's reason.
    """
    async with Origin() as origin:
        pass
    async with talking_to(origin) as transport:
        words = r"127\.0\.0\.1:\d+ cannot be reached: Connection refused"
        with pytest.raises(ConnectionLostError, match=words):
            await answer(transport)


async def test_no_descriptor_left():
    """
    Without a descriptor for a connection nobody else is blamed.
    """
    async with Origin() as origin, talking_to(origin) as transport:
        with exhausted(), pytest.raises(OutOfDescriptorsError, match="no file descriptor is left"):
            await answer(transport)
        assert await answer(transport)


async def test_token_request_on_the_wire():
    """
    Credentials are sent as a form, to the token's address, and nowhere else in the request.
    """
    async with Origin() as origin, talking_to(origin) as transport:
        body = await transport.request_token("an id&x=1", "s+ü=%")
    (request,) = origin.token_requests
    assert b"granted-token-1" in body
    assert request.method == "POST"
    assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert "authorization" not in request.headers
    assert request.body == (
        b"grant_type=client_credentials&client_id=an+id%26x%3D1&client_secret=s%2B%C3%BC%3D%25"
    )


@pytest.mark.parametrize(
    ("reply", "error", "settings"),
    [
        (status(401), StatusError, {}),
        (status(429, "Retry-After: 600"), StatusError, {}),
        (replies.redirect("http://127.0.0.1:9/"), RedirectedError, {}),
        (replies.hang_up, ConnectionLostError, {}),
        (replies.silence, StalledError, IMPATIENT),
    ],
)
async def test_token_request_that_fails(reply, error, settings, caplog):
    """
    A token request fails like any other, and what was sent is in no error and no log.
    """
    with caplog.at_level(logging.DEBUG):
        async with Origin(tokens=[reply]) as origin, talking_to(origin, **settings) as transport:
            with pytest.raises(error) as caught:
                await transport.request_token("an-id", "a-secret")
    assert len(origin.token_requests) == 1
    assert "a-secret" not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


async def test_endless_token_is_not_read():
    """
    A token answer is read no further than a token can be long.
    """
    async with (
        Origin(tokens=[endless(b'{"access_token":"', b"x" * 65_536)]) as origin,
        talking_to(origin) as transport,
    ):
        assert len(await transport.request_token("i", "s")) == 64 * 1024


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_ca_file_that_is_none(tmp_path, content):
    """
    Root certificates that cannot be used are a setting to correct, said before anything is asked.
    """
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"--ca-file .*ca\.pem cannot be used: .*PEM"):
        async with open_transport(Settings(base_url="https://localhost:9", ca_file=ca_file)):
            pass


async def test_ca_file_does_not_matter_to_plain_http(tmp_path):
    """
    Without https nothing is trusted, and no file is read.
    """
    async with Origin() as origin, talking_to(origin, ca_file=tmp_path / "none") as transport:
        assert await answer(transport)


class Proxy:
    """
    A proxy that refuses with this *status* and these *words*, and remembers what it was asked.
    """

    def __init__(self, words="No", *, status=407):
        self.requests = []
        self.status = status
        self.words = words

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.status} {self.words}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@pytest.fixture
def environment(monkeypatch):
    """
    Set what the environment says of proxies: this, and nothing else.
    """

    def environment(**variables):
        for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return environment


async def through(base_url):
    """
    Ask *base_url* and return the error.
    """
    async with open_transport(Settings(base_url=base_url)) as transport:
        with pytest.raises(TransportError) as caught:
            await answer(transport)
    return caught.value


async def test_proxy_of_the_environment_is_asked(environment):
    """
    The proxy gets a CONNECT to the service, with its own password, and never the token.
    """
    async with Proxy() as proxy:
        environment(HTTPS_PROXY=f"http://user:pass%20word@{proxy.address}")
        error = await through("https://service.invalid")
    (request,) = proxy.requests
    assert request.startswith("CONNECT service.invalid:443 ")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=" in request
    assert "a-token" not in request
    assert "407" in str(error)
    shown = f"{error!r}{error.__cause__!r}"
    assert not any(password in shown for password in ("pass word", "pass%20word", "dXNlcj"))


@pytest.mark.parametrize("user", ["user:pr0xy-pass", "pr0xy-pass"])
async def test_proxy_that_repeats_its_password(environment, user):
    """
    The password of a proxy is not shown when the proxy repeats it, as it is or as it was sent.
    """
    sent = b64encode(f"{user}:".encode()).decode()
    words = f"not pr0xy-pass, pr0xy%2Dpass, Basic {sent}"
    async with Proxy(words, status=403) as proxy:
        environment(HTTPS_PROXY=f"http://{user}@{proxy.address}")
        error = await through("https://service.invalid")
    assert "403 not ***, ***, Basic" in str(error)
    assert sent[-8:] not in str(error)
    async with Proxy(words) as proxy:  # Of 407 our own words are said.
        environment(HTTPS_PROXY=f"http://{user}@{proxy.address}")
        error = await through("https://service.invalid")
    assert "the proxy refused: 407" in str(error)
    assert not any(part in str(error) for part in ("pr0xy", sent[-8:]))


async def test_proxy_without_a_scheme_or_a_password(environment):
    """
    `host:port` names a proxy, too.
    """
    async with Proxy() as proxy:
        environment(https_proxy=proxy.address)
        await through("https://service.invalid")
    assert len(proxy.requests) == 1
    assert "Authorization" not in proxy.requests[0]


@pytest.mark.parametrize(
    "excepted", ["*", "service.invalid", ".invalid", "other.test,service.invalid:8443"]
)
async def test_no_proxy_is_obeyed(environment, excepted):
    """
    Whoever NO_PROXY names, with or without a port, is asked directly.
    """
    async with Proxy() as proxy:
        environment(HTTPS_PROXY=f"http://{proxy.address}", NO_PROXY=excepted)
        assert isinstance(await through("https://service.invalid:8443"), ConnectionLostError)
    assert proxy.requests == []


async def test_this_machine_is_never_asked_through_a_proxy(environment):
    """
    A service on this machine is reached directly, whatever the environment says.
    """
    async with Proxy() as proxy, Origin() as origin:
        environment(HTTP_PROXY=f"http://{proxy.address}")
        async with talking_to(origin) as transport:
            assert await answer(transport)
    assert proxy.requests == []


@pytest.mark.parametrize(
    "address", ["socks5://127.0.0.1:9", "http://[bad", "http://host:pa-ss", "http://", "://"]
)
async def test_proxy_that_cannot_be_used(environment, address):
    """
    It is a setting to correct, said before anything is asked, and not repeated.
    """
    environment(HTTPS_PROXY=address)
    with pytest.raises(SettingsError, match="HTTPS_PROXY in the environment names") as caught:
        async with open_transport(Settings()):
            pass
    assert "pa-ss" not in str(caught.value)
