"""
Answers, however the network cuts them.

Real sockets on loopback.  What the errors say is in `test_session.py`.
"""

import asyncio
import gzip
import socket
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import uvloop
from certificates import make_certificate
from origin import Origin
from reading import read_all
from replies import MIB, Ending, Reply, endless, head, http, raw

from batchfetch.errors import ConnectionLostError, StalledError
from batchfetch.service import open_transport
from batchfetch.settings import Settings

BODY = b'{"taskStatus": "Pending", "id": "t"}'
CHUNKED = (
    b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:])) + b"0\r\n\r\n"
)
PACKED = gzip.compress(BODY)
ANSWERS = {
    "with its length": head(200, length=len(BODY)) + BODY,
    "in chunks": head(200, "Transfer-Encoding: chunked") + CHUNKED,
    "in gzip": head(200, "Content-Encoding: gzip", length=len(PACKED)) + PACKED,
    "after a hint": head(103, "Link: </style.css>") + head(200, length=len(BODY)) + BODY,
}
PATH = "/v5.0/ocr/DeskewImage"

# What asks is tried on both event loops: each has its own way of filling buffers.
pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """
    Both event loops.
    """
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def asking(*script, **settings):
    """
    A transport whose task `t` is answered with *script*, and the origin.
    """
    async with Origin({"t": script}) as origin:
        usual = {"base_url": origin.base_url, "concurrency": 1}
        async with open_transport(Settings(**usual | settings)) as transport:
            yield transport, origin


async def body_of(transport):
    """
    Ask and return the whole body.
    """
    async with transport.get_result(PATH, "t", "a-token", on_sent=list) as body:
        return await read_all(body)


async def received(origin, nbytes):
    """
    Wait until so many bytes about task `t` were sent and received.
    """
    while not (origin.sent["t"] == nbytes and origin.has_arrived):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)  # The loop reads what has arrived before it looks at its timers.


async def test_loop_is_the_one_asked_for(anyio_backend):
    """
    The tests here are about what they say.
    """
    _, options = anyio_backend
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop) is options["use_uvloop"]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_answer_does_not_care_where_it_is_cut(answer):
    """
    Cut in two at any place, the body is the same, and the connection is kept.
    """
    script = [raw(answer[:cut], answer[cut:]) for cut in range(1, len(answer))]
    async with asking(*script) as (transport, origin):
        for _ in script:
            assert await body_of(transport) == BODY
    assert {call.connection for call in origin.calls} == {1}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_no_beginning_passes_for_the_whole(answer):
    """
    An answer that ends early, wherever it does, is an error.
    """
    script = [raw(answer[:cut], ending=Ending.CLOSE) for cut in range(len(answer))]
    async with asking(*script) as (transport, _):
        for _ in script:
            with pytest.raises(ConnectionLostError):
                await body_of(transport)


async def test_little_that_unpacks_to_much():
    """
    A short answer in gzip may be a long one, and is received like one.
    """
    body = b" " * 5 * MIB
    async with asking(http(gzip.compress(body), 200, "Content-Encoding: gzip")) as (transport, _):
        for _ in range(2):
            assert await body_of(transport) == body


