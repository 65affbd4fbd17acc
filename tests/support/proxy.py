"""
A proxy on loopback in front of a store: it counts requests, and hinders those it is told to.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What is not passed on: it is about the connection, or the proxy says so itself.
OWN_HEADERS = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@dataclass(frozen=True)
class Request:
    """
    A request that has come.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Refuse:
    """
    Answer with *status* and *code*; the store hears nothing of it.
    """

    status: int
    code: str


@dataclass(frozen=True)
class Cut:
    """
    Close the connection; *after* the store has done what was asked, or before it hears of it.
    """

    after: bool = False


@dataclass(frozen=True)
class Stall:
    """
    Wait before the store hears of it, then go on.
    """

    seconds: float


@dataclass(frozen=True)
class Forget:
    """
    Pass it on without *header*.
    """

    header: str


Hindrance = Refuse | Cut | Stall | Forget | None


class Proxy:
    """
    What came through, and what is to be done with what comes.
    """

    def __init__(self, backend: str) -> None:
        self.backend = urlsplit(backend).netloc
        self.requests: list[Request] = []
        self.hinder: Callable[[Request], Hindrance] = lambda _: None
        self.is_ahead = timedelta()
        """How far the store's clock is to seem ahead of ours."""

        self.url = ""

    def count(self, method: str, text: str = "") -> int:
        """
        Return how many requests of *method* came whose path contains *text*.
        """
        return sum(each.method == method and text in each.path for each in self.requests)

    def hinder_first(self, many: int, how: Hindrance, method: str, text: str = "") -> None:
        """
        Hinder the first *many* requests of *method* whose path contains *text*.
        """
        left = [how] * many
        lock = threading.Lock()

        def hinder(request: Request) -> Hindrance:
            with lock:
                if request.method == method and text in request.path and left:
                    return left.pop()
            return None

        self.hinder = hinder


class Handler(BaseHTTPRequestHandler):
    """
    Handles one connection of a `Server`.
    """

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: object) -> None:
        """
        Write no log.
        """

    def handle_request(self) -> None:
        """
        Pass a request on, or hinder it.
        """
        proxy = self.server.proxy
        request = Request(self.command, self.path, dict(self.headers))
        proxy.requests.append(request)
        how = proxy.hinder(request)
        if how == Cut():  # In the middle of the body, if there is one: nothing of it is read.
            self._hang_up()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if isinstance(how, Stall):
            time.sleep(how.seconds)
        if isinstance(how, Refuse):
            text = f"<Error><Code>{how.code}</Code><Message>No</Message></Error>"
            self._answer(how.status, [], text.encode())
            return
        if isinstance(how, Forget):
            del self.headers[how.header]
        status, headers, answer = self._forward(proxy.backend, body)
        headers = [(name, _later(name, text, proxy.is_ahead)) for name, text in headers]
        if isinstance(how, Cut):
            self._hang_up()
        else:
            self._answer(status, headers, answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815

    def handle(self) -> None:
        """
        Serve the connection until one of its ends hangs up.
        """
        with suppress(OSError):
            super().handle()

    def _forward(self, backend: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(backend, timeout=60)
        try:
            headers = dict(self.headers)
            if urlsplit(self.path).scheme:  # Asked as a proxy, for a host that there is not.
                headers = {k: v for k, v in headers.items() if k.lower() != "host"}
            connection.request(self.command, _target(self.path), body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], text: bytes) -> None:
        kept = {name: value for name, value in headers if name.lower() not in OWN_HEADERS}
        if self.command != "HEAD":
            kept["Content-Length"] = str(len(text))
        with suppress(OSError):  # The client may have gone: it was killed, or gave up.
            self.send_response(status)
            for name, value in kept.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _target(path: str) -> str:
    """
    Return *path* as its own server is asked for it: a proxy is given the whole URL.
    """
    parts = urlsplit(path)
    return parts._replace(scheme="", netloc="").geturl() if parts.scheme else path


def _later(name: str, text: str, by: timedelta) -> str:
    if name.lower() != "last-modified":
        return text
    return format_datetime(parsedate_to_datetime(text) + by, usegmt=True)


class Server(ThreadingHTTPServer):
    """
    Serves *proxy*.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: Proxy, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.proxy = proxy
        if tls is not None:
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )


@contextmanager
def proxied(backend: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """
    Serve a proxy of *backend*, with *tls* over TLS.
    """
    proxy = Proxy(backend)
    with Server(proxy, tls) as server:
        proxy.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
