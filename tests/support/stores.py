"""
Object stores on loopback: moto, which knows conditional writes, and rclone, which does not; and
Azure's own stand-in, where it is installed.
"""

import base64
import hmac
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
from botocore.config import Config
from command import environment, wait_until

from batchfetch.errors import StorageError, UnsafeNameError
from batchfetch.settings import Durability
from batchfetch.storage import FileExecutor, Storage, open_storage

BUCKET = "scans"
KEYS = {
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-store",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


# Of Azure's stand-in: published with it.
_AZURE_ACCOUNT = "devstoreaccount1"
_AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


class Store:
    """
    A store at *url* with one bucket, and a client that shows what is in it.
    """

    scheme = "s3"

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=KEYS["AWS_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
        )

    @property
    def variables(self) -> dict[str, str]:
        """
        What a command's environment needs to find the store.
        """
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def environment(self, **more: str) -> dict[str, str]:
        """
        Return the environment of a command that uses the store.
        """
        return environment(**{**self.variables, **more})

    def keys(self, prefix: str = "") -> list[str]:
        """
        Return the keys below *prefix*, by the rest of them, without what runs keep for themselves.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return sorted(key[len(prefix) :] for key in keys if "/.batchfetch/" not in f"/{key}")

    def own(self, prefix: str = "") -> list[str]:
        """
        Return the keys of what runs keep for themselves below *prefix*.
        """
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}.batchfetch/")
        return sorted(each["Key"][len(prefix) :] for each in found.get("Contents", ()))

    def get(self, key: str) -> bytes:
        """
        Return the object at *key*.
        """
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def head(self, key: str) -> dict[str, Any]:
        """
        Return what the store says of the object at *key*.
        """
        return self.client.head_object(Bucket=BUCKET, Key=key)

    def put(self, key: str, data: bytes, **labels: str) -> None:
        """
        Put *data* at *key*.
        """
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data, Metadata=labels)

    def images(self, prefix: str = "") -> dict[str, bytes]:
        """
        Return the objects below *prefix*, by their names without the suffix.
        """
        return {key.removesuffix(".png"): self.get(prefix + key) for key in self.keys(prefix)}

    def pending(self) -> list[str]:
        """
        Return the keys of the uploads that were begun and neither completed nor aborted.
        """
        try:
            found = self.client.list_multipart_uploads(Bucket=BUCKET)
        except self.client.exceptions.NoSuchUpload:
            return []  # rclone, before the first.
        return [each["Key"] for each in found.get("Uploads", ())]


class AzureStore:
    """
    Azure's stand-in at *url*.
    """

    scheme = "az"

    def __init__(self, url: str) -> None:
        self.variables = {
            "AZURE_STORAGE_ACCOUNT_NAME": _AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _AZURE_KEY,
            "AZURE_STORAGE_ENDPOINT": f"{url}/{_AZURE_ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
        }

    def pending(self) -> list[str]:
        """
        Return nothing: blocks that are not committed are no upload that could be listed.
        """
        return []


def use(store: Store | AzureStore, prefix: str, monkeypatch: Any) -> str:
    """
    Have *store* found by its variables; return the URL of *prefix* there.
    """
    for name, text in store.variables.items():
        monkeypatch.setenv(name, text)
    return f"{store.scheme}://{BUCKET}/{prefix}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Storage]:
    """
    Open a store without locking it.
    """
    with FileExecutor() as files:
        async with open_storage(url, Durability.FILE, files) as storage:
            yield storage


async def fresh(storage: Storage, name: str) -> bytes | None:
    """
    Return the bytes of *name* in *storage*; None if nothing is there.
    """
    try:
        async with aclosing(storage.read(name)) as pieces:
            return b"".join([piece async for piece in pieces])
    except (StorageError, FileNotFoundError, UnsafeNameError):
        return None


async def put(storage: Storage, name: str, chunks: Sequence[bytes], **how: Any) -> None:
    """
    Put *chunks* at *name*.
    """
    target = storage.open(name, sum(map(len, chunks)), **how)
    try:
        for chunk in chunks:
            await target.write([chunk])
        await target.commit(sha256=sha256(b"".join(chunks)).hexdigest())
    finally:
        await target.abort()


@contextmanager
def _server(*command: str) -> Iterator[str]:
    """
    Run *command*, with a free port in place of `{port}`, until the block ends; yield its URL.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [part.format(port=port) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(url))
            yield url
        finally:
            server.terminate()


@contextmanager
def _s3(*command: str) -> Iterator[Store]:
    with _server(*command) as url:
        store = Store(url)
        with closing(store.client):
            store.client.create_bucket(Bucket=BUCKET)
            yield store


def _answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except URLError as exc:
        return hasattr(exc, "code") and not exc.close()
    except OSError:
        return False
    return True


@contextmanager
def moto() -> Iterator[Store]:
    """
    Serve S3 out of memory; conditional writes are obeyed.
    """
    script = Path(sys.executable).with_name("moto_server")
    with _s3(str(script), "-H", "127.0.0.1", "-p", "{port}") as store:
        yield store


@contextmanager
def rclone(folder: Path) -> Iterator[Store]:
    """
    Serve S3 out of *folder*; conditional writes are taken for plain ones.
    """
    script = Path(sys.executable).with_name("rclone")
    keys = f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"
    options = ("--addr=127.0.0.1:{port}", f"--auth-key={keys}", "--config=")
    with _s3(str(script), "serve", "s3", str(folder), *options) as store:
        yield store


AZURITE = shutil.which("azurite-blob")
"""Azure's stand-in, if Node and it are installed: `npm install -g azurite`."""


@contextmanager
def azurite(folder: Path) -> Iterator[AzureStore]:
    """
    Serve Azure Blob Storage out of *folder*.
    """
    assert AZURITE is not None
    options = ("--blobHost", "127.0.0.1", "--blobPort", "{port}", "--location", str(folder))
    with _server(AZURITE, *options, "--silent", "--disableTelemetry") as url:
        _make_container(url)
        yield AzureStore(url)


def _make_container(url: str) -> None:
    """
    Make the bucket: a request signed as "Authorize with Shared Key" of Azure's documentation says.
    """
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
    resource = f"/{_AZURE_ACCOUNT}/{_AZURE_ACCOUNT}/{BUCKET}\nrestype:container"
    text = "PUT" + "\n" * 12 + canonical + resource
    signed = hmac.digest(base64.b64decode(_AZURE_KEY), text.encode(), "sha256")
    headers["Authorization"] = f"SharedKey {_AZURE_ACCOUNT}:{base64.b64encode(signed).decode()}"
    with closing(HTTPConnection(urlsplit(url).netloc)) as connection:
        path = f"/{_AZURE_ACCOUNT}/{BUCKET}?restype=container"
        connection.request("PUT", path, headers={**headers, "Content-Length": "0"})
        assert connection.getresponse().status == 201