@pytest.mark.parametrize("count", [4096, 4097, 4098, 10_000])
async def test_thousands_of_tiny_chunks(count):
    """
    Chunks of one byte each, more of them than are read ahead, are all received.
    """
    begin = head(200, "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * count
    async with asking(raw(begin, b"1\r\nx\r\n" * 3 + b"0\r\n\r\n", interval=0.2)) as (transport, _):
        assert await body_of(transport) == b"x" * (count + 3)


async def test_fault_that_shows_while_the_rest_is_unpacked():
    """
    What is wrong behind much that unpacks to more than is read ahead is an error like any other.
    """
    packed = gzip.compress(b" " * 5 * MIB)
    begin = head(200, "Content-Encoding: gzip", "Transfer-Encoding: chunked")
    reply = raw(begin + b"%x\r\n%b\r\n" % (len(packed), packed) + b"zz\r\n")
    async with asking(reply, read_timeout=1) as (transport, _):
        # aiohttp loses sight of the fault while reading is paused, and then nothing arrives.
        with pytest.raises((ConnectionLostError, StalledError)):
            await body_of(transport)


@pytest.mark.parametrize("size", [16 * 1024, 640 * 1024 - 200, 640 * 1024, 3 * MIB])
@pytest.mark.parametrize("concurrency", [1, 10_000])
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_body_of_any_size_fits_any_buffer(size, concurrency, in_chunks):
    """
    Bodies smaller and larger than the buffer, and as large, arrive as they were sent.
    """
    body = bytes(range(256)) * (size // 256)
    reply = http(body)
    if in_chunks:
        parts = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
        reply = raw(head(200, "Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n")
    async with asking(reply, concurrency=concurrency) as (transport, origin):
        for _ in range(2):
            assert await body_of(transport) == body
    assert {call.connection for call in origin.calls} == {1}


@pytest.mark.parametrize("known", [False, True], ids=["length unknown", "length known"])
async def test_nobody_reads_nobody_sends(known):
    """
    An answer that is not read is not received either: what is on its way stays bounded.
    """
    begin = head(200, length=64 * MIB) if known else head()
    reply = Reply(lambda: (begin, *[b"x" * 65_536] * 1024))
    async with (
        asking(reply) as (transport, origin),
        transport.get_result(PATH, "t", "a-token", on_sent=list) as answer,
    ):
        await answer.read()
        await asyncio.sleep(0.3)
        assert origin.sent["t"] < 24 * MIB


async def test_length_is_known_at_the_head():
    """
    How long an answer is, is known before its body, if the service says so and packs nothing.
    """
    packed = http(PACKED, 200, "Content-Encoding: gzip")
    async with asking(endless(b"{", b"x" * 65_536), http(BODY), packed) as (transport, _):
        for length in (None, len(BODY), None):
            async with transport.get_result(PATH, "t", "a-token", on_sent=list) as answer:
                assert answer.length == length


@pytest.mark.parametrize("length", [len(BODY), 640 * 1024])
async def test_what_nobody_asked_for_ends_the_connection(length):
    """
    A service that goes on talking after its answer is asked anew on another connection.
    """
    body = BODY.ljust(length)
    pieces = head(200, length=length) + body, b"and one thing more"
    async with asking(raw(*pieces, interval=0.05), http(BODY)) as (transport, origin):
        assert await body_of(transport) == body
        await received(origin, sum(map(len, pieces)))
        assert await body_of(transport) == BODY
    assert [call.connection for call in origin.calls] == [1, 2]


@pytest.mark.parametrize("known", [False, True], ids=["in chunks", "length known"])
async def test_whole_answer_outlives_its_connection(known):
    """
    What was received whole is there to be read, although the connection was given up meanwhile.
    """
    body = bytes(range(256)) * 128
    whole = (
        head(200, length=len(body)) + body
        if known
        else head(200, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    )
    pieces = whole, b"and one thing more"
    async with (
        asking(raw(*pieces, interval=0.05)) as (transport, origin),
        transport.get_result(PATH, "t", "a-token", on_sent=list) as answer,
    ):
        await received(origin, sum(map(len, pieces)))
        assert await answer.read() == body
        assert answer.at_end


async def test_connection_that_is_to_be_closed_is_not_kept():
    """
    A service that says `Connection: close` is asked on another connection next.
    """
    reply = http(BODY, 200, "Connection: close")
    async with asking(reply) as (transport, origin):
        assert await body_of(transport) == await body_of(transport) == BODY
    assert [call.connection for call in origin.calls] == [1, 2]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """
    A certificate for a service that can be reached through a proxy only, and its key.
    """
    return make_certificate(tmp_path_factory.mktemp("tls"), "DNS:service.test")


@asynccontextmanager
async def tunnel_to(origin):
    """
    A proxy that leads to *origin* whoever is asked for; the value is its address.
    """
    port = int(origin.base_url.rpartition(":")[2])

    async def pass_on(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(200))
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_secure_answers_through_a_tunnel(certificate, monkeypatch):
    """
    TLS inside a proxy's tunnel changes nothing, for small answers and for large ones.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    large = bytes(range(256)) * 8 * 1024
    script = [http(BODY), http(large), http(BODY)]
    async with Origin({"t": script}, tls=context) as origin, tunnel_to(origin) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        settings = Settings(base_url="https://service.test", ca_file=certificate[0])
        async with open_transport(settings) as transport:
            for body in (BODY, large, BODY):
                assert await body_of(transport) == body
    assert [call.connection for call in origin.calls] == [1, 1, 1]


@contextmanager
def closing_behind(answer, certificate):
    """
    A TLS server that says *answer* and closes at once, not waiting to be answered; its root URL.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve():
        connection, _ = server.accept()
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            secure.sendall(answer)
            secure.settimeout(0)
            with suppress(OSError):
                secure.unwrap()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("size", [800_000, 1_500_000, 3_000_000])
async def test_secure_answer_with_the_connection_closed_behind_it(tmp_path, size):
    """
    Although TLS throws away what it still holds then, all of a large answer is there.
    """
    certificate = make_certificate(tmp_path, "IP:127.0.0.1")
    answer = head(200, "Connection: close", length=size) + b"x" * size
    with closing_behind(answer, certificate) as root:
        settings = Settings(base_url=root, ca_file=certificate[0], concurrency=1)
        async with (
            open_transport(settings) as transport,
            transport.get_result(PATH, "t", "a-token", on_sent=list) as body,
        ):
            assert await read_all(body, pause=0.1) == b"x" * size
