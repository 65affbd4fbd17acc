"""
The service's part: nginx on a loopback port, answering from prepared files.
"""

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corpus import Corpus

TASK_PATH = "/v5.0/ocr/ImageProcessing/GetResultTask"
FILE_PATH = "/v5.0/ocr/ImageProcessing/GetResultFile"

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0

_CONFIG = """
{modules}
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    # Well below the descriptors there are: each entry keeps a file open.
    open_file_cache max=8192 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {prefix}/temp;
    proxy_temp_path {prefix}/temp;
    fastcgi_temp_path {prefix}/temp;
    uwsgi_temp_path {prefix}/temp;
    scgi_temp_path {prefix}/temp;
    # Nothing but a plain name gets as far as the file system.
    map $arg_id $task {{ default none; "~^[0-9A-Za-z-]+$" $arg_id; }}
    server {{
        listen 127.0.0.1:{port}{listen};
        {certificate}
        {locations}
    }}
}}
"""


class OriginError(Exception):
    """
    nginx does not start.
    """


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    A self-made certificate for 127.0.0.1, its own root.
    """

    chain: Path
    key: Path


def make_certificate(openssl: str, directory: Path) -> Certificate:
    """
    Make a certificate for 127.0.0.1 that is good for a day.
    """
    made = Certificate(directory / "origin.pem", directory / "origin.key")
    subprocess.run(
        (
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
            *("-keyout", str(made.key), "-out", str(made.chain)),
        ),
        check=True,
        capture_output=True,
    )
    return made


@dataclass(frozen=True, slots=True)
class Origin:
    """
    How the service is played.
    """

    nginx: str

    certificate: Certificate | None = None
    """Speak TLS with it."""

    delay: float = 0.0
    """Seconds every answer waits before its first byte, as a long line would make it."""

    echo_module: Path | None = None
    """nginx's echo module; without it there is no delay."""

    @contextmanager
    def serving(self, corpus: Corpus, prefix: Path) -> Iterator[str]:
        """
        Serve *corpus* for the length of the block; the value is the root URL.

        *prefix* is a folder for configuration, pid and log, made here.
        """
        locations = "".join(
            self._location(path, kind, corpus.directory / folder)
            for path, kind, folder in (
                (TASK_PATH, "application/json", "bodies"),
                (FILE_PATH, "image/png", "images"),
            )
        )
        with self._running(locations, prefix) as root:
            yield root

    @contextmanager
    def pending(self, prefix: Path) -> Iterator[str]:
        """
        Answer that every task is still Pending, for the length of the block.
        """
        answer = (
            '{"id":"$task","responseStatusCode":"NotReady","taskStatus":"Pending",'
            '"results":null,"error":null}'
        )
        location = f"location = {TASK_PATH} {{\n"
        location += f"default_type application/json; return 200 '{answer}'; }}"
        with self._running(location, prefix) as root:
            yield root

    def _location(self, path: str, kind: str, folder: Path) -> str:
        files = f"default_type {kind}; alias {folder}/$task;"
        if not self.delay:
            return f"location = {path} {{ {files} }}\n"
        return (
            f"location = {path} {{ echo_sleep {self.delay}; echo_exec /{folder.name}?id=$task; }}\n"
            f"location = /{folder.name} {{ internal; {files} }}\n"
        )

    @contextmanager
    def _running(self, locations: str, prefix: Path) -> Iterator[str]:
        prefix.mkdir()
        port = _free_port()
        config = prefix / "nginx.conf"
        config.write_text(self._config(locations, prefix, port))
        command = (self.nginx, "-p", str(prefix), "-c", str(config))
        with (prefix / "start.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_for(port, process, prefix)
            yield f"{'https' if self.certificate else 'http'}://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _config(self, locations: str, prefix: Path, port: int) -> str:
        certificate = ""
        if self.certificate:
            certificate = (
                f"ssl_certificate {self.certificate.chain}; "
                f"ssl_certificate_key {self.certificate.key};"
            )
        return _CONFIG.format(
            modules=f"load_module {self.echo_module};" if self.echo_module else "",
            # Started by root, nginx would give its worker to a user who cannot see the files.
            user="" if os.geteuid() else f"user {pwd.getpwuid(0).pw_name};",
            prefix=prefix,
            port=port,
            listen=" ssl" if self.certificate else "",
            certificate=certificate,
            locations=locations,
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], prefix: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise OriginError(f"nginx does not start: {(prefix / 'start.log').read_text()[-400:]}")
