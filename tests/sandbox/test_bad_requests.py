"""
Requests to the stand-in that are no HTTP: refused, and not repeated in its log.
"""

import asyncio
import logging

import pytest

from batchfetch.sandbox import SandboxSettings, open_sandbox

pytestmark = pytest.mark.anyio

SECRET = "S3cr3t-0f-mine/abc+DEF"
FORM = (
    "POST /connect/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
)
BAD = {
    "header with a NUL": [f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {SECRET}\0\r\n\r\n"],
    "request line": [f"GET /{SECRET} HTTP/{SECRET}\r\n\r\n"],
    "no request": [f"{SECRET}\r\n\r\n"],
    "header's name": [f"GET / HTTP/1.1\r\nHost: x\r\n{SECRET}: {SECRET}\r\n\r\n"],
    "chunk": [f"{FORM}Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n"],
    "chunk that comes late": [f"{FORM}Transfer-Encoding: chunked\r\n\r\n", f"{SECRET}\r\n{SECRET}"],
    "charset": [
        FORM.replace("coded\r", f"coded; charset={SECRET}\r") + "Content-Length: 3\r\n\r\na=b"
    ],
    "encoding": [f"{FORM}Content-Encoding: gzip\r\nContent-Length: 22\r\n\r\n{SECRET}"],
    "form that breaks off": [f"{FORM}Content-Length: 900\r\n\r\nclient_secret={SECRET}"],
}


@pytest.mark.parametrize("pieces", BAD.values(), ids=BAD)
async def test_bad_request_is_not_repeated(pieces, caplog):
    """
    Whatever is wrong with a request, the log says at most that there was one.
    """
    with caplog.at_level(logging.DEBUG):
        async with open_sandbox(SandboxSettings()) as sandbox:
            host, _, port = sandbox.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            for piece in pieces:
                writer.write(piece.encode())
                await asyncio.sleep(0.1)
            writer.write_eof()
            await reader.read()
            writer.close()
    formatter = logging.Formatter()
    logged = "\n".join(map(formatter.format, caplog.records))
    assert SECRET[:8] not in logged
